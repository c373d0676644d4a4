"""What a finished request is taken to have used, and the headers of a refusal."""

from typing import Any

import msgspec

from engine.gateway.record import Record
from engine.limits.core import Refused, remaining_at
from engine.plan.limits import NANOSECONDS, CallerLimits, Rate
from engine.plan.plan import Dialect
from engine.plan.prices import NANO
from engine.server.hooks.cost_limits import used_cost
from engine.server.hooks.limit_permits import used_tokens
from engine.server.hooks.limit_responses import (
    credential_refusal,
    limit_headers,
    rate_headers,
    refusal,
)
from tests.tables import each


@each(
    ("bytes_out", "allowed", "tokens"), [(400, 1000, 100), (400_000, 50, 50), (400_000, 9000, 1000)]
)
def test_output_that_is_not_reported_is_no_more_than_the_request_allows(
    bytes_out: int, allowed: int, tokens: int
) -> None:
    record = Record(attempts=1, status=200, outcome="ok", bytes_out=bytes_out, input_tokens=7)
    assert used_tokens(record, (9, allowed)) == (7, tokens)


LEFT_BY = {"attempts": 1, "outcome": "client_cancelled", "ms_total": 2010.0, "ms_engine": 10.0}


@each(
    ("fields", "tokens"),
    [
        (LEFT_BY, 200),  # before the head of its response
        (LEFT_BY | {"ms_total": 60_000.0}, 500),
        (
            LEFT_BY | {"status": 504, "outcome": "upstream_timeout", "error": "upstream_timeout"},
            200,
        ),
        (LEFT_BY | {"status": 200, "usage": "partial", "input_tokens": 9, "output_tokens": 3}, 203),
        (
            LEFT_BY | {"status": 200, "usage": "partial", "input_tokens": 9, "output_tokens": 800},
            800,
        ),
        (LEFT_BY | {"status": 200, "ttft_ms": 5.0, "input_tokens": 9, "output_tokens": 3}, 3),
        (LEFT_BY | {"status": 503, "error": "upstream_connect_failed"}, -9),
        (LEFT_BY | {"status": 500}, -9),
    ],
)
def test_of_a_response_that_nobody_has_seen_the_output_is_estimated_by_its_time(
    fields: dict[str, Any], tokens: int
) -> None:
    """At most as it was reserved. In US dollars what was reserved is charged."""
    record = Record(**fields, bytes_in=32)
    assert sum(used_tokens(record, (9, 500))) == 9 + tokens
    known = msgspec.structs.replace(record, cost_usd=7e-9)
    is_unseen = tokens >= 200
    assert used_cost(known, 10) == (10 if is_unseen else 7)


STOOD_STILL: dict[str, Any] = {"attempts": 1, "status": 200, "outcome": "client_cancelled", "ttft_ms": 5.0, "cost_usd": 3e-9}  # fmt: skip


@each(
    ("silent", "output", "tokens", "cost"),
    [(None, 3, 3, 3), (1200.0, 3, 123, 33), (9000.0, 3, 400, 100), (9000.0, 700, 700, 100)],
)
def test_time_in_which_a_stream_stood_still_before_it_broke_off_counts_as_output(
    silent: float | None, output: int, tokens: int, cost: int
) -> None:
    """A model that reasons may show none of it. At most what was reserved counts."""
    record = Record(**STOOD_STILL, input_tokens=9, output_tokens=output)
    if silent is not None:
        record = msgspec.structs.replace(record, ms_silent=silent)
    assert used_tokens(record, (9, 400)) == (9, tokens)
    assert used_cost(record, 100, (9, 400, 100)) == cost


LEFT = dict.fromkeys(("requests", "tokens", "input_tokens", "output_tokens"), (10, 3, 90.5))


@each(
    ("dialect", "names"),
    [
        (Dialect.ANTHROPIC, ["requests", "tokens", "input-tokens", "output-tokens"]),
        (Dialect.OPENAI, ["requests", "tokens"]),  # its SDKs know no sides of tokens
        (Dialect.RESPONSES, ["requests", "tokens"]),
    ],
)
def test_a_refusal_says_what_is_left_of_all_limits_in_the_headers_of_its_dialect(
    dialect: Dialect, names: list[str]
) -> None:
    """Whatever limit refuses; `retry-after` alone is about that one."""
    is_anthropic = dialect is Dialect.ANTHROPIC
    pattern = "anthropic-ratelimit-{0}-{1}" if is_anthropic else "x-ratelimit-{1}-{0}"
    error = refusal(Refused("concurrent", 2, "", 1, ("ci", CallerLimits()), left=LEFT), dialect)
    found = {name.decode(): value.decode() for name, value in error.headers}
    assert list(found) == [
        pattern.format(name, what) for name in names for what in ("limit", "remaining", "reset")
    ]
    assert [*found.values()][:2] == ["10", "3"]
    reset = found[pattern.format("requests", "reset")]
    assert reset.endswith("Z") if is_anthropic else reset == "1m30s"
    assert error.retry_after == 1


@each(
    ("record", "charged"),
    [
        (Record(error="invalid_json"), 0),
        (Record(outcome="client_cancelled"), 0),
        (Record(attempts=1, error="upstream_connect_failed"), 0),
        (Record(attempts=1, status=400, outcome="ok"), 0),
        (Record(attempts=1, status=200, outcome="ok"), 5),
        (Record(attempts=1, error="upstream_timeout"), 5),
    ],
)
def test_a_request_whose_cost_nobody_knows_is_charged_what_was_reserved_if_it_was_processed(
    record: Record, charged: int
) -> None:
    assert used_cost(record, 5) == charged


OF_KEY, OF_MODEL = ("ci", CallerLimits()), ("ci gpt-5*", CallerLimits())


@each(
    ("refused", "message"),
    [
        (Refused("requests", 1, "minute", 60, OF_KEY), "key `ci` allows 1 request a minute; try again in 60 s"),
        (Refused("requests", 2, "hour", 1, OF_MODEL), "key `ci` allows 2 requests an hour for `gpt-5*`; try again in 1 s"),
        (Refused("tokens", 100_000, "minute", 3, ("@a1", CallerLimits())), "account `a1` allows 100000 tokens a minute; try again in 3 s"),
        (Refused("input_tokens", 1, "second", 1, ("@a1/k1", CallerLimits())), "key `k1` allows 1 input token a second; try again in 1 s"),
        (Refused("concurrent", 1, "", 1, OF_KEY), "key `ci` allows 1 request at once; try again in 1 s"),
        (Refused("requests", 60, "minute", 1, ("ci", CallerLimits(is_default=True))), "by default, key `ci` allows 60 requests a minute; try again in 1 s"),
        (Refused("budget", 5, "day", 9, OF_KEY, is_spent=True), "key `ci` allows 5 tokens a day, which are spent; the next day begins in 9 s"),
        (Refused("budget_usd", NANO, "month", 9, OF_KEY, is_spent=True), "key `ci` allows 1 US dollar a month, which is spent; the next month begins in 9 s"),
        (Refused("budget_usd", 2_000_000 * NANO, "week", 1, OF_KEY), "key `ci` allows 2000000 US dollars a week, and requests under way hold what is left; try again in 1 s"),
        (Refused("budget_usd", NANO // 4, "day", 1, OF_KEY), "key `ci` allows 0.25 US dollars a day, and requests under way hold what is left; try again in 1 s"),
    ],
)  # fmt: skip
@each("dialect", Dialect)
def test_a_refusal_says_which_limit_refuses_and_in_which_scope(
    dialect: Dialect, refused: Refused, message: str
) -> None:
    assert refusal(refused, dialect).message == message


def test_a_refusal_of_a_credential_names_its_provider_and_nothing_of_the_credential() -> None:
    scope = "$first/0123456789abcdef", CallerLimits()
    error = credential_refusal(Refused("requests", 1, "hour", 7, scope))
    assert (
        error.message
        == "a credential of provider `first` allows 1 request an hour; try again in 7 s"
    )


@each(
    ("rate", "ahead", "texts"),
    [
        (Rate(3, 60), 20 * NANOSECONDS, (b"3", b"2", b"20s")),
        (Rate(3, 60), 60 * NANOSECONDS, (b"3", b"0", b"1m0s")),
        (Rate(1_000_000, 60), 60_000, (b"1000000", b"999999", b"0ms")),
        (Rate(1_000_000, 60), 289_000_000, (b"1000000", b"995183", b"289ms")),
        (Rate(7, 1), NANOSECONDS - 1, (b"7", b"0", b"999ms")),
    ],
)
def test_a_rate_alone_has_the_headers_that_it_has_beside_others(
    rate: Rate, ahead: int, texts: tuple[bytes, ...]
) -> None:
    headers = rate_headers(rate, ahead, Dialect.OPENAI)
    assert tuple(value for _, value in headers) == texts
    for dialect in Dialect:
        every = limit_headers({"requests": remaining_at(rate, ahead)}, dialect)
        assert rate_headers(rate, ahead, dialect) == every
