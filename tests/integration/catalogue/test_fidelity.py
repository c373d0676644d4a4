"""Every shipped endpoint, byte by byte: what the upstream put on the wire is what the caller reads.

A tap between gateway and upstream keeps the upstream's own bytes, since no two of its answers are
alike.
"""

import gzip
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from tests import loopback
from tests.integration.catalogue.tap import Answer, Tap, tapped
from tests.servers import KEY, Server, gateway, read_yaml, received, ship

FRAMING = {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}
STATUSES = (200, 400, 401, 404, 429, 500)
PNG = ("a.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40, "image/png")
SOUND = ("a.wav", b"RIFF" + bytes(range(256)) * 40, "audio/wav")
SAID = [{"role": "user", "content": "h\u00e9llo"}]


@dataclass(frozen=True)
class Shape:
    """A request for one endpoint: how its model names start, its fields, its files."""

    prefix: str
    path: str
    fields: dict[str, Any]
    files: dict[str, Any] = field(default_factory=dict)
    stream: dict[str, Any] | None = None


STREAM = {"stream": True}

SHAPES = {
    "chat_completions": Shape("gpt-", "/v1/chat/completions", {"messages": SAID}, stream=STREAM),
    "completions": Shape("gpt-", "/v1/completions", {"prompt": "hi"}, stream=STREAM),
    "embeddings": Shape("gpt-", "/v1/embeddings", {"input": ["one", "two"]}),
    "responses": Shape("gpt-", "/v1/responses", {"input": "hi"}, stream=STREAM),
    "messages": Shape(
        "claude-", "/v1/messages", {"max_tokens": 9, "messages": SAID}, stream=STREAM
    ),
    "images_generations": Shape("gpt-", "/v1/images/generations", {"prompt": "fox"}, stream=STREAM),
    "images_edits": Shape(
        "gpt-",
        "/v1/images/edits",
        {"prompt": "fox"},
        {"image": PNG},
        {"stream": "true", "partial_images": "3"},
    ),
    "images_variations": Shape("gpt-", "/v1/images/variations", {"n": "1"}, {"image": PNG}),
    "audio_transcriptions": Shape(
        "gpt-", "/v1/audio/transcriptions", {"language": "en"}, {"file": SOUND}, {"stream": "true"}
    ),
    "audio_translations": Shape(
        "gpt-", "/v1/audio/translations", {"prompt": "hi"}, {"file": SOUND}
    ),
    "audio_speech": Shape(
        "gpt-",
        "/v1/audio/speech",
        {"input": "hi", "voice": "alloy"},
        stream={"stream_format": "sse"},
    ),
    "moderations": Shape("gpt-", "/v1/moderations", {"input": "hi"}),
    "rerank": Shape("rerank-v", "/v1/rerank", {"query": "a", "documents": ["a", "b"]}),
    "ocr": Shape("mistral-", "/v1/ocr", {"document": {"type": "document_url"}}),
    "videos_generations": Shape("grok-", "/v1/videos/generations", {"prompt": "fox"}),
    "responses_input_tokens": Shape("gpt-", "/v1/responses/input_tokens", {"input": "hi"}),
    "responses_compact": Shape("gpt-", "/v1/responses/compact", {"input": "hi"}),
    "messages_count_tokens": Shape("claude-", "/v1/messages/count_tokens", {"messages": SAID}),
    "cohere_chat": Shape("command-", "/v2/chat", {"messages": SAID}, stream=STREAM),
    "cohere_embed": Shape("embed-v", "/v2/embed", {"texts": ["one", "two"]}),
    "cohere_chat_v1": Shape("command-", "/v1/chat", {"message": "hi"}),
    "cohere_embed_v1": Shape("embed-v", "/v1/embed", {"texts": ["one", "two"]}),
    "cohere_classify": Shape("embed-v", "/v1/classify", {"inputs": ["one"]}),
    "cohere_tokenize": Shape("command-", "/v1/tokenize", {"text": "hi"}),
    "cohere_detokenize": Shape("command-", "/v1/detokenize", {"tokens": [1]}),
}
STREAMING = [name for name, shape in SHAPES.items() if shape.stream]

every_endpoint = pytest.mark.parametrize("endpoint", SHAPES)
every_stream = pytest.mark.parametrize("endpoint", STREAMING)


@pytest.fixture(scope="module")
def tap(mock: Server) -> Iterator[Tap]:
    with tapped(mock.port) as wire:
        yield wire


@pytest.fixture(scope="module")
def caller(
    tmp_path_factory: pytest.TempPathFactory, tap: Tap, canaries: dict[str, str]
) -> Iterator[httpx2.Client]:
    """A client of the shipped configuration, with the tap in the place of every provider."""
    folder = tmp_path_factory.mktemp("tapped")
    arguments = ("--mock-port", str(tap.port))
    with (
        gateway(ship(folder), folder / "log", *arguments, environ=canaries) as server,
        loopback.Client(
            base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=60
        ) as client,
    ):
        yield client


@dataclass
class Heard:
    """An answer as the caller reads it; `failure` is how reading its body ended early."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    failure: Exception | None

    def values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]


def request(caller: httpx2.Client, endpoint: str, fault: str, **more: Any) -> httpx2.Request:
    shape = SHAPES[endpoint]
    fields = {"model": shape.prefix + fault, **shape.fields, **more}
    if shape.files:
        return caller.build_request("POST", shape.path, data=fields, files=shape.files)
    return caller.build_request("POST", shape.path, json=fields)


def exchange(caller: httpx2.Client, asked: httpx2.Request) -> Heard:
    """Send a request and read the answer, undecoded."""
    body, failure = b"", None
    answer = caller.send(asked, stream=True)
    try:
        for chunk in answer.iter_raw():
            body += chunk
    except httpx2.TransportError as error:
        failure = error
    finally:
        answer.close()
    raw = answer.headers.raw
    headers = [(name.decode().lower(), value.decode("latin-1")) for name, value in raw]
    return Heard(answer.status_code, headers, body, failure)


def assert_same_head(heard: Heard, sent: Answer) -> None:
    """The status and each header of the upstream, in its order, and nothing unexpected beside."""
    assert heard.status == sent.status
    kept = [pair for pair in sent.headers if pair[0] not in FRAMING]
    assert len(kept) > 5
    assert ("x-mock-unheard-of", "1") in kept
    assert heard.headers[: len(kept)] == kept
    added = {name for name, _ in heard.headers[len(kept) :]} - FRAMING
    expected = {"x-engine-request-id", "x-request-id"} - {name for name, _ in kept}
    if dict(kept)["content-type"].startswith("text/event-stream"):
        expected.add("x-accel-buffering")
    assert added == expected
    assert len(heard.values("date")) <= 1


def assert_same_answer(heard: Heard, sent: Answer) -> None:
    assert sent.whole
    assert heard.failure is None
    assert_same_head(heard, sent)
    assert sent.body
    assert digest(heard.body) == digest(sent.body)
    length = dict(sent.headers).get("content-length")
    if loopback.IS_HTTP2 and heard.values("content-length"):  # of a body that the server has whole
        length = str(len(heard.body))
    assert heard.values("content-length") == ([length] if length else [])


def assert_same_request(mock: Server, heard: Heard, asked: httpx2.Request) -> None:
    """The upstream read the bytes that the caller sent."""
    assert heard.values("x-mock-sha256") == [digest(asked.read())]
    record = received(mock, heard.values("x-mock-id")[0])
    assert ["content-type", asked.headers["content-type"]] in record["headers"]


def digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def test_each_shipped_endpoint_is_here() -> None:
    shipped = read_yaml("routes.yaml")["endpoints"]
    assert {name: shape.path for name, shape in SHAPES.items()} == {
        name: endpoint["path"] for name, endpoint in shipped.items()
    }


@every_endpoint
def test_status_headers_and_body(
    caller: httpx2.Client, tap: Tap, mock: Server, endpoint: str
) -> None:
    for status in STATUSES:
        asked = request(caller, endpoint, f"mock-status-{status}")
        heard = exchange(caller, asked)
        assert heard.status == status
        assert heard.values("x-engine-error") == []
        assert heard.values("retry-after") == (["1"] if status == 429 else [])
        assert_same_answer(heard, tap.take())
        assert_same_request(mock, heard, asked)


@every_endpoint
def test_a_compressed_body_stays_compressed(caller: httpx2.Client, tap: Tap, endpoint: str) -> None:
    heard = exchange(caller, request(caller, endpoint, "mock-gzip"))
    assert_same_answer(heard, tap.take())
    assert heard.values("content-encoding") == ["gzip"]
    assert gzip.decompress(heard.body)


@every_endpoint
def test_a_body_that_breaks_off_is_never_taken_for_whole(
    caller: httpx2.Client, tap: Tap, endpoint: str
) -> None:
    heard = exchange(caller, request(caller, endpoint, "mock-cut"))
    sent = tap.take()
    assert not sent.whole
    assert_same_head(heard, sent)
    assert isinstance(heard.failure, httpx2.RemoteProtocolError)
    assert heard.body == sent.body
    assert heard.body


@every_stream
def test_a_stream(caller: httpx2.Client, tap: Tap, mock: Server, endpoint: str) -> None:
    asked = request(caller, endpoint, "x", **SHAPES[endpoint].stream or {})
    heard = exchange(caller, asked)
    assert heard.values("content-type")[0].startswith("text/event-stream")
    assert_same_answer(heard, tap.take())
    assert_same_request(mock, heard, asked)


@every_stream
def test_a_refused_stream(caller: httpx2.Client, tap: Tap, endpoint: str) -> None:
    stream = SHAPES[endpoint].stream or {}
    heard = exchange(caller, request(caller, endpoint, "mock-status-429", **stream))
    assert heard.values("content-type") == ["application/json"]
    assert heard.values("retry-after") == ["1"]
    assert_same_answer(heard, tap.take())


@every_stream
def test_a_stream_that_breaks_off_ends_in_the_error_event(
    caller: httpx2.Client, tap: Tap, endpoint: str
) -> None:
    stream = SHAPES[endpoint].stream or {}
    heard = exchange(caller, request(caller, endpoint, "mock-cut-events-4", **stream))
    sent = tap.take()
    assert not sent.whole
    assert_same_head(heard, sent)
    assert heard.failure is None
    whole = sent.body[: sent.body.rfind(b"\n\n") + 2] if b"\n\n" in sent.body else b""
    assert heard.body.startswith(whole)
    assert sent.body.count(b"data: ") >= 1
    assert b"[DONE]" not in heard.body
    assert b"message_stop" not in heard.body
    assert_error_event(heard, heard.body.removeprefix(whole), endpoint)


def assert_error_event(heard: Heard, event: bytes, endpoint: str) -> None:
    name, data = event.decode().removesuffix("\n\n").rpartition("data: ")[::2]
    body = json.loads(data)
    assert event.endswith(b"\n\n")
    assert "broke off" in body["error"]["message"]
    if endpoint == "messages":
        assert name == "event: error\n"
        assert body["type"] == "error"
        assert body["request_id"] == heard.values("x-engine-request-id")[0]
    else:
        assert name == ("event: response.failed\n" if endpoint == "responses" else "")
        assert body["error"]["code"] == "upstream_truncated"


@pytest.mark.parametrize("fault", ["x", "mock-cut-events-4"])
def test_a_stream_of_json_lines(caller: httpx2.Client, tap: Tap, fault: str) -> None:
    """It has no events, so one that breaks off is cut as any other body."""
    heard = exchange(caller, request(caller, "cohere_chat_v1", fault, stream=True))
    sent = tap.take()
    assert heard.values("content-type") == ["application/stream+json"]
    assert_same_head(heard, sent)
    assert heard.body.count(b"\n") > 1
    assert heard.body == sent.body
    assert sent.whole == (heard.failure is None) == (fault == "x")


def test_a_compressed_stream_that_breaks_off_is_cut(caller: httpx2.Client, tap: Tap) -> None:
    """Plain text cannot follow compressed bytes, so there is no error event."""
    asked = request(caller, "chat_completions", "mock-cut-mock-gzip", stream=True)
    heard = exchange(caller, asked)
    sent = tap.take()
    assert_same_head(heard, sent)
    assert heard.body == sent.body
    assert isinstance(heard.failure, httpx2.RemoteProtocolError)


def test_three_megabytes_of_sound(caller: httpx2.Client, tap: Tap) -> None:
    heard = exchange(caller, request(caller, "audio_speech", "mock-size-3000000"))
    assert heard.values("content-type") == ["audio/wav"]
    assert heard.values("content-length") == ["3000000"]
    assert heard.body.startswith(b"RIFF")
    assert_same_answer(heard, tap.take())


@pytest.mark.parametrize("encodings", ["gzip, br;q=0.5", "identity", "zstd"])
def test_the_caller_chooses_the_encoding(
    caller: httpx2.Client, mock: Server, tap: Tap, encodings: str
) -> None:
    asked = request(caller, "embeddings", "x")
    asked.headers["accept-encoding"] = encodings
    heard = exchange(caller, asked)
    record = received(mock, heard.values("x-mock-id")[0])
    assert [pair for pair in record["headers"] if pair[0] == "accept-encoding"] == [
        ["accept-encoding", encodings]
    ]
    assert_same_answer(heard, tap.take())
