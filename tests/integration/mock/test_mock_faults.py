"""Each fault, chosen by the model's name or for the whole process, seen on a plain connection."""

import base64
import gzip
import json
import time
from collections.abc import Callable
from typing import Any

import httpx2
import pytest

from tests import loopback

CHAT = "/v1/chat/completions"
SPEECH = "/v1/audio/speech"


def ask(model: str, **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "input": "hi", **more}


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        (CHAT, 429, ("error", "type", "rate_limit_error")),
        (CHAT, 500, ("error", "type", "server_error")),
        ("/v1/messages", 529, ("error", "type", "overloaded_error")),
        ("/v1/messages", 413, ("error", "type", "request_too_large")),
        ("/v1beta/openai/chat/completions", 503, ("error", "status", "UNAVAILABLE")),
        ("/api/v1/chat/completions", 429, ("error", "code", 429)),
        ("/v2/rerank", 400, ("message",)),
    ],
)
def test_status(mock_http: httpx2.Client, path: str, status: int, kind: tuple[Any, ...]) -> None:
    answer = mock_http.post(path, json=ask(f"mock-status-{status}", stream=True))
    assert answer.status_code == status
    found = answer.json()
    for step in kind[: 2 if len(kind) > 1 else 1]:
        found = found[step]
    assert len(kind) == 1 or found == kind[2]
    assert answer.headers.get("retry-after") == ("1" if status in {429, 503, 529} else None)


def test_slow(mock_http: httpx2.Client) -> None:
    started = time.monotonic()
    assert mock_http.post(CHAT, json=ask("mock-slow-200")).status_code == 200
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize("fault", ["hang", "stall"])
@pytest.mark.parametrize("stream", [False, True])
def test_silence_until_the_client_leaves(
    mock_http: httpx2.Client, fault: str, stream: bool
) -> None:
    with pytest.raises(httpx2.ReadTimeout):
        mock_http.post(CHAT, json=ask(f"mock-{fault}", stream=stream), timeout=0.5)
    record = wait_closed(mock_http)
    assert record["finished"] is False
    assert record["status"] == (200 if fault == "stall" else None)


def test_stall_sends_headers_and_a_first_piece(mock_http: httpx2.Client) -> None:
    with mock_http.stream("POST", CHAT, json=ask("mock-stall", stream=True)) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_raw()
        assert next(chunks).startswith(b"data: ")
        assert mock_http.get("/__mock/status").json()["open"] == 1
    assert wait_closed(mock_http)["disconnected_at"] is not None


@pytest.mark.parametrize(
    ("path", "more"),
    [(CHAT, {}), (CHAT, {"stream": True}), (SPEECH, {}), (SPEECH, {"stream_format": "sse"})],
)
def test_cut(mock_http: httpx2.Client, path: str, more: dict[str, Any]) -> None:
    received = b""
    with mock_http.stream("POST", path, json=ask("mock-cut", **more)) as answer:
        assert answer.status_code == 200
        chunks = answer.iter_raw()
        with pytest.raises(httpx2.RemoteProtocolError):
            while True:
                received += next(chunks)
    assert received
    assert b"[DONE]" not in received
    assert mock_http.post(CHAT, json=ask("m")).status_code == 200


@pytest.mark.parametrize(
    ("path", "mark"),
    [
        (CHAT, b'"delta":{"content"'),
        ("/v1/completions", b'"finish_reason":null'),
        ("/v1/responses", b"event: response.output_text.delta"),
        ("/v1/messages", b"event: content_block_delta"),
        ("/v1/images/generations", b"event: image_generation.partial_image"),
    ],
)
def test_events(mock_http: httpx2.Client, path: str, mark: bytes) -> None:
    events, started = 0, time.monotonic()
    with mock_http.stream("POST", path, json=ask("mock-events-10-20", stream=True)) as answer:
        for chunk in answer.iter_raw():
            events += chunk.count(mark)
    assert events == 10
    assert time.monotonic() - started > 0.15


def test_events_in_a_form(mock_http: httpx2.Client) -> None:
    answer = mock_http.post(
        "/v1/audio/transcriptions",
        files={"file": ("a.wav", bytes(100_000))},
        data={"stream": "true", "model": "mock-events-30-1"},
    )
    assert answer.text.count("transcript.text.delta") == 30


@pytest.mark.parametrize("path", [CHAT, SPEECH])
def test_size(mock_http: httpx2.Client, path: str) -> None:
    answer = mock_http.post(path, json=ask("mock-size-1048576"))
    assert len(answer.content) == 1048576
    assert answer.headers["content-length"] == "1048576"
    if path == CHAT:
        assert answer.json()["choices"]


@pytest.mark.parametrize("stream", [False, True])
def test_gzip(mock_http: httpx2.Client, stream: bool) -> None:
    with mock_http.stream("POST", CHAT, json=ask("mock-gzip", stream=stream)) as answer:
        raw = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == "gzip"
    body = gzip.decompress(raw)
    assert body.endswith(b"[DONE]\n\n") if stream else json.loads(body)["choices"]


def test_faults_combine(mock_http: httpx2.Client) -> None:
    answer = mock_http.post(CHAT, json=ask("mock-slow-50-mock-status-502"))
    assert answer.status_code == 502


def test_fault_in_a_deployment(mock_http: httpx2.Client) -> None:
    path = "/openai/deployments/mock-status-418/chat/completions?api-version=x"
    assert mock_http.post(path, json={}).status_code == 418


def test_fault_of_the_process(serve_mock: Callable[..., str]) -> None:
    url = serve_mock("status-503", require_auth=True)
    with loopback.Client(base_url=url, trust_env=False) as client:
        assert client.post(CHAT, json=ask("m")).status_code == 401
        bare = client.post("/v1/messages", json=ask("m"))
        assert bare.json()["error"]["type"] == "authentication_error"
        for name in ("authorization", "x-api-key", "api-key", "x-goog-api-key"):
            assert client.post(CHAT, json=ask("m"), headers={name: "k"}).status_code == 503


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/v1/v1/chat/completions", "/v1//chat/completions", "/"]
)
def test_unknown_path(mock_http: httpx2.Client, path: str) -> None:
    answer = mock_http.post(path, json=ask("m"))
    assert answer.status_code == 404
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


def test_unreadable_body(mock_http: httpx2.Client) -> None:
    assert mock_http.post(CHAT, content=b'{"model": ').status_code == 400


def test_text_of_a_caller_is_not_a_template(mock_http: httpx2.Client) -> None:
    said = [{"role": "user", "content": "${target} ${id}"}]
    answer = mock_http.post(CHAT, json={"model": "${n}", "messages": said}).json()
    assert answer["model"] == "${n}"
    assert answer["choices"][0]["message"]["content"] == "You said: ${target} ${id}"


def test_picture_is_a_real_one(mock_http: httpx2.Client) -> None:
    made = mock_http.post("/v1/images/generations", json={"prompt": "x"}).json()
    assert base64.b64decode(made["data"][0]["b64_json"]).endswith(b"IEND\xaeB`\x82")


def wait_closed(client: httpx2.Client) -> dict[str, Any]:
    """Give the only record, once nothing is open any more."""
    for _ in range(100):
        if client.get("/__mock/status").json()["open"] == 0:
            break
        time.sleep(0.01)
    [record] = client.get("/__mock/requests").json()["requests"]
    return dict(record)


def test_odd_values_do_not_break_it(mock_http: httpx2.Client) -> None:
    odd = (
        b'{"model": 7, "documents": ["\\ud800", 1, {}], "query": null, "top_n": "x", "stream": []}'
    )
    for path in ("/v1/rerank", CHAT, "/v1/responses", "/v1/embeddings", "/v1/images/edits"):
        assert mock_http.post(path, content=odd).status_code == 200
    picture = b'{"prompt": "\\udfff", "n": 1.5, "input": [[1], null], "messages": "x"}'
    for path in ("/v1/images/generations", CHAT, "/v1/embeddings", "/v2/embed", "/v1/moderations"):
        assert mock_http.post(path, content=picture).status_code == 200
