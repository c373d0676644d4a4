"""The limits of scopes as the script of the Redis store reads them, and its replies as values."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from urllib.parse import quote

from engine.limits.core import BUSY_SECONDS, Amounts, Left, Refused, late, left_of, tightest
from engine.limits.resp import encode
from engine.limits.store import Grant, Scope
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


def made_of(
    word: str, scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Grant | Refused:
    """The grant, without its lease, or the refusal in a reply.

    Raises:
        IndexError: it has too few numbers.
    """
    if word == "ok":
        held = held_in(numbers)
        rest = numbers[1 + len(held) :]
        return Grant(scopes, held, None, tightest(_left_in(scopes, rest, windows, now)))
    refused = refused_of(word, scopes, numbers, windows, now)
    return replace(refused, left=tightest(_left_in(scopes, numbers[3:], windows, now)))


def held_in(numbers: Sequence[int]) -> Amounts:
    """What is held by a reply `ok`."""
    return tuple(numbers[1 : 1 + numbers[0]])


def _left_in(
    scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Iterator[tuple[str, Left]]:
    """What is left, from the numbers of `add_left` in the script."""
    rest = [*reversed(numbers)]
    for _, limits in scopes:
        if limits.requests is not None:
            yield "requests", left_of(limits.requests, rest.pop(), 0)
        for kind, rate, _ in token_rates(limits):
            ahead, held = rest.pop(), rest.pop()
            yield kind, left_of(rate, ahead, held)
        for budget in limits.budgets:
            left = rest.pop()
            if not budget.is_usd:
                reset = windows.of(budget, now)[1] - now
                yield "tokens", Left(budget.amount, max(0, left), reset)


def refused_of(
    word: str, scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Refused:
    """The refusal in a reply, by the limits of the scope that it names."""
    number, which, ahead = numbers[:3]
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
