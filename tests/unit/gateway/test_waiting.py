"""How long a request waits, for its caller and for another attempt; a test moves the clock."""

import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any, TextIO

import pytest

from engine.config.load import load
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.inbound.body import Message
from engine.gateway.response.relay import END_SECONDS
from engine.plan.plan import Plan
from engine.upstream import Attempt, Failure, Pairs, UpstreamError, UpstreamResponse, Write
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

CALLER_IDLE = 30
EVENTS = [(b"content-type", b"text/event-stream")]
DONE = b"data: [DONE]\n\n"


@dataclass
class ScriptedReply:
    """Chunks, and then its end: silence, a break, or a good one whose `close` takes long."""

    status: int = 200
    headers: Pairs = field(default_factory=lambda: EVENTS)
    chunks: tuple[bytes, ...] = ()
    is_silent: bool = False
    is_whole: bool = False
    closing: asyncio.Event = field(default_factory=asyncio.Event)
    length: int | None = None
    is_complete: bool = False

    @property
    def fields(self) -> Mapping[bytes, bytes]:
        return dict(self.headers)

    def arrived(self) -> bytes:
        return b""

    async def forward(self, write: Write) -> None:
        for chunk in self.chunks:
            if (waiting := write(chunk)) is not None:
                await waiting
        if self.is_silent:
            await asyncio.Event().wait()
        if not self.is_whole:
            raise UpstreamError(Failure.TRUNCATED)

    async def close(self) -> None:
        self.closing.set()
        if self.is_whole:
            await asyncio.sleep(0.2)


@dataclass
class ScriptedClient:
    """Attempts end with what `reply` gives, and never where that is None."""

    reply: Callable[[Attempt], UpstreamResponse | None]
    sent: list[Attempt] = field(default_factory=list)

    async def send(self, attempt: Attempt) -> UpstreamResponse:
        self.sent.append(attempt)
        reply = self.reply(attempt)
        if reply is None:
            await asyncio.Event().wait()
        assert reply is not None
        return reply

    async def close(self) -> None:
        pass


class Caller:
    """One request in flight. It stops reading where `stalls` says so, until `reads` is set."""

    def __init__(self, gateway: Gateway, stalls: Callable[[Message], bool], **changes: Any) -> None:
        self.gateway = gateway
        self.stalls = stalls
        self.messages: list[Message] = []
        self.stalled, self.reads, self.left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        body = json.dumps({"model": changes.pop("model", "gpt-a"), "messages": []}).encode()
        headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        self._upload_seconds = changes.pop("upload_seconds", 0)
        begun: bytes | None = changes.pop("begun", None)  # of a body that stops there
        self._body = [
            {"type": "http.request", "body": begun or body, "more_body": begun is not None}
        ]
        scope = {
            "http_version": "1.1",
            "method": "POST",
            "raw_path": b"/v1/chat/completions",
            "query_string": b"",
            "headers": [*headers, (b"content-length", b"%d" % len(body))],
            **changes,
        }
        self.task = asyncio.ensure_future(gateway(scope, self._receive, self._send))

    async def _receive(self) -> Message:
        if self._body:
            await asyncio.sleep(self._upload_seconds)
            return self._body.pop()
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        if self.stalls(message) and not self.reads.is_set():
            self.stalled.set()
            await self.reads.wait()
        self.messages.append(message)

    async def pass_time(self, seconds: float) -> bool:
        """Let `seconds` pass for all requests; whether this one is over then."""
        now = monotonic()
        for request in tuple(self.gateway.requests):
            request.tick(now)  # a phase counts from the first tick that sees it
            request.tick(now + seconds)
        await asyncio.wait([self.task], timeout=0.02)
        return self.task.done()


def play(
    scenario: Callable[[Gateway], Any],
    reply: Callable[[Attempt], UpstreamResponse | None] = lambda _: None,
    plan: Plan | None = None,
    is_closing: Callable[[], bool] = bool,
) -> dict[str, Any]:
    """Play `scenario` with a gateway, and give the last access record, if there is one."""

    async def main(stream: TextIO) -> None:
        log, used = AccessLog(stream), plan or shipped_plan()
        client = ScriptedClient(reply)
        gateway = Gateway(
            used, {p.client: client for p in used.providers.values()}, log, is_closing
        )
        try:
            async with asyncio.timeout(20):
                await scenario(gateway)
        finally:
            gateway.abort_in_flight()
            gateway.flush()
            log.close()

    with tempfile.TemporaryFile("w+") as stream:
        asyncio.run(main(stream))
        stream.seek(0)
        lines = stream.read().splitlines()
        record: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return record


# -- a caller who does not read --------------------------------------------------------------------


def is_start(message: Message) -> bool:
    return bool(message["type"] == "http.response.start")


def is_last(message: Message) -> bool:
    return message.get("more_body") is False


def raising(error: Exception) -> Callable[[Attempt], UpstreamResponse]:
    def reply(_: Attempt) -> UpstreamResponse:
        raise error

    return reply


@each("stalls", [is_start, is_last])
@each(
    ("changes", "reply"),
    [
        ({"raw_path": b"/nowhere"}, raising(AssertionError())),
        ({"method": "GET", "raw_path": b"/v1/models"}, raising(AssertionError())),
        ({}, raising(UpstreamError(Failure.CONNECT_FAILED))),
        ({}, raising(KeyError())),
        ({}, lambda _: ScriptedReply(chunks=(b"data: {}\n\n",))),
    ],
)
def test_who_does_not_read_is_given_up_after_caller_idle_whatever_is_sent(
    changes: dict[str, Any],
    reply: Callable[[Attempt], UpstreamResponse | None],
    stalls: Callable[[Message], bool],
) -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, stalls, **changes)
        await caller.stalled.wait()
        assert not await caller.pass_time(CALLER_IDLE - 5)
        assert await caller.pass_time(CALLER_IDLE + 1)
        assert not any(map(is_last, caller.messages))

    assert play(scenario, reply)["outcome"] == "client_stalled"


def test_who_does_not_read_the_end_of_a_whole_stream_is_given_up() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, is_last)
        await asyncio.sleep(0.01)
        await caller.pass_time(END_SECONDS + 1)
        await caller.stalled.wait()
        assert await caller.pass_time(CALLER_IDLE + 1)

    record = play(scenario, lambda _: ScriptedReply(chunks=(DONE,), is_silent=True))
    assert record["outcome"] == "client_stalled"


def test_nothing_follows_the_end_of_a_response_that_was_not_read() -> None:
    ends = []

    def stalls(message: Message) -> bool:
        if is_last(message):
            ends.append(message)
        return is_last(message)

    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, stalls)
        await caller.stalled.wait()
        await caller.pass_time(CALLER_IDLE + 1)
        async with asyncio.timeout(5):
            await caller.task

    record = play(scenario, lambda _: ScriptedReply(chunks=(DONE,), is_whole=True))
    assert record["outcome"] == "client_stalled"
    assert len(ends) == 1


def test_a_stream_whose_last_event_is_not_read_is_not_complete() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda message: message.get("body") == DONE)
        await caller.stalled.wait()
        assert not await caller.pass_time(CALLER_IDLE - 5)
        assert await caller.pass_time(CALLER_IDLE + 1)
        assert list(map(is_start, caller.messages)) == [True]

    reply = ScriptedReply(chunks=(DONE,), is_silent=True)
    assert play(scenario, lambda _: reply)["outcome"] == "client_stalled"


def test_a_connection_that_takes_long_to_close_harms_no_response() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        await reply.closing.wait()
        assert not await caller.pass_time(1000)
        await caller.task

    reply = ScriptedReply(chunks=(DONE,), is_whole=True)
    assert play(scenario, lambda _: reply)["outcome"] == "ok"


def test_who_leaves_once_a_stream_is_whole_has_had_all_of_it() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        await reply.closing.wait()
        caller.left.set()
        await caller.task

    reply = ScriptedReply(chunks=(DONE,), is_whole=True)
    assert play(scenario, lambda _: reply)["outcome"] == "ok"


@pytest.mark.parametrize(("path", "idle"), [(b"/v1/chat/completions", 10), (b"/nowhere", 20)])
def test_the_time_is_that_of_the_endpoint_or_the_default(
    plan: Plan, path: bytes, idle: float
) -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, is_start, raw_path=path, model="full-1")
        await caller.stalled.wait()
        assert not await caller.pass_time(idle - 5)
        assert await caller.pass_time(idle + 1)

    play(scenario, raising(UpstreamError(Failure.CONNECT_FAILED)), plan)


def test_who_does_not_read_a_probe_is_given_up() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, is_start, method="GET", raw_path=b"/healthz", headers=[])
        await caller.task
        assert caller.messages == []

    play(scenario, plan=replace(shipped_plan(), caller_idle=0.05))


def test_a_stream_whose_last_event_was_taken_late_ends_as_soon_as_any_other() -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda message: message.get("body") == DONE)
        await caller.stalled.wait()
        caller.reads.set()
        await asyncio.sleep(0.01)
        assert await caller.pass_time(END_SECONDS + 0.5)
        assert [m.get("body") for m in caller.messages] == [None, DONE, b""]

    reply = ScriptedReply(chunks=(DONE,), is_silent=True)
    assert play(scenario, lambda _: reply)["outcome"] == "ok"


# -- a caller who does not go on -------------------------------------------------------------------

FORM = b'--b\r\ncontent-disposition: form-data; name="prompt"\r\n\r\nhi'


@each(
    ("path", "content_type", "begun"),
    [
        (b"/v1/chat/completions", b"application/json", b'{"model": '),
        (b"/v1/audio/transcriptions", b"multipart/form-data; boundary=b", FORM),
    ],
)
def test_a_body_that_stops_is_given_up_after_caller_idle(
    path: bytes, content_type: bytes, begun: bytes
) -> None:
    async def scenario(gateway: Gateway) -> None:
        headers = [(b"host", b"localhost"), (b"content-type", content_type)]
        caller = Caller(gateway, lambda _: False, raw_path=path, headers=headers, begun=begun)
        await asyncio.sleep(0.01)
        assert not await caller.pass_time(CALLER_IDLE - 5)
        await caller.pass_time(CALLER_IDLE + 1)
        assert [message.get("status") for message in caller.messages] == [408, None]
        caller.left.set()  # what it still sends is dropped until then
        await caller.task

    record = play(scenario)
    assert (record["outcome"], record["error"]) == ("refused", "request_timeout")


# -- what `total` leaves time for ------------------------------------------------------------------

ROUTES = """
version: 1
defaults: {timeouts: {total: 1s, caller_idle: 20s}}
endpoints: {chat_completions: {path: /v1/chat/completions, timeouts: {caller_idle: 10s}}}
models:
  - {prefix: gpt-, provider: asks}
  - {prefix: two-, targets: [{provider: asks}, {provider: full}]}
  - {prefix: full-, provider: full}
"""
PROVIDERS = """
version: 1
providers:
  asks: {base_url: "https://asks.test", REST, retry: {attempts: 2, statuses: [503], max_wait: 5s}}
  full: {base_url: "https://full.test", REST, limits: {in_flight: 1, queue: 1, wait: 10s}}
"""
REST = "endpoints: {chat_completions: /}"


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    (tmp_path / "routes.yaml").write_text(ROUTES)
    (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("REST", REST))
    loaded = load(tmp_path, {}, time.time())
    assert loaded.plan is not None, loaded.diagnostics
    return replace(loaded.plan, callers=None)


def busy(attempt: Attempt) -> UpstreamResponse | None:
    """A 503 that asks to wait for longer than `total`; the other provider is silent."""
    if b"full" in attempt.head.origin.host.encode():
        return None
    headers = [(b"retry-after", b"2"), (b"content-length", b"0")]
    return ScriptedReply(503, headers, length=0, is_complete=True)


def test_a_retry_that_would_come_after_total_is_not_waited_for(plan: Plan) -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        async with asyncio.timeout(0.9):
            await caller.task
        assert caller.messages[0]["status"] == 503

    record = play(scenario, busy, plan)
    assert (record["outcome"], record["status"], record["attempts"]) == ("ok", 503, 1)


def test_the_pause_before_another_attempt_is_no_phase_of_the_one_before(plan: Plan) -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        await paused.wait()
        await asyncio.sleep(0.01)
        assert not await caller.pass_time(1000)
        await caller.task

    def reply(attempt: Attempt) -> UpstreamResponse:
        attempt.sent()
        if paused.is_set():
            return ScriptedReply(chunks=(DONE,), is_whole=True)
        paused.set()
        return ScriptedReply(503, [(b"content-length", b"0")], length=0, is_complete=True)

    paused = asyncio.Event()
    record = play(scenario, reply, plan)
    assert (record["outcome"], record["status"], record["attempts"]) == ("ok", 200, 2)


def test_an_attempt_that_failed_gives_its_place_back(plan: Plan) -> None:
    async def scenario(gateway: Gateway) -> None:
        for _ in range(2):
            async with asyncio.timeout(0.5):
                await Caller(gateway, lambda _: False, model="full-1").task
        (limiter,) = {s.limiter for s in gateway.provider_states() if s.name == "full"}
        assert (limiter.in_flight, limiter.queued) == (0, 0)

    record = play(scenario, raising(UpstreamError(Failure.CONNECT_FAILED)), plan)
    assert record["error"] == "upstream_connect_failed"


def test_a_response_that_cannot_be_closed_gives_its_place_back(plan: Plan) -> None:
    class Odd(ScriptedReply):
        def close(self) -> Any:
            raise RuntimeError

    async def scenario(gateway: Gateway) -> None:
        await Caller(gateway, lambda _: False, model="full-1").task
        (limiter,) = {s.limiter for s in gateway.provider_states() if s.name == "full"}
        assert limiter.in_flight == 0

    odd = Odd(200, [(b"content-length", b"0")], length=0, is_complete=True)
    assert play(scenario, lambda _: odd, plan)["outcome"] == "internal_error"


def test_total_is_of_all_attempts(plan: Plan) -> None:
    """The second one begins a quarter of its second after the first."""

    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        await again.wait()
        assert await caller.pass_time(0.9)

    def reply(attempt: Attempt) -> UpstreamResponse | None:
        attempt.sent()
        if first.is_set():
            again.set()
            return None
        first.set()
        return ScriptedReply(503, [(b"content-length", b"0")], length=0, is_complete=True)

    first, again = asyncio.Event(), asyncio.Event()
    record = play(scenario, reply, plan)
    assert (record["outcome"], record["attempts"]) == ("timeout_total", 2)


def test_a_place_in_a_queue_is_not_waited_for_longer_than_total(plan: Plan) -> None:
    async def scenario(gateway: Gateway) -> None:
        first = Caller(gateway, lambda _: False, model="full-1")
        await asyncio.sleep(0.01)
        second = Caller(gateway, lambda _: False, model="two-1")
        await asyncio.sleep(0.01)
        assert not await second.pass_time(0.1)
        (waiting,) = (request for request in gateway.requests if request.record.model == "two-1")
        waiting.tick(monotonic() + 1)
        async with asyncio.timeout(0.5):
            await second.task
        assert second.messages[0]["status"] == 503
        first.task.cancel()
        with suppress(asyncio.CancelledError):
            await first.task

    play(scenario, busy, plan)


async def queue_behind(gateway: Gateway, **changes: Any) -> None:
    """A request that waits 0.2 s for the slot of another one."""
    first = Caller(gateway, lambda _: False, model="full-1")
    second = Caller(gateway, lambda _: False, **changes)
    (limiter,) = {s.limiter for s in gateway.provider_states() if s.name == "full"}
    while not limiter.queued:  # noqa: ASYNC110 no event says so
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    first.task.cancel()
    await second.task


def test_neither_an_upload_nor_a_queue_is_time_of_the_engine(plan: Plan) -> None:
    whole = ScriptedReply(200, [(b"content-length", b"0")], length=0, is_complete=True)
    replies = iter([None, whole])
    waiting = partial(queue_behind, model="full-1", upload_seconds=0.2)
    record = play(waiting, lambda _: next(replies), plan)
    assert record["outcome"] == "ok"
    assert record["ms_total"] - record["ms_engine"] > 390


def test_the_queue_of_a_later_attempt_is_not_taken_from_the_time_of_the_engine(plan: Plan) -> None:
    def reply(attempt: Attempt) -> UpstreamResponse | None:
        is_full = b"full" in attempt.head.origin.host.encode()
        if is_full and not holders:
            holders.append(attempt)
            return None
        return ScriptedReply(
            200 if is_full else 503, [(b"content-length", b"0")], length=0, is_complete=True
        )

    holders: list[Attempt] = []
    record = play(partial(queue_behind, model="two-1"), reply, plan)
    assert (record["outcome"], record["provider"], record["attempts"]) == ("ok", "full", 3)
    assert record["ms_engine"] >= 0


def test_all_attempts_have_the_time_that_began_with_the_first(plan: Plan) -> None:
    began: list[float | None] = []
    gateways: list[Gateway] = []

    async def scenario(gateway: Gateway) -> None:
        gateways.append(gateway)
        await Caller(gateway, lambda _: False).task

    def reply(_: Attempt) -> UpstreamResponse:
        began.extend(request.record.state.called_at for request in gateways[0].requests)
        return ScriptedReply(503, [(b"content-length", b"0")], length=0, is_complete=True)

    assert play(scenario, reply, plan)["attempts"] == 2
    first, second = began
    assert first == second


@each("is_closing", [True, False])
def test_what_is_relayed_closes_the_connection_if_the_worker_ends(*, is_closing: bool) -> None:
    async def scenario(gateway: Gateway) -> None:
        caller = Caller(gateway, lambda _: False)
        await caller.task
        assert ((b"connection", b"close") in caller.messages[0]["headers"]) is is_closing

    whole = ScriptedReply(200, [(b"content-length", b"0")], length=0, is_complete=True)
    play(scenario, lambda _: whole, is_closing=lambda: is_closing)


def test_a_head_that_is_known_keeps_the_dialect_of_its_errors() -> None:
    async def scenario(gateway: Gateway) -> None:
        for _ in range(2):
            caller = Caller(gateway, lambda _: False, raw_path=b"/v1/messages", model="claude-a")
            await caller.task
            assert json.loads(caller.messages[1]["body"])["type"] == "error"

    record = play(scenario, raising(UpstreamError(Failure.CONNECT_FAILED)))
    assert record["error"] == "upstream_connect_failed"
