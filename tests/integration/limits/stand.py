"""A Gateway in this process, with limits, before the built-in mock or an upstream of the test's own."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from time import time
from typing import Any, TypeVar

from engine.config.load import load
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.hooks import Hooks
from engine.gateway.record import Record
from engine.limits.core import Refused
from engine.limits.store import Grant
from engine.plan.limits import Budget, CallerLimits, Period, Rate
from engine.plan.plan import Caller, Plan
from engine.server.hooks.limits import LimitHooks
from engine.server.reload import read_folder
from engine.server.run import Options, prepare
from engine.upstream.http1.pool import Http1Client
from tests.servers import ROOT

T = TypeVar("T")
BUDGET = 10_000_000
LIMITED = Caller("limited", None, None, (), None, limits=CallerLimits(
    concurrent=1, budgets=(Budget(BUDGET, Period.MONTH),)
))  # fmt: skip
RATED = Caller("rated", None, None, (), None, limits=CallerLimits(
    requests=Rate(5, 3600), tokens=Rate(100_000, 3600)
))  # fmt: skip
SIDES = Caller("sides", None, None, (), None, limits=CallerLimits(
    input_tokens=Rate(2000, 3600), output_tokens=Rate(3000, 3600)
))  # fmt: skip
MONEY = Caller("money", None, None, (), None, limits=CallerLimits(
    budgets=(Budget(BUDGET, Period.MONTH, is_usd=True, unpriced=1),)
))  # fmt: skip
SPENT = Caller("spent", None, None, (), None, limits=CallerLimits(
    requests=Rate(9, 3600), budgets=(Budget(1, Period.MONTH),)
))  # fmt: skip
MANY = Caller("many", None, None, (), None, limits=CallerLimits(requests=Rate(1000, 3600)))
FREE = Caller("free", None, None, (), None)
CALLERS = LIMITED, RATED, SIDES, MONEY, SPENT, MANY, FREE


@dataclass
class Answer:
    """What a caller has received."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def events(self) -> list[Any]:
        """The data of its events, but for `[DONE]`."""
        lines = [line[6:] for line in self.body.splitlines() if line.startswith(b"data: {")]
        return [json.loads(line) for line in lines]


class Limits(LimitHooks):
    """Says what is left, and keeps the records of what was settled."""

    def __init__(self) -> None:
        super().__init__(None)
        self.records: list[Record] = []

    def write(self, records: Sequence[Record]) -> None:
        """Keep records, as a Sink."""
        self.records += records

    def left(self) -> int:
        """What the budget has room for, less what requests hold."""
        assert LIMITED.limits is not None
        limits = replace(LIMITED.limits, concurrent=None)
        grant = self._store.reserve([(LIMITED.name, limits)], (BUDGET, 0))
        if isinstance(grant, Refused):
            return 0
        assert isinstance(grant, Grant)
        self._store.settle(grant, (0, 0))
        return grant.held[0]


@dataclass
class Stand:
    """The gateway and its limits."""

    gateway: Gateway
    limits: Limits

    async def ask(
        self,
        path: str,
        body: bytes | Mapping[str, Any],
        who: Caller = LIMITED,
        leave: Callable[[Answer], bool] | None = None,
        *,
        reads: bool = True,
        **headers: str,
    ) -> Answer:
        """One request; its caller leaves as soon as `leave` says so of what it has, or stops reading."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        fields = {
            "host": "gateway", "content-type": "application/json", "content-length": str(len(raw)),
            "authorization": f"Bearer {who.name}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }  # fmt: skip
        if "transfer-encoding" in fields:
            del fields["content-length"]
        pairs = [(name.encode(), value.encode()) for name, value in fields.items()]
        scope = {
            "method": "POST", "raw_path": path.encode(), "query_string": b"",
            "http_version": "1.1", "headers": pairs,
        }  # fmt: skip
        half = len(raw) // 2
        messages = [
            {"type": "http.request", "body": raw[half:], "more_body": False},
            {"type": "http.request", "body": raw[:half], "more_body": True},
        ]
        answer, left = Answer(), asyncio.Event()

        async def receive() -> dict[str, Any]:
            if messages:
                return messages.pop()
            await left.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                answer.status = message["status"]
                answer.headers = {n.decode(): v.decode() for n, v in message["headers"]}
            answer.body += message.get("body", b"")
            if not reads and answer.body:
                await asyncio.Event().wait()
            if leave is not None and leave(answer):
                left.set()

        if leave is not None and leave(answer):
            asyncio.get_running_loop().call_later(0.1, left.set)
        try:
            await self.gateway(scope, receive, send)
        finally:
            self.gateway.flush()
        return answer

    async def cost(
        self, path: str, body: bytes | Mapping[str, Any], **more: Any
    ) -> tuple[Answer, int]:
        """An answer, and what its request has taken from the budget."""
        before = self.limits.left()
        answer = await self.ask(path, body, **more)
        return answer, before - self.limits.left()


def shipped(mock_port: int) -> Plan:
    """The shipped configuration, with the mock in place of every provider."""
    options = Options(ROOT, "127.0.0.1", 0, 1, is_open=True, mock=mock_port, placeholders=True)
    loaded, problems = prepare(options, read_folder(ROOT))
    assert loaded is not None
    assert loaded.plan is not None, problems
    return loaded.plan


def written(folder: Path, routes: str, providers: str) -> Plan:
    """A configuration of a test's own."""
    (folder / "routes.yaml").write_text(routes)
    (folder / "providers.yaml").write_text(providers)
    loaded = load(folder, {}, time())
    assert loaded.plan is not None, loaded.diagnostics
    return loaded.plan


@asynccontextmanager
async def standing(plan: Plan, folder: Path) -> AsyncIterator[Stand]:
    """A gateway that serves CALLERS."""
    callers = {sha256(who.name.encode()).digest(): who for who in CALLERS}
    limits = Limits()
    with (folder / "log").open("w") as stream:
        log = AccessLog(stream)
        hooks = Hooks(admission=limits, sinks=(limits,), credential_limits=limits)
        client = Http1Client()
        gateway = Gateway(
            replace(plan, callers=callers), {"http1": client}, log, lambda: False, hooks
        )
        try:
            yield Stand(gateway, limits)
        finally:
            await gateway.close()
            log.close()


def run(plan: Plan, folder: Path, scenario: Callable[[Stand], Awaitable[T]]) -> T:
    """Play `scenario`."""

    async def main() -> T:
        async with standing(plan, folder) as stand, asyncio.timeout(60):
            return await scenario(stand)

    return asyncio.run(main())
