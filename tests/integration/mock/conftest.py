"""One mock served over a real socket for the whole session, and more on demand."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest

from tests import loopback
from tests.ports import free_port
from tests.servers import mock_upstream

HERE = Path(__file__).parent
ServeMock = Callable[..., str]


@pytest.fixture(scope="session")
def serve_mock() -> Iterator[ServeMock]:
    """Give a function that starts a mock and returns its URL; all are ended with the session."""
    started: list[subprocess.Popen[bytes]] = []

    def serve(fault: str = "", *, require_auth: bool = False) -> str:
        port = free_port()
        command = [sys.executable, str(HERE / "serve_mock.py"), str(port), fault, str(require_auth)]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parents[2])}
        started.append(subprocess.Popen(command, env=environment))
        return wait_ready(f"http://127.0.0.1:{port}")

    yield serve
    for process in started:
        process.terminate()
    for process in started:
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def mock_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Give the URL of a mock with no fault of its own."""
    with mock_upstream(tmp_path_factory.mktemp("mock") / "log") as server:
        yield server.url


@pytest.fixture
def mock_http(mock_url: str) -> Iterator[httpx2.Client]:
    """Give a plain client of the mock, with its records cleared."""
    with loopback.Client(base_url=mock_url, timeout=60, trust_env=False) as client:
        client.delete("/__mock/requests")
        yield client


def wait_ready(url: str) -> str:
    """Wait until the server answers."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            loopback.get(f"{url}/__mock/status")
        except httpx2.TransportError:
            time.sleep(0.02)
        else:
            return url
    message = f"nothing answers at {url}"
    raise TimeoutError(message)
