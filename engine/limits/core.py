"""The arithmetic of one scope: what it has room for, and what a request takes and gives back.

The counters of a scope are a sequence of integers, `state`, in the order of the constants below. Rates
are kept by GCRA as one time each, at which all of its units are back (monotonic nanoseconds): one
in the past means that none is used. Which rates these times are by is kept beside them, so that under
another rate the same units are used. Tokens enter their rates and budgets when a request is settled;
until then they are held, so that a reservation which proves too high leaves no trace.
"""

from collections.abc import Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field

from engine.limits.windows import Windows
from engine.plan.limits import (
    NANOSECONDS,
    Budget,
    CallerLimits,
    Period,
    Rate,
    codes_of,
    interval_of,
    words_of,
)

REQUESTS, TOKENS, INPUT, OUTPUT = range(4)  # times of the rates
ACTIVE, HELD_INPUT, HELD_OUTPUT, HELD_COST = range(4, 8)  # of the requests under way
RATES = 20  # and the word after it: the codes of the rates
FIELDS = 22
AMOUNTS = 3  # different ones of a request, at most
BUDGETS = 8  # where the first budget has the start of its window; what was spent in that follows
DAY = 24 * 3600
MAX_STEP_BACK = DAY  # seconds by which a clock may be set back without a new window
UNLIMITED = 1 << 62
MAX_AHEAD = 1 << 52  # nanoseconds, 52 days; Lua's numbers are exact up to 53 bits
# Of one request: input tokens, output tokens, and where a budget in US dollars counts it, billionths of a dollar.
Amounts = tuple[int, ...]
State = MutableSequence[int] | memoryview
BUSY_SECONDS = 1  # until another try, when requests under way hold what is left


Scope = tuple[str, CallerLimits]  # its name, unique among keys, accounts and models, and its limits
# One limit at one moment: what it counts, its number, the units that are free, the nanoseconds until those that
# are used are back, what requests under way hold of it, and itself; None is one of requests at once.
Reading = tuple[str, int, int, int, int, Rate | Budget | None]
# A limit, what is left of it, and the seconds until all of it is back.
Remaining = tuple[int, int, float]
NO_REMAINING: Mapping[str, Remaining] = {}


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a request is not admitted.

    `kind` is `requests`, `tokens`, `input_tokens`, `output_tokens`, `concurrent`, `budget` or `budget_usd`; `per` the
    time that `limit` is for, empty for `concurrent`. `wait` are seconds until another try can succeed. `scope` has the
    limit. `is_spent`: a budget is used up until its next window. `left` is as in a Grant.
    """

    kind: str
    limit: int
    per: str
    wait: int
    scope: Scope
    is_spent: bool = False
    left: Mapping[str, Remaining] = field(default_factory=dict, compare=False)


def readings(
    limits: CallerLimits, state: Sequence[int], now: int, wall: float, windows: Windows
) -> list[Reading]:
    """The limits of a scope as they are now."""
    found: list[Reading] = []
    if limits.requests is not None:
        found.append(of_rate("requests", limits.requests, state[REQUESTS] - now, 0))
    if limits.concurrent is not None:
        free = limits.concurrent - state[ACTIVE]
        found.append(("concurrent", limits.concurrent, free, 0, 0, None))
    if not limits.counts_tokens:
        return found
    of_input, of_output = state[HELD_INPUT], state[HELD_OUTPUT]
    both = of_input + of_output
    for number, kind, rate in limits.token_rates:
        held = both if number == TOKENS else of_input if number == INPUT else of_output
        found.append(of_rate(kind, rate, state[number] - now, held))
    for budget in limits.budgets:
        used, _, end = budget_usage(budget, state, wall, windows)
        held = state[HELD_COST] if budget.is_usd else both
        found.append(of_budget(budget, budget.amount - used - held, held, end - wall))
    return found


def of_rate(kind: str, rate: Rate, ahead: int, held: int) -> Reading:
    """What is free of a rate that is full again in `ahead` nanoseconds, without the units that are held.

    It is negative after requests used more than was free.
    """
    if ahead <= 0:
        return kind, rate.count, rate.count - held, 0, held, rate
    return kind, rate.count, (rate.tolerance - ahead) // rate.interval - held, ahead, held, rate


def of_budget(budget: Budget, free: int, held: int, seconds: float) -> Reading:
    """The reading of a budget whose window ends in so many seconds."""
    kind = "cost" if budget.is_usd else "tokens"
    return kind, budget.amount, free, int(seconds * NANOSECONDS), held, budget


def budget_usage(
    budget: Budget, state: Sequence[int], wall: float, windows: Windows
) -> tuple[int, int, int]:
    """What of a budget is used at `wall`, where the window begins in which that counts, and where the present one ends.

    A clock that is set back by up to a day into an earlier window goes on with the later one.
    """
    start, end = windows.of(budget, wall)
    at = BUDGETS + 2 * budget.number
    begun = state[at]
    return (
        (state[at + 1], begun, end) if start <= begun <= wall + MAX_STEP_BACK else (0, start, end)
    )


def strictest(found: Iterable[Reading]) -> dict[str, Reading]:
    """Of all limits that count the same, the one with the least free; of several, the first."""
    least: dict[str, Reading] = {}
    for reading in found:
        known = least.get(reading[0])
        if known is None or reading[2] < known[2]:
            least[reading[0]] = reading
    return least


def refusal(
    scopes: Iterable[Scope], found: Iterable[Reading], left: Mapping[str, Remaining]
) -> Refused:
    """Why a request is not admitted: of the limits that refuse it the one that does so longest, or the first of these.

    `found` are the readings of `scopes`, in their order.
    """
    owners = [scope for scope in scopes for _ in range(scope[1].size)]
    refusing = [
        refused_by(reading, scope, left)
        for reading, scope in zip(found, owners, strict=True)
        if reading[2] < 1
    ]
    return max(refusing, key=lambda refused: refused.wait)


def refused_by(reading: Reading, scope: Scope, left: Mapping[str, Remaining]) -> Refused:
    """Why a limit of `scope` of which nothing is free refuses."""
    kind, number, free, ahead, held, limit = reading
    if isinstance(limit, Rate):
        return rate_refusal(kind, limit, ahead, scope, left)
    if limit is None:
        return Refused(kind, number, "", BUSY_SECONDS, scope, left=left)
    kind, is_spent = "budget_usd" if limit.is_usd else "budget", free + held < 1
    wait = max(1, -(-ahead // NANOSECONDS)) if is_spent else BUSY_SECONDS
    return Refused(kind, number, limit.per, wait, scope, is_spent, left)


def rate_refusal(
    kind: str, rate: Rate, ahead: int, scope: Scope, left: Mapping[str, Remaining] = NO_REMAINING
) -> Refused:
    """A refusal until one unit is back, or until requests under way give back what they hold."""
    wait = -(-(ahead + rate.interval - rate.tolerance) // NANOSECONDS)
    return Refused(kind, rate.count, rate.unit, max(BUSY_SECONDS, wait), scope, left=left)


def cap(estimate: Amounts, least: Mapping[str, Reading]) -> Amounts:
    """The part of an estimate that can be reserved: no more than is free."""
    total = least["tokens"][2] if "tokens" in least else UNLIMITED
    of_input, of_output = min(estimate[0], total), estimate[1]
    if "input_tokens" in least:
        of_input = min(of_input, least["input_tokens"][2])
    if "output_tokens" in least:
        of_output = min(of_output, least["output_tokens"][2])
    of_output = min(of_output, total - of_input)
    if len(estimate) < AMOUNTS:
        return of_input, of_output
    return of_input, of_output, min(estimate[2], least["cost"][2] if "cost" in least else UNLIMITED)


def remaining_of(
    least: Mapping[str, Reading], requests: int = 0, held: Amounts = (0, 0)
) -> dict[str, Remaining]:
    """What is left of requests, tokens, input and output tokens, after so many more are taken."""
    left: dict[str, Remaining] = {}
    of_input, of_output = held[0], held[1]
    for kind, (_, number, free, ahead, known, limit) in least.items():
        if kind == "requests":
            taken = requests
        elif kind == "tokens":
            taken = of_input + of_output
        else:
            taken = of_input if kind == "input_tokens" else of_output
        if limit is not None and kind != "cost":
            back = ahead + (known + taken) * limit.interval
            left[kind] = number, free - taken if free > taken else 0, back / NANOSECONDS
    return left


def remaining_at(rate: Rate, ahead: int) -> Remaining:
    """What is left of a rate whose units are all back in `ahead` nanoseconds."""
    return rate.count, (rate.tolerance - ahead) // rate.interval, ahead / NANOSECONDS


def take(limits: CallerLimits, state: State, held: Amounts, now: int) -> None:
    """Count a request that all scopes have admitted, and hold `held` for it if it is to be settled."""
    requests = limits.requests
    if requests is not None:
        due = state[REQUESTS]
        state[REQUESTS] = (due if due > now else now) + requests.interval
    if held:
        state[ACTIVE] += 1
        state[HELD_INPUT] += held[0]
        state[HELD_OUTPUT] += held[1]
        if len(held) == AMOUNTS:
            state[HELD_COST] += held[2]


def release(state: State, held: Amounts) -> None:
    """Give back what a request held."""
    state[ACTIVE] -= 1
    state[HELD_INPUT] -= held[0]
    state[HELD_OUTPUT] -= held[1]
    if len(held) == AMOUNTS:
        state[HELD_COST] -= held[2]


def convert(limits: CallerLimits, state: State, now: int) -> None:
    """Make the times in a state those by the rates of `limits`, with as many units used as there are.

    One of a rate that is there no longer stays as it is until it has passed.
    """
    if (state[RATES], state[RATES + 1]) == (limits.rates, limits.side_rates):
        return
    codes = list(codes_of((limits.rates, limits.side_rates)))
    for number, before in enumerate(codes_of((state[RATES], state[RATES + 1]))):
        ahead, code = state[number] - now, codes[number]
        if before and code != before and ahead > 0:
            if code:
                ahead = -(-ahead * interval_of(code) // interval_of(before))
                state[number] = now + min(ahead, MAX_AHEAD)
            else:
                codes[number] = before
    state[RATES], state[RATES + 1] = words_of(codes)


def use(  # noqa: PLR0913, PLR0917 called for each request
    limits: CallerLimits,
    state: State,
    used: Amounts,
    now: int,
    wall: float,
    windows: Windows,
) -> Sequence[Budget]:
    """Count what a request has used; the budgets of which `warn_at` is reached by that."""
    reached: Sequence[Budget] = ()
    total, cost = used[0] + used[1], sum(used[2:])
    if limits.token_rates and (state[RATES] != limits.rates or limits.side_rates):
        convert(limits, state, now)
    for number, _, rate in limits.token_rates:
        count = total if number == TOKENS else used[number - INPUT]
        state[number] = min(max(state[number], now) + count * rate.interval, now + MAX_AHEAD)
    for budget in limits.budgets:
        before, start, _ = budget_usage(budget, state, wall, windows)
        after = before + (cost if budget.is_usd else total)
        at = BUDGETS + 2 * budget.number
        state[at], state[at + 1] = start, after
        if budget.warn_at is not None and before < budget.warn_at <= after:
            reached = (*reached, budget)
    return reached


_LENGTHS = {Period.DAY: 2 * DAY, Period.WEEK: 8 * DAY, Period.MONTH: 32 * DAY}
_STARTS = {BUDGETS + 2 * n: length for n, length in enumerate([*_LENGTHS.values()] * 2)}


def is_idle(state: Sequence[int], now: int, wall: float) -> bool:
    """Whether the counters say no more than those of a scope that was never used."""
    if state[ACTIVE] or any(state[at] > now for at in range(ACTIVE)):
        return False
    return all(state[at] + length < wall for at, length in _STARTS.items())


def restored(state: Sequence[int], shift: int, now: int, wall: float) -> list[int] | None:
    """Counters that an earlier server has left, without what its requests held; None if they cannot be.

    `shift` is added to the times of rates: how far `now` is ahead of the clock that they are from.
    """
    dues = [due + shift if due else 0 for due in state[:ACTIVE]]
    windows = [(state[at], state[at + 1]) for at in _STARTS]
    are_dues = all(due <= now + MAX_AHEAD for due in dues)
    if not are_dues or any(not 0 <= start < wall + DAY or count < 0 for start, count in windows):
        return None
    dues = [due if due > now else 0 for due in dues]
    return [*dues, *[0] * (BUDGETS - ACTIVE), *state[BUDGETS:]]
