"""The limits of scopes as the script of the Redis store reads them, and its replies as values.

Numbers are packed in both directions, which the script reads in less time than JSON.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import inf
from struct import pack
from urllib.parse import quote

from engine.limits.core import (
    AMOUNTS,
    BUSY_SECONDS,
    Amounts,
    Left,
    Refused,
    late,
    left_of,
    tightest,
)
from engine.limits.resp import encode
from engine.limits.store import Grant, Scope
from engine.limits.windows import Windows
from engine.plan.limits import CallerLimits, Period, Rate

BOTH, INPUT, OUTPUT, COST = range(
    4
)  # what a limit counts: both kinds of tokens, or a place in Amounts, as Lua counts them
TOKEN_RATES = ("tokens", "input_tokens", "output_tokens")  # in the order of their places in a state
# Places of budgets in a state; those in US dollars follow.
BUDGETS = {Period.DAY: 1, Period.WEEK: 2, Period.MONTH: 3}
MAX_SPECS = 10_000
_DAY = 24 * 3600 * 1000
_KEPT = {Period.DAY: 3 * _DAY, Period.WEEK: 9 * _DAY, Period.MONTH: 33 * _DAY}  # ms, by the store
_NOTHING: Amounts = (0,) * AMOUNTS


def token_rates(limits: CallerLimits) -> list[tuple[int, str, Rate]]:
    """The rates of what is used: their places, which are one more than what they count, and names."""
    rates = (limits.tokens, limits.input_tokens, limits.output_tokens)
    named = zip(TOKEN_RATES, rates, strict=True)
    return [(place, name, rate) for place, (name, rate) in enumerate(named, 1) if rate is not None]


@dataclass(frozen=True, slots=True)
class Spec:
    """The scopes of a request in parts of commands. They hold from `since` until `after`, POSIX seconds: where a window ends.

    `keys` are those of the script, with their number before them; `names` are those of the states as
    leases have them, `texts` what the script reads of each, `count` how many parts there are. `holds`: there is something to settle.
    """

    scopes: Sequence[Scope]
    home: str
    holds: bool
    count: int
    keys: bytes
    names: str
    texts: bytes
    since: float
    after: float


def spec_of(scopes: Sequence[Scope], windows: Windows, now: float) -> Spec:
    """The command's parts for the scopes of a request at `now`, POSIX seconds by the clock of the server."""
    home = home_of(scopes)
    names = [f"{home}{quote(name)}" for name, _ in scopes]
    keys = [name.encode() for name in (f"{home}leases", *names)]
    every = [limits for _, limits in scopes]
    spans = [windows.of(budget, now) for limits in every for budget in limits.budgets]
    return Spec(
        scopes,
        home,
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
    rates, rate = token_rates(limits), limits.requests
    numbers = [kept, limits.concurrent or 0]
    numbers += (0, 0) if rate is None else (rate.interval, rate.tolerance)
    numbers.append(len(rates))
    for place, _, rate in rates:
        numbers += [place, rate.interval, rate.tolerance, place - 1]
    for budget in limits.budgets:
        place = BUDGETS[budget.per] + len(BUDGETS) * budget.is_usd
        counts = COST if budget.is_usd else BOTH
        numbers += [place, budget.amount, *windows.of(budget, now), counts, budget.warn_at or 0]
    return packed(numbers)


def packed(numbers: Sequence[float]) -> bytes:
    """Numbers as the script reads them."""
    return pack(f"<{len(numbers)}d", *numbers)


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
        left = tightest(_left_in(scopes, numbers[AMOUNTS:], windows, now))
        return Grant(scopes, tuple(numbers[:AMOUNTS]), None, left)
    refused = refused_of(word, scopes, numbers, windows, now)
    return replace(refused, left=tightest(_left_in(scopes, numbers[3:], windows, now)))


def _left_in(
    scopes: Sequence[Scope], numbers: Sequence[int], windows: Windows, now: float
) -> Iterator[tuple[str, Left]]:
    """What is left, from the numbers of `add_left` in the script."""
    rest = [*reversed(numbers)]
    for _, limits in scopes:
        if limits.requests is not None:
            yield "requests", left_of(limits.requests, rest.pop(), 0)
        for _, kind, rate in token_rates(limits):
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
        _, kind, rate = token_rates(limits)[which - 1]
        return late(kind, rate, ahead, 0)
    budget = limits.budgets[which - 1]
    kind = "budget_usd" if budget.is_usd else "budget"
    if word == "held":
        return Refused(kind, budget.amount, budget.per, BUSY_SECONDS)
    _, end = windows.of(budget, now)
    return Refused(kind, budget.amount, budget.per, max(1, -int(now - end)), is_spent=True)


def three(amounts: Amounts) -> Amounts:
    """Amounts with a place for each kind."""
    return (*amounts, *_NOTHING[len(amounts) :])


def member_of(spec: Spec, lease: str, held: Amounts) -> str:
    """A lease as the script names it."""
    of_input, of_output, cost = held
    return f"{lease}|[{of_input},{of_output},{cost}]|{spec.names}"
