"""Clients that speak HTTP/2: curl, Node and Go, also while a worker is replaced. `make test-http2`."""

import os
import subprocess
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.certificates import issue
from tests.e2e.server.small import write_small
from tests.e2e.server.test_tls import tls_gateway, wait_for
from tests.servers import KEY, ROOT, WAIT, Server

HERE = Path(__file__).parent
MODULES = ROOT / ".venv-conformance/clients/node"  # of `make clients`
EXPECTED = ["plain true stream true", "head 200", "unsized 401", "at once 100", "left", "lost 0"]


def environment(base: str, folder: Path) -> dict[str, str]:
    names = ("PATH", "HOME", "GOCACHE", "GOPATH")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {**kept, "BASE": base, "KEY": KEY, "CA": str(folder / "ca.pem"), "MODULES": str(MODULES)}


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(("bash", "client.sh"), marks=pytest.mark.needs("curl")),
        pytest.param(("node", "client.mjs"), marks=pytest.mark.needs("node")),
        pytest.param(("go", "run", "client.go"), marks=pytest.mark.needs("go")),
    ],
    ids=["curl", "node", "go"],
)
def test_a_client(tmp_path: Path, mock: Server, command: tuple[str, ...]) -> None:
    """Its requests of each kind, and none lost while a worker is replaced."""
    issued, renewed = issue(), issue(77)
    issued.write(write_small(tmp_path) / "cert.pem", tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(issued.certificate + renewed.certificate)
    with tls_gateway(tmp_path, mock) as server:
        base = f"https://localhost:{server.port}"
        with subprocess.Popen(
            command, cwd=HERE, env=environment(base, tmp_path), text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        ) as client, ExitStack() as stack:  # fmt: skip
            stack.callback(client.kill)
            assert client.stdout is not None
            assert [client.stdout.readline().strip() for _ in EXPECTED[:-1]] == EXPECTED[:-1]
            wait_for(server, '"outcome":"client_cancelled"')
            renewed.write(tmp_path / "cert.pem", tmp_path / "key.pem")
            wait_for(server, "has old TLS files: replaced")
            rest, _ = client.communicate("\n", timeout=WAIT)
            assert rest.strip() == EXPECTED[-1]


@pytest.mark.needs("node")
@pytest.mark.skipif(not MODULES.exists(), reason="needs the packages of `make clients`")
def test_the_sdk_of_openai_over_undici(tmp_path: Path, mock: Server) -> None:
    issued = issue()
    issued.write(write_small(tmp_path) / "cert.pem", tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(issued.certificate)
    with tls_gateway(tmp_path, mock) as server:
        environ = environment(f"https://localhost:{server.port}", tmp_path)
        script = str(HERE / "openai_undici.mjs")
        done = subprocess.run(["node", script], env=environ, text=True, capture_output=True, timeout=WAIT, check=False)  # fmt: skip
    assert done.stdout.strip() == "You said: hello | You said: hello | 401", done.stderr
