"""The arithmetic of one scope: what it has room for, and what a request takes and gives back.

The counters of a scope are a list of integers, `state`, in the order of the constants below. Rates
are kept by GCRA as one time each, at which all of its units are back (monotonic nanoseconds): one
in the past means that none is used. Tokens enter their rates and budgets when a request is settled;
until then they are held, so that a reservation which proves too high leaves no trace.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from engine.limits.windows import Windows
from engine.plan.limits import NANOSECONDS, Budget, CallerLimits, Period, Rate

REQUESTS, TOKENS, INPUT, OUTPUT = range(4)  # times of the rates
ACTIVE, HELD_INPUT, HELD_OUTPUT, HELD_COST = range(4, 8)  # of the requests under way
FIELDS = 20
AMOUNTS = 3  # different ones of a request, at most
# Where a budget has the start of its window, of tokens and of US dollars; what was spent in that follows.
BUDGETS = {Period.DAY: 8, Period.WEEK: 10, Period.MONTH: 12}
USD_BUDGETS = {Period.DAY: 14, Period.WEEK: 16, Period.MONTH: 18}
DAY = 24 * 3600
MAX_STEP_BACK = DAY  # seconds by which a clock may be set back without a new window
UNLIMITED = 1 << 62
MAX_AHEAD = 1 << 52  # nanoseconds, 52 days; Lua's numbers are exact up to 53 bits
# Of one request: input tokens, output tokens, and where a budget in US dollars counts it, billionths of a dollar.
Amounts = tuple[int, ...]
BUSY_SECONDS = 1  # until another try, when requests under way hold what is left


class Left(NamedTuple):
    """What is left of a limit: of `limit`, and the seconds until it is whole again."""

    limit: int
    remaining: int
    reset: float


NOTHING_LEFT: Mapping[str, Left] = {}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not admitted.

    `kind` is `requests`, `tokens`, `input_tokens`, `output_tokens`, `concurrent`, `budget` or `budget_usd`; `per` the
    time that `limit` is for, empty for `concurrent`. `wait` are seconds until another try can succeed.
    `is_spent`: a budget is used up until its next window. `left` is as in a Grant.
    """

    kind: str
    limit: int
    per: str
    wait: int
    is_spent: bool = False
    left: Mapping[str, Left] = field(default_factory=dict, compare=False)


class Rooms:
    """What all scopes of a request have room for: tokens, and billionths of a dollar."""

    __slots__ = ("cost", "input", "output", "total")

    def __init__(self) -> None:
        self.total = self.input = self.output = self.cost = UNLIMITED

    def cap(self, estimate: Amounts) -> Amounts:
        """What of an estimate can be held: no more than there is room for."""
        input_tokens, output_tokens, *cost = estimate
        held = min(input_tokens, self.input, self.total)
        tokens = held, min(output_tokens, self.output, self.total - held)
        return (*tokens, min(cost[0], self.cost)) if cost else tokens


def room(rate: Rate, due: int, now: int) -> int:
    """Units of a rate that are free; below zero after more was used than there was."""
    ahead = due - now
    return rate.count if ahead <= 0 else (rate.tolerance - ahead) // rate.interval


def place(budget: Budget) -> int:
    """Where the counters of a budget are."""
    return (USD_BUDGETS if budget.is_usd else BUDGETS)[budget.per]


def spent(state: list[int], budget: Budget, start: int, wall: float) -> tuple[int, int]:
    """What of a budget is used at `wall`, in the window that begins at `start`, and where the counted window begins.

    A clock that is set back by up to a day into an earlier window goes on with the later one.
    """
    at = place(budget)
    is_same = start <= state[at] <= wall + MAX_STEP_BACK
    return (state[at + 1], state[at]) if is_same else (0, start)


def check(  # noqa: PLR0913, PLR0917 called for each request
    limits: CallerLimits,
    state: list[int],
    rooms: Rooms,
    now: int,
    wall: float,
    windows: Windows,
) -> Refused | None:
    """Why a scope refuses one more request, if it does; narrows `rooms` to the tokens it has left."""
    requests = limits.requests
    if requests is not None and room(requests, state[REQUESTS], now) < 1:
        return late("requests", requests, state[REQUESTS], now)
    if limits.concurrent is not None and state[ACTIVE] >= limits.concurrent:
        return Refused("concurrent", limits.concurrent, "", BUSY_SECONDS)
    if not limits.counts_tokens:
        return None
    return _check_rates(limits, state, rooms, now) or _check_budgets(
        limits, state, rooms, wall, windows
    )


def _check_rates(limits: CallerLimits, state: list[int], rooms: Rooms, now: int) -> Refused | None:
    held = state[HELD_INPUT], state[HELD_OUTPUT]
    for kind, rate, due, taken in (
        ("tokens", limits.tokens, state[TOKENS], sum(held)),
        ("input_tokens", limits.input_tokens, state[INPUT], held[0]),
        ("output_tokens", limits.output_tokens, state[OUTPUT], held[1]),
    ):
        if rate is None:
            continue
        free = room(rate, due, now) - taken
        if free < 1:
            return late(kind, rate, due, now)
        side = "total" if kind == "tokens" else kind.removesuffix("_tokens")
        setattr(rooms, side, min(free, getattr(rooms, side)))
    return None


def _check_budgets(
    limits: CallerLimits, state: list[int], rooms: Rooms, wall: float, windows: Windows
) -> Refused | None:
    for budget in limits.budgets:
        kind, room_of = ("budget_usd", "cost") if budget.is_usd else ("budget", "total")
        held = state[HELD_COST] if budget.is_usd else state[HELD_INPUT] + state[HELD_OUTPUT]
        start, end = windows.of(budget, wall)
        left = budget.amount - spent(state, budget, start, wall)[0]
        if left < 1:
            wait = max(1, ceil(end - wall))
            return Refused(kind, budget.amount, budget.per, wait, is_spent=True)
        if left - held < 1:
            return Refused(kind, budget.amount, budget.per, BUSY_SECONDS)
        setattr(rooms, room_of, min(getattr(rooms, room_of), left - held))
    return None


def late(kind: str, rate: Rate, due: int, now: int) -> Refused:
    """A refusal until one unit is back, or until requests under way give back what they hold."""
    wait = due - now + rate.interval - rate.tolerance
    return Refused(kind, rate.count, rate.unit, max(BUSY_SECONDS, -(-wait // NANOSECONDS)))


def left_in(
    limits: CallerLimits, state: list[int], now: int, wall: float, windows: Windows
) -> Iterator[tuple[str, Left]]:
    """What is left in a scope, by what it is counted in: `requests`, `tokens`, `input_tokens` or `output_tokens`."""
    if limits.requests is not None:
        yield "requests", left_of(limits.requests, state[REQUESTS] - now, 0)
    if not limits.counts_tokens:
        return
    held = state[HELD_INPUT], state[HELD_OUTPUT]
    if limits.tokens is not None:
        yield "tokens", left_of(limits.tokens, state[TOKENS] - now, sum(held))
    if limits.input_tokens is not None:
        yield "input_tokens", left_of(limits.input_tokens, state[INPUT] - now, held[0])
    if limits.output_tokens is not None:
        yield "output_tokens", left_of(limits.output_tokens, state[OUTPUT] - now, held[1])
    for budget in limits.budgets:
        if not budget.is_usd:
            start, end = windows.of(budget, wall)
            left = budget.amount - spent(state, budget, start, wall)[0] - sum(held)
            yield "tokens", Left(budget.amount, max(0, left), end - wall)


def left_of(rate: Rate, ahead: int, held: int) -> Left:
    """What is left of a rate whose units are all back in `ahead` nanoseconds, less those that are held."""
    ahead = max(0, ahead)
    remaining = max(0, (rate.tolerance - ahead) // rate.interval - held)
    return Left(rate.count, remaining, (ahead + held * rate.interval) / NANOSECONDS)


def tightest(found: Iterable[tuple[str, Left]]) -> dict[str, Left]:
    """Of each kind the one with the least left; of several, the first."""
    least: dict[str, Left] = {}
    for kind, left in found:
        known = least.get(kind)
        if known is None or left.remaining < known.remaining:
            least[kind] = left
    return least


def take(limits: CallerLimits, state: list[int], held: Amounts, now: int) -> None:
    """Count a request that all scopes have admitted, and hold `held` tokens for it."""
    requests = limits.requests
    if requests is not None:
        state[REQUESTS] = max(state[REQUESTS], now) + requests.interval
    state[ACTIVE] += 1
    for at, amount in enumerate(held, HELD_INPUT):
        state[at] += amount


def release(state: list[int], held: Amounts) -> None:
    """Give back what a request held."""
    state[ACTIVE] -= 1
    for at, amount in enumerate(held, HELD_INPUT):
        state[at] -= amount


def use(  # noqa: PLR0913, PLR0917 as `check`
    limits: CallerLimits,
    state: list[int],
    used: Amounts,
    now: int,
    wall: float,
    windows: Windows,
) -> Sequence[Budget]:
    """Count what a request has used; the budgets of which `warn_at` is reached by that."""
    reached: Sequence[Budget] = ()
    total, cost = used[0] + used[1], sum(used[2:])
    for at, rate, count in (
        (TOKENS, limits.tokens, total),
        (INPUT, limits.input_tokens, used[0]),
        (OUTPUT, limits.output_tokens, used[1]),
    ):
        if rate is not None:
            state[at] = min(max(state[at], now) + count * rate.interval, now + MAX_AHEAD)
    for budget in limits.budgets:
        start, _ = windows.of(budget, wall)
        at = place(budget)
        before, state[at] = spent(state, budget, start, wall)
        state[at + 1] = before + (cost if budget.is_usd else total)
        if budget.warn_at is not None and before < budget.warn_at <= state[at + 1]:
            reached = (*reached, budget)
    return reached


def is_idle(state: list[int], now: int, wall: float) -> bool:
    """Whether the counters say no more than those of a scope that was never used."""
    if state[ACTIVE] or any(due > now for due in state[:ACTIVE]):
        return False
    lengths = {Period.DAY: 2, Period.WEEK: 8, Period.MONTH: 32}
    return all(
        state[at] + lengths[per] * DAY < wall
        for places in (BUDGETS, USD_BUDGETS)
        for per, at in places.items()
    )


def revived(state: list[int], shift: int, now: int, wall: float) -> list[int] | None:
    """Counters that an earlier server has left, without what its requests held; None if they cannot be.

    `shift` is added to the times of rates: how far `now` is ahead of the clock that they are from.
    """
    dues = [due + shift if due else 0 for due in state[:ACTIVE]]
    places = (*BUDGETS.values(), *USD_BUDGETS.values())
    windows = [(state[at], state[at + 1]) for at in places]
    are_dues = all(due <= now + MAX_AHEAD for due in dues)
    if not are_dues or any(not 0 <= start < wall + DAY or count < 0 for start, count in windows):
        return None
    held = [0] * (min(BUDGETS.values()) - ACTIVE)
    dues = [due if due > now else 0 for due in dues]
    return [*dues, *held, *state[min(BUDGETS.values()) :]]
