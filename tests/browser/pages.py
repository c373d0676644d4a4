"""Real pages in a real browser: what `cors:` names may call and read, and nothing else.

`make test-browser` runs this; it needs Debian's package chromium.
"""

import functools
import http.server
import json
import queue
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests import loopback
from tests.servers import KEY, ROOT, Server, gateway, ship

PAGES = Path(__file__).parent
SDK = ROOT / ".venv-conformance/browser/node_modules/openai"  # the Makefile puts it there

SECONDS = 60  # for a browser to start, and to say what came of it
pytestmark = pytest.mark.needs("chromium")


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the page, and takes what it tells when it has made its calls."""

    told: queue.Queue[dict[str, Any]] = queue.Queue()

    def translate_path(self, path: str) -> str:
        """A file of the SDK, or of this folder."""
        name = path.removeprefix("/openai/")
        return super().translate_path(path) if name == path else str(SDK / name)

    def do_POST(self) -> None:
        """Take it."""
        length = int(self.headers["content-length"])
        self.told.put(json.loads(self.rfile.read(length)))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def pages() -> Iterator[tuple[int, int]]:
    """The ports of a page that is named, and of one that is not."""
    handler = functools.partial(Pages, directory=str(PAGES))
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers[0].server_port, servers[1].server_port
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def server(
    tmp_path_factory: pytest.TempPathFactory, mock: Server, pages: tuple[int, int]
) -> Iterator[Server]:
    folder = ship(tmp_path_factory.mktemp("browser"))
    with (folder / "routes.yaml").open("a") as routes:
        routes.write(f"\ncors: {{origins: ['http://localhost:{pages[0]}']}}\n")
    environ = {"OPENAI_API_KEY": "canary-browser"}
    arguments = ("--mock-port", str(mock.port))
    with gateway(folder, folder / "log", *arguments, environ=environ) as running:
        yield running


def told(server: Server, port: int, profile: Path, page: str = "page") -> dict[str, Any]:
    """What a page on `port` tells when it has made its calls."""
    settings = quote(json.dumps({"gateway": server.url, "key": KEY}))
    command = [
        "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={profile}",
        f"http://localhost:{port}/{page}.html#{settings}",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as browser:
        try:
            return Pages.told.get(timeout=SECONDS)
        finally:
            browser.terminate()


def test_a_page_that_is_named_calls_streams_and_reads_refusals(
    server: Server, pages: tuple[int, int], tmp_path: Path
) -> None:
    answers = told(server, pages[0], tmp_path)
    statuses = {name: answer.get("status") for name, answer in answers.items()}
    assert statuses == {
        "whole": 200, "stream": 200, "broken": 200, "wrong_key": 401, "wrong_path": 404,
    }, answers  # fmt: skip
    assert all(answers[name]["id"].startswith("req_") for name in statuses if statuses[name])
    assert answers["stream"]["text"].endswith("data: [DONE]\n\n")
    assert '"error"' in answers["broken"]["text"]
    assert answers["wrong_key"]["code"] == "invalid_api_key"
    assert answers["wrong_path"]["code"] == "unknown_path"


def recorded(server: Server) -> int:
    """How many records there are once that of one more request is among them, which gets 401."""
    connection = loopback.connection(server.port)
    connection.request("GET", "/v1/models")
    server.record(connection.getresponse().getheader("x-engine-request-id") or "")
    connection.close()
    return len(server.records)


def test_a_page_that_is_not_named_reads_nothing(
    server: Server, pages: tuple[int, int], tmp_path: Path
) -> None:
    before = recorded(server)
    answers = told(server, pages[1], tmp_path)
    assert answers == {name: {"failed": "TypeError"} for name in answers}
    assert recorded(server) > before + 1
    assert {record["status"] for record in server.records[before:]} == {401}


@pytest.mark.skipif(not SDK.exists(), reason="npm has not installed the SDK")
def test_the_official_sdk_works_in_a_page(
    server: Server, pages: tuple[int, int], tmp_path: Path
) -> None:
    """Its build for browsers is its modules, as files."""
    assert told(server, pages[0], tmp_path, "sdk") == {
        "whole": "You said: hello",
        "stream": "You said: hello",
        "models": True,
        "wrong_key": [401, "invalid_api_key"],
    }
