"""The limits of scopes as the script of the Redis store reads them, and its replies as values."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf
from urllib.parse import quote

from engine.limits.core import BUSY_SECONDS, Amounts, Refused, late
from engine.limits.resp import encode
from engine.limits.store import Grant, Left, Scope
from engine.limits.windows import Windows
from engine.plan.limits import Budget, CallerLimits, Period, Rate

INPUT, OUTPUT, COST = 1, 2, 3  # places in Amounts, as Lua counts them
MAX_SPECS = 10_000
_DAY = 24 * 3600 * 1000
_KEPT = {Period.DAY: 3 * _DAY, Period.WEEK: 9 * _DAY, Period.MONTH: 33 * _DAY}  # ms, by the store


def token_rates(limits: CallerLimits) -> list[tuple[str, Rate, list[int]]]:
    """The rates of what is used: their names, and which amounts they count."""
    rates = (
        ("tokens", limits.tokens, [INPUT, OUTPUT]),
        ("input_tokens", limits.input_tokens, [INPUT]),
        ("output_tokens", limits.output_tokens, [OUTPUT]),
    )
    return [(name, rate, of) for name, rate, of in rates if rate is not None]


def budget_of(budget: Budget) -> tuple[str, int, list[int]]:
    """The name of a budget in its scope, how much it is, and which amounts it counts."""
    if budget.is_usd:
        return f"{budget.per} usd", budget.amount, [COST]
    return str(budget.per), budget.amount, [INPUT, OUTPUT]


@dataclass(frozen=True, slots=True)
class Spec:
    """A scope in parts of commands. It holds from `since` until `after`, POSIX seconds: where a window ends."""

    limits: CallerLimits
    key: bytes
    text: bytes
    since: float
    after: float


def spec_of(home: str, scope: Scope, windows: Windows, now: float) -> Spec:
    """The command's parts for a scope at `now`, POSIX seconds by the clock of the server."""
    name, limits = scope
    kept = (*limits.budgets, *limits.keeps)
    data: dict[str, object] = {"keep": max((_KEPT[b.per] for b in kept), default=0)}
    rates = token_rates(limits)
    if limits.requests is not None:
        data["requests"] = _rate(limits.requests)
    if limits.concurrent is not None:
        data["concurrent"] = limits.concurrent
    if limits.tokens is not None:
        data["tokens"] = 1  # which of the rates is shown to callers
    data["rates"] = [{"name": kind, "of": of, **_rate(rate)} for kind, rate, of in rates]
    budgets, since, after = [], 0.0, inf
    for budget in limits.budgets:
        kind, limit, of = budget_of(budget)
        start, end = windows.of(budget, now)
        since, after = max(since, start), min(after, end)
        entry = {"name": kind, "limit": limit, "start": start, "after": end, "of": of}
        budgets.append(entry if budget.warn_at is None else {**entry, "warn": budget.warn_at})
    data["budgets"] = budgets
    text = json.dumps(data, separators=(",", ":")).encode()
    return Spec(limits, encode([f"{home}{quote(name)}".encode()]), encode([text]), since, after)


def _rate(rate: Rate) -> dict[str, int]:
    return {"interval": rate.interval, "tolerance": rate.tolerance}


def home_of(scopes: Sequence[Scope]) -> str:
    """The start of the keys of all scopes of a request: in a cluster, one node has them all.

    It is that of an account, or of a key without one.
    """
    name = scopes[0][0]
    owner = name.partition("/")[0] if name.startswith("@") else name.partition(" ")[0]
    return f"orqen:{{{quote(owner)}}}:"


def grant_of(scopes: Sequence[Scope], numbers: Sequence[int], lease: str | None) -> Grant:
    """The grant in a reply `ok`."""
    requests, tokens, taken, *held = numbers
    return Grant(
        scopes,
        tuple(held),
        lease,
        _left([limits.requests for _, limits in scopes], requests, 0),
        _left([limits.tokens for _, limits in scopes], tokens, taken),
    )


def _left(rates: Sequence[Rate | None], ahead: int, taken: int) -> Left | None:
    rate = next((rate for rate in rates if rate is not None), None)
    if rate is None:
        return None
    remaining = max(0, (rate.tolerance - ahead) // rate.interval - taken)
    return Left(rate.count, min(rate.count, remaining), (ahead + taken * rate.interval) / 1e9)


def refused_of(
    word: str, scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Refused:
    """The refusal in a reply, by the limits of the scope that it names."""
    number, which, ahead = numbers
    limits = scopes[number - 1][1]
    if word == "busy":
        return Refused("concurrent", limits.concurrent or 0, "", BUSY_SECONDS)
    if word == "late":
        if which == 0 and limits.requests is not None:
            return late("requests", limits.requests, ahead, 0)
        kind, rate, _ = token_rates(limits)[which - 1]
        return late(kind, rate, ahead, 0)
    budget = limits.budgets[which - 1]
    kind = "budget_usd" if budget.is_usd else "budget"
    if word == "held":
        return Refused(kind, budget.amount, budget.per, BUSY_SECONDS)
    _, end = windows.of(budget, now)
    return Refused(kind, budget.amount, budget.per, max(1, -int(now - end)), is_spent=True)


def amounts(values: Amounts) -> bytes:
    """Amounts as the script reads them."""
    return b"[%b]" % b",".join([b"%d" % value for value in values])
