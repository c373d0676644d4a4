"""A caller that leaves closes the upstream connection, before and after the head of the answer."""

import json
import statistics
import time

import pytest

from tests import loopback
from tests.integration.gateway.wire import calling
from tests.servers import KEY, WAIT, Server

LIMIT = 0.25
pytestmark = pytest.mark.usefixtures("rested")


def request(model: str, *, stream: bool) -> bytes:
    body = json.dumps(
        {"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]}
    ).encode()
    head = (
        "POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
        f"authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def seen(mock: Server, model: str) -> dict[str, object] | None:
    """The mock's record of the request for `model`, which is unique to one test."""
    requests = loopback.get(f"{mock.url}/__mock/requests").json()["requests"]
    return next((r for r in requests if r["model"] == model), None)


def await_seen(mock: Server, model: str, field: str = "id") -> dict[str, object]:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        record = seen(mock, model)
        if record is not None and record[field] is not None:
            return record
        time.sleep(0.005)
    raise AssertionError(f"the upstream has no {field} for {model}")


def leave(server: Server, mock: Server, model: str, *, stream: bool, wait_for: bytes) -> float:
    """Seconds from the caller's close to the upstream noticing it."""
    with calling(server.port) as caller:
        caller.send(request(model, stream=stream))
        await_seen(mock, model)
        caller.wait_for(wait_for)
        left = time.time()
    record = await_seen(mock, model, "disconnected_at")
    gone = record["disconnected_at"]
    assert isinstance(gone, float)
    return gone - left


@pytest.mark.parametrize(
    ("name", "stream", "wait_for"),
    [
        ("hang", False, b""),
        ("hang", True, b""),
        ("stall", False, b"200 OK"),
        ("stall", True, b"data: "),
        ("events-500-10", True, b"data: "),
    ],
)
def test_upstream_is_closed_when_the_caller_leaves(
    served: Server, mock: Server, name: str, stream: bool, wait_for: bytes
) -> None:
    times = [
        leave(served, mock, f"gpt-{i}-{stream}-mock-{name}", stream=stream, wait_for=wait_for)
        for i in range(5)
    ]
    assert statistics.median(times) < LIMIT
    assert max(times) < LIMIT


def test_the_record_says_that_the_caller_left(served: Server, mock: Server) -> None:
    leave(served, mock, "gpt-record-mock-hang", stream=False, wait_for=b"")
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        ours = [r for r in served.records if r["model"] == "gpt-record-mock-hang"]
        if ours:
            assert ours[0]["outcome"] == "client_cancelled"
            assert ours[0]["rule"].startswith("routes.yaml:")
            return
        time.sleep(0.01)
    raise AssertionError("no access record")


def test_a_caller_who_leaves_while_uploading_reaches_no_provider(
    served: Server, mock: Server
) -> None:
    model = "gpt-upload-left"
    whole = request(model, stream=False)
    known = len(served.records)
    with calling(served.port) as caller:
        caller.send(whole[:-5])
        time.sleep(0.05)
    end = time.monotonic() + WAIT
    while len(served.records) == known and time.monotonic() < end:
        time.sleep(0.01)
    assert served.records[known]["outcome"] == "client_cancelled"
    assert seen(mock, model) is None
