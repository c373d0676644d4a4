"""Without keys, only programs of this machine get through: no page that a browser has open."""

from collections.abc import Iterator

import httpx2
import pytest

from tests import loopback
from tests.servers import Server, gateway, ship

CROSS = {"sec-fetch-site": "cross-site"}


@pytest.fixture(scope="module")
def keyless(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Server]:
    folder = ship(tmp_path_factory.mktemp("keyless"))
    options = ("--no-auth", "--mock-port", str(mock.port))
    with gateway(folder, folder / "log", *options, environ={}) as server:
        yield server


def calls(server: Server, headers: dict[str, str]) -> list[httpx2.Response]:
    """A call with each kind of body, and the list of models, twice: the second head is known."""
    embed, hear = f"{server.url}/v1/embeddings", f"{server.url}/v1/audio/transcriptions"
    files = {"file": ("a.wav", b"RIFF")}
    json = {"model": "text-embedding-3-small", "input": "x"}
    return [
        *(loopback.post(embed, json=json, headers=headers) for _ in range(2)),
        loopback.post(hear, headers=headers, data={"model": "whisper-1"}, files=files),
        loopback.get(f"{server.url}/v1/models", headers=headers),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example:8080"},
        {"host": "localhost.evil.example"},
        {"host": "127.0.0.1.evil.example"},
        {"host": "192.168.0.7"},
        {"host": "0.0.0.0:8080"},
        pytest.param(
            {"host": "127.0.0.1:80:80"},
            marks=pytest.mark.http1("the server resets the stream of such a request"),
        ),
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:3000"},
        CROSS,
        {"sec-fetch-site": "same-site"},
        {"host": "evil.example", "origin": "http://evil.example"},
    ],
)
def test_without_keys_no_other_site_gets_through(keyless: Server, headers: dict[str, str]) -> None:
    for answer in calls(keyless, {}) and calls(keyless, headers):
        assert (answer.status_code, answer.headers["x-engine-error"]) == (403, "not_local")
        assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"host": "localhost:9"},
        {"host": "LOCALHOST"},
        {"host": "127.8.9.1:80"},
        {"host": "[::1]:8080"},
        {"host": "localhost:9", "origin": "http://localhost:9", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_without_keys_programs_and_own_pages_do(keyless: Server, headers: dict[str, str]) -> None:
    assert [answer.status_code for answer in calls(keyless, headers)] == [200] * 4


def test_with_keys_the_key_decides(served: Server) -> None:
    assert {a.status_code for a in calls(served, {"host": "gateway.example", **CROSS})} == {401}
