"""The hooks of one worker: limits, metrics, and accounts and traces where the configuration has them."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.hooks import NO_HOOKS, Hooks
from engine.limits.table import SharedMemory
from engine.plan.accounts import Accounts
from engine.plan.limit_store import LimitSettings
from engine.plan.plan import Plan
from engine.server.hooks.limits import LimitHooks
from engine.server.hooks.metrics import WorkerMetrics
from engine.telemetry.memory import CounterMemory


class WorkerHooks:
    """What takes part in the requests of one worker. `changed` is called when `status` has changed.

    Accounts and traces need packages that are imported here alone, and only where they are on.
    """

    def __init__(  # noqa: PLR0913, PLR0917 what a worker has
        self,
        accounts: Accounts | None,
        limits: SharedMemory | None,
        counters: CounterMemory | None,
        log: AccessLog,
        changed: Callable[[], None],
        limit_settings: LimitSettings,
    ) -> None:
        self._log = log
        self._limits = LimitHooks(limits, limit_settings, log.write_message, changed)
        self._accounts = self._open_accounts(accounts, changed)
        self._traces: Any = None
        self._is_started = False
        hooks = NO_HOOKS if self._accounts is None else self._accounts.hooks()
        self._metrics = WorkerMetrics(counters)
        self._limits.allowed, self._limits.refused = self._metrics.limit_counts()
        self._hooks = replace(hooks, admission=self._limits, credential_limits=self._limits)

    @property
    def status(self) -> dict[str, object]:
        """What the probes report of them."""
        parts = {"accounts": self._accounts, "limits": self._limits}
        states = {name: part.status for name, part in parts.items() if part is not None}
        return {name: status for name, status in states.items() if status is not None}

    def of(self, plan: Plan) -> Hooks:
        """The hooks of a Gateway for `plan`."""
        hooks = replace(self._hooks, sinks=(*self._hooks.sinks, self._metrics.counter(plan)))
        if plan.tracing is None:
            return hooks
        if self._traces is None:
            self._traces = self._open_traces()
        return replace(hooks, tracer=self._traces.tracer(plan))

    def set_plan(self, plan: Plan) -> None:
        """New requests are served by `plan` from now on."""
        self._limits.set_plan(plan)
        if self._traces is not None:
            self._traces.set_plan(plan)

    async def open(self) -> None:
        """Connect to the limit store, if there is one, before the first request."""
        await self._limits.start()

    async def close(self) -> None:
        """Add up what was counted, and send what was used to the limit store, after the last request."""
        self._metrics.add()
        await self._limits.close()

    def start(self) -> None:
        """Begin what goes on beside the requests, with the running loop and after the fork."""
        self._is_started = True
        for part in (self._accounts, self._traces):
            if part is not None:
                part.start()

    def tick(self, seconds: float, gateways: Iterable[Gateway]) -> None:
        """Every so many seconds; `gateways` are those that serve or finish."""
        self._limits.tick()
        self._metrics.tick(seconds, gateways, self._log)
        self._metrics.count_store_errors(self._limits.store_errors)
        self._note_traces()

    def stop(self) -> None:
        """Write and export what waits; takes seconds at most."""
        for part in (self._accounts, self._traces):
            if part is not None:
                part.stop()
        self._note_traces()

    def _note_traces(self) -> None:
        if self._traces is not None:
            queue = self._traces.queue
            self._metrics.count_traces(queue.exported, queue.dropped)

    def _open_accounts(self, settings: Accounts | None, changed: Callable[[], None]) -> Any:
        if settings is None:
            return None
        from engine.server.hooks.accounts import AccountHooks  # noqa: PLC0415 as above

        return AccountHooks(settings, self._log.write_message, changed)

    def _open_traces(self) -> Any:
        from engine.server.hooks.traces import TraceHooks  # noqa: PLC0415 as above

        traces = TraceHooks(self._log.write_message)
        if self._is_started:
            traces.start()
        return traces
