"""Large forms: bounded memory, the same bytes upstream, and nothing left behind."""

import asyncio
import contextlib
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.integration.gateway.wire import (
    Answer,
    calling,
    chunked,
    clear,
    received_by,
    request,
)
from tests.listening import listening
from tests.servers import CANARY, Server, gateway, write_keys
from tests.unit.gateway.inbound.forms import FORM, cut, file, form, part

AUDIO = "/v1/audio/transcriptions"
SOUND = file(bytes(range(256)) * (25 * 1024 * 4))  # 25 MiB
MAX_GROWTH_KIB = 8 * 1024
BLOCK = 256 * 1024

ROUTES = """
version: 1
endpoints:
  audio_transcriptions: {path: /v1/audio/transcriptions, body: form, max_body: 64MiB}
models:
  - {prefix: whisper-, provider: mock}
  - {model: loud, provider: mock, as: a-much-longer-name}
  - {model: listen, provider: listener}
"""
PROVIDERS = """
version: 1
providers:
  mock:
    base_url: "http://127.0.0.1:MOCK/v1"
    credentials: {api_key: {env: MOCK_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    caller_credentials: {body: {api_key: api_key}}
    endpoints: {audio_transcriptions: /audio/transcriptions}
  listener:
    base_url: "http://127.0.0.1:LISTENER"
    endpoints: {audio_transcriptions: /listen}
"""


@dataclass
class Listener:
    """An upstream that tells what it has read of a body so far."""

    read: int = 0
    first: threading.Event = field(default_factory=threading.Event)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split()[0])
        while self.read < length:
            chunk = await reader.read(65536)
            if not chunk:
                break
            self.read += len(chunk)
            self.first.set()
        writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}")
        await writer.drain()
        writer.close()


@dataclass
class Uploads:
    """A gateway whose temporary files go to a folder of their own."""

    server: Server
    mock: Server
    temporary: Path
    listener: Listener

    def open_files(self) -> list[str]:
        """Temporary files that the worker holds open, unlinked ones among them."""
        found = []
        for entry in Path(f"/proc/{self.server.worker_pids()[0]}/fd").iterdir():
            with contextlib.suppress(OSError):
                found.append(os.readlink(entry))
        return [name for name in found if name.startswith(str(self.temporary))]

    def is_clean(self) -> bool:
        """Whether no temporary file is left, neither in the folder nor open."""
        return not self.open_files() and not list(self.temporary.iterdir())

    def becomes_clean(self) -> bool:
        return eventually(self.is_clean)


def eventually(holds: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


@pytest.fixture(scope="module")
def uploads(tmp_path_factory: pytest.TempPathFactory, mock: Server) -> Iterator[Uploads]:
    folder = tmp_path_factory.mktemp("uploads")
    temporary = tmp_path_factory.mktemp("spool")
    listener = Listener()
    environ = {"MOCK_API_KEY": f"{CANARY}-uploads", "TMPDIR": str(temporary)}
    with listening(listener.serve) as port:
        ports = PROVIDERS.replace("MOCK/", f"{mock.port}/").replace("LISTENER", str(port))
        (folder / "providers.yaml").write_text(ports)
        (folder / "routes.yaml").write_text(ROUTES)
        write_keys(folder)
        with gateway(folder, folder / "log", environ=environ) as server:
            made = Uploads(server, mock, temporary, listener)
            warm_up(made)
            yield made
            assert server.process.poll() is None


def warm_up(uploads: Uploads) -> None:
    """Everything once, small, so that later growth is the upload's own."""
    for name in (b"whisper-1", b"loud"):
        small = form(file(b"RIFF" * 100_000), part("model", name))
        assert upload(uploads, small).status == 200


def upload(uploads: Uploads, body: bytes) -> Answer:
    with calling(uploads.server.port) as caller:
        caller.send(request(body, kind=FORM, target=AUDIO))
        return caller.answer()


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_a_model_behind_25_mb(uploads: Uploads) -> None:
    body = form(part("language", b"en"), SOUND, part("model", b"whisper-1"), part("x", b"y"))
    before = uploads.server.rss_kib()
    answer = upload(uploads, body)
    assert (answer.status, answer.header("x-mock-sha256")) == (200, sha256(body))
    assert uploads.server.rss_kib() - before <= MAX_GROWTH_KIB
    assert uploads.becomes_clean()


def test_a_model_behind_25_mb_in_the_shipped_configuration(served: Server) -> None:
    body = form(SOUND, part("model", b"whisper-1"))
    with calling(served.port) as caller:
        caller.send(request(body, kind=FORM, target=AUDIO))
        answer = caller.answer()
    assert (answer.status, answer.header("x-mock-sha256")) == (200, sha256(body))


def test_an_alias_behind_25_mb_changes_only_the_model(uploads: Uploads) -> None:
    before = uploads.server.rss_kib()
    answer = upload(uploads, form(SOUND, part("model", b"loud"), part("x", b"y")))
    renamed = form(SOUND, part("model", b"a-much-longer-name"), part("x", b"y"))
    assert (answer.status, answer.header("x-mock-sha256")) == (200, sha256(renamed))
    assert uploads.server.rss_kib() - before <= MAX_GROWTH_KIB
    assert uploads.becomes_clean()


def test_a_credential_before_25_mb_is_taken_out(uploads: Uploads) -> None:
    clear(uploads.mock)
    key = part("api_key", b"sk-callers-own")
    answer = upload(uploads, form(key, part("model", b"loud"), SOUND))
    changed = form(part("model", b"a-much-longer-name"), SOUND)
    assert (answer.status, answer.header("x-mock-sha256")) == (200, sha256(changed))
    (record,) = received_by(uploads.mock)
    assert ["authorization", "Bearer sk-callers-own"] in record["headers"]


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_an_alias_in_front_keeps_the_framing(uploads: Uploads, *, is_chunked: bool) -> None:
    clear(uploads.mock)
    body = form(part("model", b"loud"), file(b"RIFF" * 100_000))
    changed = form(part("model", b"a-much-longer-name"), file(b"RIFF" * 100_000))
    sent = request(body, kind=FORM, target=AUDIO)
    if is_chunked:
        chunks = chunked(cut(body, range(50_000, len(body), 50_000)))
        lines = "transfer-encoding: chunked"
        sent = request(chunks, lines, kind=FORM, target=AUDIO, length=None)
    with calling(uploads.server.port) as caller:
        caller.send(sent)
        assert caller.answer().header("x-mock-sha256") == sha256(changed)
    headers = dict(received_by(uploads.mock)[0]["headers"])
    assert headers.get("content-length") == (None if is_chunked else str(len(changed)))


def test_a_model_in_front_lets_the_file_stream(uploads: Uploads) -> None:
    """The rest is sent only when the upstream has the beginning, so waiting would never end."""
    body = form(part("model", b"listen"), SOUND)
    sent = request(body, kind=FORM, target=AUDIO)
    before = uploads.server.rss_kib()
    with calling(uploads.server.port) as caller:
        caller.send(sent[:BLOCK])
        assert uploads.listener.first.wait(5)
        assert 0 < uploads.listener.read < BLOCK
        assert not uploads.open_files()
        caller.send(sent[BLOCK:])
        assert caller.answer().status == 200
    assert uploads.listener.read == len(body)
    assert uploads.server.rss_kib() - before <= MAX_GROWTH_KIB


def test_a_credential_behind_the_file_is_refused(uploads: Uploads) -> None:
    clear(uploads.mock)
    body = form(part("model", b"whisper-1"), SOUND, part("api_key", b"sk-late"))
    answer = upload(uploads, body)
    assert (answer.status, answer.header("x-engine-error")) == (400, "invalid_form")
    assert b"must come before" in answer.body
    (record,) = received_by(uploads.mock)
    assert record["body_bytes"] < len(body)
    assert b"sk-late" not in record["body"].encode()
    assert uploads.becomes_clean()


def test_a_credential_behind_a_small_file_is_refused_as_well(uploads: Uploads) -> None:
    """However much of the form has come at once: the network must not decide."""
    clear(uploads.mock)
    small = part("file", b"x", 'filename="a.wav"')
    body = form(part("model", b"whisper-1"), small, part("api_key", b"sk-late"))
    answer = upload(uploads, body)
    assert (answer.status, answer.header("x-engine-error")) == (400, "invalid_form")
    assert b"must come before" in answer.body
    assert received_by(uploads.mock) == []


@pytest.mark.parametrize(
    "ending",
    [b"", part("model", b"whisper-1") + b"\r\n", b"--frontier\r\nbroken"],
    ids=["cut", "unterminated", "broken"],
)
def test_a_form_without_its_end_goes_nowhere(uploads: Uploads, ending: bytes) -> None:
    clear(uploads.mock)
    whole = form(SOUND).removesuffix(b"--\r\n") + b"\r\n" + ending
    answer = upload(uploads, whole)
    assert (answer.status, answer.header("x-engine-error")) == (400, "invalid_form")
    assert received_by(uploads.mock) == []
    assert uploads.becomes_clean()


def test_a_caller_who_leaves_leaves_no_file(uploads: Uploads) -> None:
    clear(uploads.mock)
    sent = request(form(SOUND, part("model", b"whisper-1")), kind=FORM, target=AUDIO)
    with calling(uploads.server.port) as caller:
        caller.send(sent[: len(sent) // 2])
        assert eventually(lambda: bool(uploads.open_files()))  # spooled, so there is one to lose
        assert not list(uploads.temporary.iterdir())
    assert uploads.becomes_clean()
    assert received_by(uploads.mock) == []


def test_uploads_side_by_side(uploads: Uploads) -> None:
    """Four at once keep to their own bytes, and memory is bounded for each."""
    answers: dict[int, Answer] = {}
    bodies = [form(file(bytes([n]) * 6_000_000), part("model", b"loud")) for n in range(4)]
    wanted = [body.replace(b"\r\n\r\nloud", b"\r\n\r\na-much-longer-name") for body in bodies]

    def send(number: int) -> None:
        answers[number] = upload(uploads, bodies[number])

    before = uploads.server.rss_kib()
    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    hashes = [answers[number].header("x-mock-sha256") for number in range(4)]
    assert hashes == [sha256(body) for body in wanted]
    assert uploads.server.rss_kib() - before <= 4 * MAX_GROWTH_KIB
    assert uploads.becomes_clean()
