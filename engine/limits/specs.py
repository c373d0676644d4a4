"""The limits of scopes as the script of the Redis store reads them, and its replies as values.

Numbers are packed in both directions, which the script reads in less time than JSON.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, inf
from struct import pack
from urllib.parse import quote

from engine.limits.core import (
    AMOUNTS,
    BUSY_SECONDS,
    Amounts,
    Reading,
    Refused,
    Scope,
    of_budget,
    of_rate,
    rate_refusal,
    remaining_of,
    strictest,
)
from engine.limits.resp import encode
from engine.limits.store import Grant
from engine.limits.windows import Windows
from engine.plan.limits import CallerLimits, Period

BOTH, INPUT, OUTPUT, COST = range(
    4
)  # what a limit counts: both kinds of tokens, or a place in Amounts, as Lua counts them
MAX_SPECS = 10_000
_DAY = 24 * 3600 * 1000
_KEPT = {Period.DAY: 3 * _DAY, Period.WEEK: 9 * _DAY, Period.MONTH: 33 * _DAY}  # ms, by the store
_NOTHING: Amounts = (0,) * AMOUNTS


@dataclass(frozen=True, slots=True)
class Spec:
    """The scopes of a request in parts of commands. They hold from `since` until `after`, POSIX seconds: where a window ends.

    `keys` are those of the script, with their number before them; `names` are those of the states as
    leases have them, `texts` what the script reads of each, `count` how many parts there are. `holds`: there is something to settle.
    """

    scopes: Sequence[Scope]
    key_prefix: str
    holds: bool
    count: int
    keys: bytes
    names: str
    texts: bytes
    since: float
    after: float


def spec_of(scopes: Sequence[Scope], windows: Windows, now: float) -> Spec:
    """The command's parts for the scopes of a request at `now`, POSIX seconds by the clock of the server."""
    prefix = key_prefix(scopes)
    names = [f"{prefix}{quote(name)}" for name, _ in scopes]
    keys = [name.encode() for name in (f"{prefix}leases", *names)]
    every = [limits for _, limits in scopes]
    spans = [windows.of(budget, now) for limits in every for budget in limits.budgets]
    return Spec(
        scopes,
        prefix,
        any(limits.holds for limits in every),
        1 + len(keys) + len(every),
        encode([b"%d" % len(keys), *keys]),
        "|".join(names),
        encode([numbers_of(limits, windows, now) for limits in every]),
        max((start for start, _ in spans), default=0.0),
        min((end for _, end in spans), default=inf),
    )


def numbers_of(limits: CallerLimits, windows: Windows, now: float) -> bytes:
    """A scope as `read_spec` of the script reads it."""
    kept = max((_KEPT[b.per] for b in (*limits.budgets, *limits.keeps)), default=0)
    rates, rate = limits.token_rates, limits.requests
    numbers = [kept, limits.concurrent or 0]
    numbers += (0, 0) if rate is None else (rate.interval, rate.tolerance)
    numbers.append(len(rates))
    for place, _, rate in rates:
        numbers += [place, rate.interval, rate.tolerance, place - 1]
    for budget in limits.budgets:
        counts = COST if budget.is_usd else BOTH
        numbers += [
            1 + budget.number,
            budget.amount,
            *windows.of(budget, now),
            counts,
            budget.warn_at or 0,
        ]
    return packed(numbers)


def packed(numbers: Sequence[float]) -> bytes:
    """Numbers as the script reads them."""
    return pack(f"<{len(numbers)}d", *numbers)


def key_prefix(scopes: Sequence[Scope]) -> str:
    """The start of the keys of all scopes of a request: in a cluster, one node has them all.

    It is that of an account, or of a key without one.
    """
    name = scopes[0][0]
    owner = name.partition("/")[0] if name.startswith("@") else name.partition(" ")[0]
    return f"orqen:{{{quote(owner)}}}:"


def parse_reply(
    word: bytes, scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Grant | Refused:
    """The grant, without its lease, or the refusal in a reply.

    Raises:
        IndexError: it has too few numbers.
    """
    if word == b"ok":
        left = remaining_of(strictest(_readings(scopes, numbers[AMOUNTS:], windows, now)))
        return Grant(scopes, tuple(numbers[:AMOUNTS]), None, left)
    refused = parse_refusal(word, scopes, numbers, windows, now)
    left = remaining_of(strictest(_readings(scopes, numbers[3:], windows, now)))
    return replace(refused, left=left)


def _readings(
    scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> list[Reading]:
    """As `readings`, from the numbers of `add_left` in the script."""
    found: list[Reading] = []
    at = 0
    for _, limits in scopes:
        if limits.requests is not None:
            found.append(of_rate("requests", limits.requests, numbers[at], 0))
            at += 1
        for _, kind, rate in limits.token_rates:
            found.append(of_rate(kind, rate, numbers[at], numbers[at + 1]))
            at += 2
        for budget in limits.budgets:
            end = windows.of(budget, now)[1]
            found.append(of_budget(budget, numbers[at], 0, end - now))
            at += 1
    return found


def parse_refusal(
    word: bytes, scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Refused:
    """The refusal in a reply, by the limits of the scope that it names."""
    number, which, ahead = numbers[:3]
    scope = scopes[number - 1]
    limits = scope[1]
    if word == b"busy":
        return Refused("concurrent", limits.concurrent or 0, "", BUSY_SECONDS, scope)
    if word == b"late":
        if which == 0 and limits.requests is not None:
            return rate_refusal("requests", limits.requests, ahead, scope)
        _, kind, rate = limits.token_rates[which - 1]
        return rate_refusal(kind, rate, ahead, scope)
    budget = limits.budgets[which - 1]
    kind = "budget_usd" if budget.is_usd else "budget"
    if word == b"held":
        return Refused(kind, budget.amount, budget.per, BUSY_SECONDS, scope)
    _, end = windows.of(budget, now)
    return Refused(kind, budget.amount, budget.per, max(1, ceil(end - now)), scope, is_spent=True)


def pad_amounts(amounts: Amounts) -> Amounts:
    """Amounts with a place for each kind."""
    return amounts if len(amounts) == AMOUNTS else (*amounts, *_NOTHING[len(amounts) :])


def member_of(spec: Spec, lease: str, held: Amounts) -> str:
    """A lease as the script names it."""
    of_input, of_output, cost = held
    return f"{lease}|[{of_input},{of_output},{cost}]|{spec.names}"
