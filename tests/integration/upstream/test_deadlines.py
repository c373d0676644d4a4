"""When each clock starts: no phase of a request is charged with the time of the one before."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import loopback
from tests.listening import listening
from tests.servers import KEY, Server, gateway, write_keys

# Each pause is longer than `first_byte` and shorter than all that may pass in its phase.
PAUSE, FIRST_BYTE, BUSY, SOON = 1.2, 0.6, 0.2, 3.5
LARGE = 12_000_000  # bytes; more than the sockets hold
ROUTES = """
version: 1
defaults:
  timeouts: {connect: 4s, first_byte: 600ms, idle: 3s, total: 20s, caller_idle: 3s}
  max_body: 64MiB
endpoints:
  talk: {path: /talk}
  form: {path: /form, body: form}
models:
"""
MODELS = "".join(
    f"  - {{prefix: {client}-{name}-, provider: {client}_{name}}}\n"
    for client in ("http1", "httpx")
    for name in ("plain", "tls", "one", "brief", "mute", "proxy")
)
PROVIDERS = """
  CLIENT_plain: {base_url: "http://127.0.0.1:PLAIN", client: CLIENT, endpoints: {talk: /talk, form: /form}}
  CLIENT_one: {base_url: "http://127.0.0.1:PLAIN", client: CLIENT, limits: {in_flight: 1}, endpoints: {talk: /talk}}
  CLIENT_brief:
    base_url: "http://127.0.0.1:PLAIN"
    client: CLIENT
    timeouts: {idle: 500ms, first_byte: 10s}
    endpoints: {talk: /talk}
  CLIENT_tls: {base_url: "https://localhost:TLS", client: CLIENT, tls: {ca: ca.pem}, endpoints: {talk: /talk}}
  CLIENT_mute:
    base_url: "https://127.0.0.1:SILENT"
    client: CLIENT
    timeouts: {connect: 300ms, first_byte: 10s}
    endpoints: {talk: /talk}
  CLIENT_proxy:
    base_url: "https://localhost:1"
    client: httpx
    proxy: "http://127.0.0.1:SILENT"
    timeouts: {connect: 300ms, first_byte: 10s}
    endpoints: {talk: /talk}
"""
OK = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}"
HERE = Path(__file__).parent / "tls"


class Upstream:
    """Takes and answers as the model says: `PROVIDER-PLAY`."""

    tls = 0

    async def plain(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with (
            contextlib.closing(writer),
            contextlib.suppress(asyncio.IncompleteReadError, ConnectionError),
        ):
            head = await reader.readuntil(b"\r\n\r\n")
            begin = await reader.read(200)
            if b"-deaf" in begin:
                await asyncio.sleep(SOON * 2)
            elif b"-slowly" in begin:
                await self._take_slowly(reader, int(head.partition(b"content-length: ")[2].split()[0]) - len(begin))  # fmt: skip
            elif b"-silent" in begin:
                await asyncio.sleep(SOON * 2)
            elif b"-busy" in begin:
                await asyncio.sleep(BUSY)
            elif b"form-data" in head:
                while not begin.endswith(b"\r\n0\r\n\r\n"):
                    begin += await reader.read(65536)
                await asyncio.sleep(SOON * 2 if b"-mute" in begin else BUSY)
            writer.write(OK)
            await writer.drain()

    async def _take_slowly(self, reader: asyncio.StreamReader, left: int) -> None:
        """The sockets hold most of it, so it is the first part that must not be charged."""
        for _ in range(20):
            left -= len(await reader.readexactly(LARGE // 200))
            await asyncio.sleep(PAUSE / 20)
        await reader.readexactly(left)

    async def late(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """What leads to the upstream behind TLS, with a handshake that takes its time."""
        await asyncio.sleep(PAUSE)
        there, to_there = await asyncio.open_connection("127.0.0.1", self.tls)
        await asyncio.gather(_pump(reader, to_there), _pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.closing(writer), contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder: Path = tmp_path_factory.mktemp("deadlines")
    upstream, context = Upstream(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(HERE / "cert.pem", HERE / "key.pem")
    with (
        listening(upstream.plain) as plain,
        listening(upstream.plain, tls=context) as upstream.tls,
        listening(upstream.late) as late,
        socket.create_server(("127.0.0.1", 0)) as silent,
    ):
        text = PROVIDERS.replace("PLAIN", str(plain)).replace("TLS", str(late))
        text = text.replace("SILENT", str(silent.getsockname()[1]))
        both = "".join(text.replace("CLIENT", client) for client in ("http1", "httpx"))
        (folder / "routes.yaml").write_text(ROUTES + MODELS)
        (folder / "providers.yaml").write_text("version: 1\nproviders:" + both)
        (folder / "ca.pem").write_bytes((HERE / "cert.pem").read_bytes())
        write_keys(folder)
        with gateway(folder, folder / "log") as running:
            yield running


@dataclass(frozen=True)
class Told:
    """What became of one request: `why` has its status, error code and outcome if it is an error."""

    why: tuple[int, str | None, str | None]
    seconds: float


def send_request(server: Server, model: str) -> Told:
    started = time.monotonic()
    headers = {"x-api-key": KEY}
    if "-form" in model:
        headers["content-type"] = "multipart/form-data; boundary=b"
        url, content = server.url + "/form", form(model)
        answer = loopback.post(url, content=content, headers=headers, timeout=30)
    else:
        is_large = model.endswith(LARGE_ONES)
        body = {"model": model, "padding": "x" * (LARGE if is_large else 1)}
        answer = loopback.post(server.url + "/talk", json=body, headers=headers, timeout=30)
    seconds = time.monotonic() - started
    record = server.record(answer.headers["x-engine-request-id"])
    outcome = (
        record["outcome"] if record["error"] else None
    )  # a caller may leave before the last word
    return Told((answer.status_code, answer.headers.get("x-engine-error"), outcome), seconds)


def form(model: str) -> Iterator[bytes]:
    """An upload that takes PAUSE."""
    yield b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n' + model.encode()
    yield b'\r\n--b\r\ncontent-disposition: form-data; name="f"; filename="f"\r\n\r\n'
    for _ in range(3):
        yield b"x" * 1000
        time.sleep(PAUSE / 3)
    yield b"\r\n--b--\r\n"


PASSED = (200, None, None)
LATE = (504, "upstream_timeout", "timeout_headers")
UNREAD = (504, "upstream_idle_timeout", "timeout_idle")
UNCONNECTED = (504, "upstream_connect_timeout", "connect_timeout")
# By model: what becomes of it, how long that takes at least, and the phase that this is about.
CASES = {
    "plain-silent": (LATE, FIRST_BYTE, "the time to answer starts when the request was sent"),
    "tls-ok": (PASSED, PAUSE, "a handshake is no part of it"),
    "tls-silent": (LATE, PAUSE + FIRST_BYTE, "and the time to answer starts behind it"),
    "plain-slowly": (PASSED, FIRST_BYTE, "taking a large body is no part of it"),
    "brief-deaf": (UNREAD, 0.5, "taking nothing of a large body has `idle`"),
    "plain-form": (PASSED, PAUSE + BUSY, "an upload of the caller is no part of it"),
    "plain-form-mute": (LATE, PAUSE + FIRST_BYTE, "and the time to answer starts behind it"),
    "mute-x": (UNCONNECTED, 0.3, "a handshake has `connect`"),
    "proxy-x": (UNCONNECTED, 0.3, "a proxy that opens no tunnel has `connect`"),
}
LARGE_ONES = ("plain-slowly", "brief-deaf")
QUEUED = [f"one-busy-{number}" for number in range(5)]


@pytest.fixture(scope="module", params=["http1", "httpx"])
def told(request: pytest.FixtureRequest, server: Server) -> dict[str, Told]:
    """Every case at once, since each of them mostly waits."""
    models = [*(m for m in CASES if m not in LARGE_ONES), *QUEUED]
    with ThreadPoolExecutor(len(models)) as callers:
        answers = callers.map(
            lambda model: send_request(server, f"{request.param}-{model}"), models
        )
        told = dict(zip(models, answers, strict=True))
    return told | {model: send_request(server, f"{request.param}-{model}") for model in LARGE_ONES}


@pytest.mark.parametrize("model", CASES)
def test_each_clock_starts_where_its_phase_does(told: dict[str, Told], model: str) -> None:
    why, least, _ = CASES[model]
    assert told[model].why == why
    assert least <= told[model].seconds < least + SOON


def test_the_queue_is_no_part_of_the_time_to_answer(told: dict[str, Told]) -> None:
    assert {told[model].why for model in QUEUED} == {PASSED}
    assert max(told[model].seconds for model in QUEUED) > FIRST_BYTE
