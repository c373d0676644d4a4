"""The access record counts the bytes of a request and of its response, however the request ends."""

import json
import time
from typing import Any

import pytest

from tests import loopback
from tests.integration.gateway.wire import calling, chunked, driver, request
from tests.servers import KEY, WAIT, Server
from tests.unit.gateway.inbound.forms import FORM

CHUNKED = "transfer-encoding: chunked"
AUDIO, SPEECH = "/v1/audio/transcriptions", "/v1/audio/speech"
CHUNK = b" " * 65536
REFUSED = {
    "JSON that cannot be read": (request(b'{"model": gpt}'), "invalid_json", 14),
    "a form without its end": (request(b"--no form", kind=FORM, target=AUDIO), "invalid_form", 9),
    "chunks over the limit": (
        request(chunked([CHUNK] * 65, is_ended=False), CHUNKED, target=SPEECH, length=None),
        "request_too_large",
        None,
    ),
}


def read_whole(
    served: Server, method: str, target: str, body: str | None = None
) -> tuple[Any, bytes]:
    """A response and its body, without its chunk framing."""
    connection = loopback.connection(served.port)
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    connection.request(method, target, body, headers)
    response = connection.getresponse()
    received = response.read()
    connection.close()
    return response, received


@pytest.mark.parametrize(("sent", "code", "size"), REFUSED.values(), ids=REFUSED.keys())
def test_a_refused_body_is_counted(
    served: Server, sent: bytes, code: str, size: int | None
) -> None:
    answer = driver(served.port, sent)
    assert answer.header("x-engine-error") == code
    record = served.record(str(answer.header("x-engine-request-id")))
    if size is None:  # as much as had come when it was refused
        assert 64 * len(CHUNK) < record["bytes_in"] <= 65 * len(CHUNK)
    else:
        assert record["bytes_in"] == size
    assert record["bytes_out"] == len(answer.body)


@pytest.mark.parametrize("kind", ["application/json", FORM])
def test_a_body_that_breaks_off_is_counted(served: Server, kind: str) -> None:
    target = AUDIO if kind == FORM else "/v1/chat/completions"
    before = len(served.records)
    part = b'{"model":' if kind != FORM else b"--"
    with calling(served.port, WAIT) as caller:
        caller.send(request(part, kind=kind, target=target, length=1000))
        time.sleep(0.05)  # it is read before the connection is seen to end
    end = time.monotonic() + WAIT
    while len(served.records) == before and time.monotonic() < end:
        time.sleep(0.01)
    record = served.records[before]
    assert (record["outcome"], record["bytes_in"]) == ("client_cancelled", len(part))


@pytest.mark.parametrize("model", ["gpt-sizes", "gpt-sizes-mock-events-3-50"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_a_response_of_a_provider_is_counted(
    served: Server, model: str, *, is_stream: bool
) -> None:
    body = json.dumps({"model": model, "stream": is_stream, "messages": []})
    response, received = read_whole(served, "POST", "/v1/chat/completions", body)
    record = served.record(str(response.getheader("x-engine-request-id")))
    sizes = record["bytes_in"], record["bytes_out"]
    assert (record["outcome"], sizes) == ("ok", (len(body), len(received)))


def test_the_error_event_of_a_broken_stream_is_counted(served: Server) -> None:
    body = json.dumps({"model": "gpt-sizes-mock-cut", "stream": True, "messages": []})
    response, received = read_whole(served, "POST", "/v1/chat/completions", body)
    assert b"upstream_" in received
    record = served.record(str(response.getheader("x-engine-request-id")))
    assert (record["bytes_in"], record["bytes_out"]) == (len(body), len(received))


@pytest.mark.parametrize("target", ["/v1/models", "/v1/no/such"])
def test_a_response_to_head_has_no_bytes(served: Server, target: str) -> None:
    response, received = read_whole(served, "HEAD", target)
    assert (int(response.headers["content-length"]) > 0, received) == (True, b"")
    record = served.record(str(response.getheader("x-engine-request-id")))
    assert (record["bytes_in"], record["bytes_out"]) == (0, 0)


def test_a_record_says_when_the_first_event_of_a_stream_came(served: Server) -> None:
    body = {"model": "gpt-mock-events-3-50", "messages": [], "stream": True}
    for is_stream in (True, False):
        response, _ = read_whole(
            served, "POST", "/v1/chat/completions", json.dumps(body | {"stream": is_stream})
        )
        record = served.record(str(response.getheader("x-engine-request-id")))
        if is_stream:
            assert record["ms_first_byte"] <= record["ttft_ms"] < record["ms_total"] - 50
        else:
            assert record["ttft_ms"] is None
        assert (record["account"], record["trace_id"]) == (None, None)
