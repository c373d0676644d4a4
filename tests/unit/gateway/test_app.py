"""The ASGI callable with clients that fail as no real one should: what its caller and its log see."""

import asyncio
import json
import re
import tempfile
from collections.abc import Awaitable, Callable
from typing import Any, TextIO

import pytest

from engine.gateway.access_log import AccessLog
from engine.gateway.app import TICK_SECONDS, Gateway
from engine.gateway.inbound.body import Message
from engine.upstream import Attempt, UpstreamResponse
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

BODY = json.dumps({"model": "gpt-a", "messages": []}).encode()
SCOPE = {
    "type": "http",
    "http_version": "1.1",
    "method": "POST",
    "path": "/v1/chat/completions",
    "raw_path": b"/v1/chat/completions",
    "query_string": b"",
    "headers": [
        (b"host", b"localhost"),
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(BODY)),
    ],
}


class ScriptedClient:
    """A client whose attempts end as `answer` does."""

    def __init__(self, answer: Callable[[], Awaitable[UpstreamResponse]]) -> None:
        self._answer = answer
        self.is_closed = False

    async def send(self, attempt: Attempt) -> UpstreamResponse:
        return await self._answer()

    async def close(self) -> None:
        self.is_closed = True


def exchange(
    answer: Callable[[], Awaitable[UpstreamResponse]],
    work: Callable[[Awaitable[None]], Awaitable[None]],
) -> tuple[list[Message], dict[str, Any]]:
    """What one request gets of a gateway whose client is scripted, and its access record."""
    sent: list[Message] = []
    watched = 0

    async def receive() -> Message:
        """The body, and then nothing: whoever asks again waits for the caller to leave."""
        nonlocal watched
        watched += 1
        if watched > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    async def main(stream: TextIO) -> None:
        log = AccessLog(stream)
        plan = shipped_plan()
        clients = {p.client: ScriptedClient(answer) for p in plan.providers.values()}
        gateway = Gateway(plan, clients, log, lambda: False)
        try:
            async with asyncio.timeout(20):
                await work(gateway(dict(SCOPE), receive, send))
        finally:
            gateway.flush()
            log.close()

    with tempfile.TemporaryFile("w+") as stream:
        asyncio.run(main(stream))
        assert watched <= 2, "more than one waits for the caller to leave"
        stream.seek(0)
        return sent, json.loads(stream.read())


def test_a_bug_is_a_500_whose_place_is_logged_and_whose_text_is_not() -> None:
    async def buggy() -> UpstreamResponse:
        raise KeyError("sk-secret")

    async def work(request: Awaitable[None]) -> None:
        await request

    (start, body), record = exchange(buggy, work)
    error = json.loads(body["body"])["error"]
    assert (start["status"], error["code"]) == (500, "internal_error")
    assert record["request_id"] in error["message"]
    assert (record["status"], record["outcome"]) == (500, "internal_error")
    assert re.match(r"KeyError at test_app\.py:\d+", record["exception"])
    assert "secret" not in json.dumps(record) + body["body"].decode()


def test_who_cancels_a_request_from_outside_sees_it_cancelled() -> None:
    called = asyncio.Event()

    async def silent() -> UpstreamResponse:
        called.set()
        await asyncio.Event().wait()
        raise AssertionError

    async def work(request: Awaitable[None]) -> None:
        task = asyncio.ensure_future(request)
        await called.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    sent, record = exchange(silent, work)
    assert sent == []
    assert record["outcome"] == "server_cancelled"


def test_one_watch_at_a_time_waits_for_the_caller_to_leave() -> None:
    async def slow() -> UpstreamResponse:
        await asyncio.sleep(8 * TICK_SECONDS)
        raise KeyError

    async def work(request: Awaitable[None]) -> None:
        await request

    (start, _), record = exchange(slow, work)
    assert (start["status"], record["outcome"]) == (500, "internal_error")


Start = Callable[[], asyncio.Task[None]]


def with_silent_provider(
    work: Callable[[Gateway, ScriptedClient, Start], Awaitable[None]],
) -> None:
    """Run `work`, which starts requests that have no response."""

    async def silent() -> UpstreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    def receiver() -> Callable[[], Awaitable[Message]]:
        body = iter([{"type": "http.request", "body": BODY, "more_body": False}])

        async def receive() -> Message:
            for message in body:
                return message
            await asyncio.Event().wait()
            raise AssertionError

        return receive

    async def send(message: Message) -> None:
        pass

    async def main(stream: TextIO) -> None:
        log = AccessLog(stream)
        plan = shipped_plan()
        client = ScriptedClient(silent)
        gateway = Gateway(plan, {p.client: client for p in plan.providers.values()}, log, bool)

        def start() -> asyncio.Task[None]:
            return asyncio.create_task(gateway(dict(SCOPE), receiver(), send))

        async with asyncio.timeout(20):
            await work(gateway, client, start)
        gateway.flush()
        log.close()

    with tempfile.TemporaryFile("w+") as stream:
        asyncio.run(main(stream))


def test_the_most_requests_in_flight_are_counted_once_and_outlive_the_requests() -> None:
    """A busy worker asks when it has just emptied its queue; it must not look idle then."""

    async def work(gateway: Gateway, _: ScriptedClient, start: Start) -> None:
        tasks = [start() for _ in range(3)]
        await asyncio.sleep(3 * TICK_SECONDS)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [gateway.take_peak_requests(), gateway.take_peak_requests()] == [3, 0]

    with_silent_provider(work)


def test_a_bug_in_what_takes_records_stops_no_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(gateway: Gateway, _: ScriptedClient, start: Start) -> None:
        bugs: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: bugs.append(context))
        task = start()
        with monkeypatch.context() as patch:
            patch.setattr(Gateway, "flush", None)
            await asyncio.sleep(4 * TICK_SECONDS)
        task.cancel()
        await asyncio.wait([task])
        assert len(bugs) > 1

    with_silent_provider(work)


@each("count", [0, 1, 2])
def test_an_old_gateway_closes_its_connections_when_its_last_request_is_over(count: int) -> None:
    async def end(task: asyncio.Task[None]) -> None:
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])

    async def work(gateway: Gateway, client: ScriptedClient, start: Start) -> None:
        await end(start())
        tasks = [start() for _ in range(count)]
        await asyncio.sleep(0)
        retiring = asyncio.ensure_future(gateway.retire())
        for task in tasks:
            await asyncio.sleep(0)
            assert not client.is_closed
            await end(task)
        await retiring
        assert client.is_closed

    with_silent_provider(work)


def test_a_worker_that_ends_is_ready_as_long_as_the_server_is_and_closes_the_connection() -> None:
    sent: list[Message] = []
    closing = iter((False, True, True))

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        sent.append(message)

    async def main(stream: TextIO) -> None:
        log = AccessLog(stream)
        gateway = Gateway(shipped_plan(), {}, log, lambda: next(closing))
        probe = {**SCOPE, "method": "GET", "raw_path": b"/readyz", "headers": []}
        for gateway.is_draining in (False, False, True):
            await gateway(probe, receive, send)
        gateway.flush()
        log.close()

    with tempfile.TemporaryFile("w+") as stream:
        asyncio.run(main(stream))
    starts = [message for message in sent if message["type"] == "http.response.start"]
    closed = [(b"connection", b"close") in start["headers"] for start in starts]
    assert [start["status"] for start in starts] == [200, 200, 503]
    assert closed == [False, True, True]
