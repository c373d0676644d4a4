"""The ASGI application: one Gateway serves one Plan in one worker."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import replace
from time import monotonic
from typing import NamedTuple, TypeVar

from engine.gateway.access_log import AccessLog
from engine.gateway.callers import Callers
from engine.gateway.hooks import NO_HOOKS, Hooks
from engine.gateway.inbound.body import Receive, Send
from engine.gateway.inbound.browsers import preflight, with_cors_headers
from engine.gateway.inbound.head import HeadCache, Scope
from engine.gateway.inbound.lingering import CLOSE, Lingering, has_body
from engine.gateway.outbound.health import Health
from engine.gateway.record import Record, RecordBuilder, RequestIds, Timestamps, location_of
from engine.gateway.request import Request
from engine.gateway.response.head import send_response, without_body
from engine.gateway.response.usage_reader import usage_readers
from engine.gateway.routing.variants import ProviderVariants
from engine.gateway.runtime import Runtime
from engine.plan.plan import Plan, Provider
from engine.upstream import Client, Pairs
from engine.upstream.limiter import Limiter
from engine.upstream.signers.signing import Signers

T = TypeVar("T")
ProbeResponse = tuple[int, Mapping[str, object]]
OwnResponse = tuple[int, Pairs, bytes]  # status, headers and body of a response


class ProviderState(NamedTuple):
    """What one worker knows of a provider."""

    name: str
    limiter: Limiter
    health: Health


TICK_SECONDS = 0.05  # from one check of the deadlines to the next
MAX_FINISHED = 128  # requests whose records wait


class Gateway:
    """The request side of one worker.

    `is_closing()`: the worker is stopping, so each response has `connection: close`.
    """

    def __init__(
        self,
        plan: Plan,
        clients: Mapping[str, Client],
        log: AccessLog,
        is_closing: Callable[[], bool],
        hooks: Hooks = NO_HOOKS,
    ) -> None:
        self.plan = plan
        self.clients = clients
        self._runtime = Runtime(
            plan,
            clients,
            {p.name: Limiter(p.limits) for p in plan.providers.values()},
            {p.name: Health(p.breaker, p.retry) for p in plan.providers.values()},
            ProviderVariants(),
            Signers(),
            _heads(plan, hooks),
            RequestIds(),
            is_closing,
            hooks,
            stored=_stored(plan, hooks),
            usage=usage_readers(plan.every_endpoint()),
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.about: Mapping[str, object] = {}  # what the probes report beside status and config
        self.is_draining = False  # the whole server: load balancers should use another one
        self.requests: dict[Request, Scope] = {}
        self._most_requests = 0
        self._lingering = Lingering()
        self._emptied = asyncio.Event()
        self._retiring = False
        self._log = log
        self._finished: list[RecordBuilder | Record] = []
        self._record_consumers = (log.write, *(sink.write for sink in hooks.sinks))
        self._is_closing = is_closing
        self._probes = {b"/": _about, b"/healthz": self._health, b"/readyz": self._readiness}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request. It gets one access record, except probes and preflights."""
        if scope["method"] != "POST" or self.plan.cors is not None:
            send = self._as_asked(scope, send)
            found = self._own_response(scope)
            if found is not None:
                await self._respond(found, scope, receive, send)
                return
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        # Given the loop, `current_task` does not call getpid, as it does up to Python 3.11.
        request = Request(self._runtime, asyncio.current_task(loop), scope, receive, send)
        self.requests[request] = scope
        if self._timer is None:
            self._tick()
        try:
            await request.run()
        finally:
            del self.requests[request]
            request.record.state.ended_at = monotonic()
            self._finished.append(self._consumed(request) if request.consumers else request.record)
            if len(self._finished) >= MAX_FINISHED:
                self.flush()
            if self._retiring and not self.requests:
                self._emptied.set()
        if request.is_unread():
            await self._lingering.read_on(receive, scope["headers"])

    def _as_asked(self, scope: Scope, send: Send) -> Send:
        """`send` without the body of a response to HEAD, and with the headers of CORS."""
        if scope["method"] == "HEAD":
            send = without_body(send)
        return send if self.plan.cors is None else with_cors_headers(self.plan.cors, scope, send)

    def _own_response(self, scope: Scope) -> OwnResponse | None:
        """The response to a preflight or a probe; None for any other request."""
        headers = None if self.plan.cors is None else preflight(self.plan.cors, scope)
        if headers is not None:
            return 204, headers, b""
        probe = self._probes.get(scope["raw_path"])
        if probe is None or scope["method"] not in ("GET", "HEAD"):
            return None
        status, reported = probe()
        return status, [(b"content-type", b"application/json")], json.dumps(reported).encode()

    def _consumed(self, request: Request) -> Record:
        """The record of a request that is over, given to those who take it at once."""
        record = request.record.freeze(Timestamps())
        for consume in request.consumers:
            self._call_consumer(consume, record, [record])
        return record

    def flush(self) -> None:
        """Give the records that wait to the log and to all sinks.

        Many at a time take half the CPU time each, since the code stays in the processor's cache;
        of more than MAX_FINISHED the records themselves would not.
        """
        finished, self._finished = self._finished, []
        timestamps = Timestamps()
        records = [r.freeze(timestamps) if isinstance(r, RecordBuilder) else r for r in finished]
        for consume in self._record_consumers if records else ():
            self._call_consumer(consume, records, records)

    def _call_consumer(
        self, consume: Callable[[T], None], given: T, records: Sequence[Record]
    ) -> None:
        """One hook that fails does not stop the others."""
        try:
            consume(given)
        except Exception as error:  # noqa: BLE001 a bug of a hook, which the request survives
            last, count = records[-1].request_id, len(records)
            message = f"a hook failed at the end of {last}, records it may lack: {count}: {location_of(error)}"
            self._log.write_message(message, "error")

    async def _respond(
        self, found: OwnResponse, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Respond to a probe or a preflight. The body of the request is dropped."""
        status, headers, body = found
        is_unread = has_body(scope["headers"], scope["http_version"])
        closing = CLOSE if is_unread or self._is_closing() else ()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.plan.caller_idle):
                await send_response(send, status, [*headers, *closing], body)
        if is_unread:
            await self._lingering.read_on(receive, scope["headers"])

    def _tick(self) -> None:
        """Check the deadlines of all requests in flight, and again soon if there are any."""
        now = monotonic()
        self._most_requests = max(self._most_requests, len(self.requests))
        for request in tuple(self.requests):
            request.tick(now)
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(TICK_SECONDS, self._tick) if self.requests else None
        self.flush()

    def take_peak_requests(self) -> int:
        """The most requests in flight at a tick since the last call of this.

        Not those of this moment: a busy worker gets here when it has just emptied its queue.
        """
        found, self._most_requests = self._most_requests, 0
        return found

    def provider_states(self) -> Iterator[ProviderState]:
        """What this worker has under way with each provider, and its breaker."""
        runtime = self._runtime
        for name, limiter in runtime.limiters.items():
            yield ProviderState(name, limiter, runtime.health[name])

    def inherit(self, old: "Gateway") -> None:
        """Keep the slots, breakers and retry budgets of providers that have not changed."""
        before = old.plan.providers
        same = {n for n, p in self.plan.providers.items() if n in before and _alike(before[n], p)}
        self._runtime = replace(
            self._runtime,
            limiters={**self._runtime.limiters, **_only(old._runtime.limiters, same)},
            health={**self._runtime.health, **_only(old._runtime.health, same)},
        )

    def abort_in_flight(self) -> None:
        """End every request in flight: the server stops."""
        for request in tuple(self.requests):
            request.abort()
        self._lingering.end()

    async def retire(self) -> None:
        """Close the connections to providers once no request is in flight any more."""
        self._retiring = True
        if self.requests:
            await self._emptied.wait()
        await self.close()

    async def close(self) -> None:
        """Hand out the last records, and close the connections to providers."""
        self.flush()
        for client in self.clients.values():
            await client.close()

    def _health(self) -> ProbeResponse:
        return 200, {"status": "ok", "config": self.plan.fingerprint, **self.about}

    def _readiness(self) -> ProbeResponse:
        status, state = (503, "draining") if self.is_draining else (200, "ready")
        return status, {"status": state, "config": self.plan.fingerprint, **self.about}


def _heads(plan: Plan, hooks: Hooks) -> HeadCache:
    providers, routing = plan.providers.values(), plan.models.headers
    if hooks.keys is None:
        return HeadCache(providers, routing=routing)
    return HeadCache(providers, hooks.keys.is_current, routing)


def _stored(plan: Plan, hooks: Hooks) -> Callers | None:
    """All callers, if some are not in the Plan; None also where no key is asked for."""
    if hooks.keys is None or plan.callers is None:
        return None
    return Callers(plan.callers, hooks.keys)


def _about() -> ProbeResponse:
    """For people who open the address in a browser: the name, and nothing of the configuration."""
    return 200, {"name": "orqen", "status": "ok", "hint": "send requests with a gateway key"}


def _only(entries: Mapping[str, T], names: Set[str]) -> Mapping[str, T]:
    return {name: entry for name, entry in entries.items() if name in names}


def _alike(one: Provider, other: Provider) -> bool:
    """Whether the slots, breaker and retry budget of `one` can be kept for `other`."""
    places = ({u.origin for u in p.upstreams.values() if u} for p in (one, other))
    return (one.limits, one.retry, one.breaker) == (
        other.limits,
        other.retry,
        other.breaker,
    ) and next(places) == next(places)
