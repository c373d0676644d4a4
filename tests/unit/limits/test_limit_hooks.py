"""What a finished request is taken to have used, and the headers of a refusal."""

import pytest

from engine.gateway.record import Record
from engine.limits.core import Refused
from engine.plan.plan import Dialect
from engine.server.cost_limits import used_cost
from engine.server.limit_hooks import used_tokens
from engine.server.limit_responses import refusal


@pytest.mark.parametrize(("bytes_out", "allowed", "tokens"), [(400, 1000, 100), (400_000, 50, 50)])
def test_output_that_is_not_reported_is_no_more_than_the_request_allows(
    bytes_out: int, allowed: int, tokens: int
) -> None:
    record = Record(attempts=1, status=200, outcome="ok", bytes_out=bytes_out, input_tokens=7)
    assert used_tokens(record, (9, allowed)) == (7, tokens)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("requests", ["limit-requests", "remaining-requests", "reset-requests"]),
        ("tokens", ["limit-tokens", "remaining-tokens", "reset-tokens"]),
        ("input_tokens", []),  # no SDK reads those of one side as such
        ("output_tokens", []),
        ("concurrent", []),
    ],
)
def test_a_refusal_has_the_headers_of_its_limit_alone(kind: str, names: list[str]) -> None:
    error = refusal(Refused(kind, 10, "minute", 3), Dialect.OPENAI)
    found = [name.decode().removeprefix("x-ratelimit-") for name, _ in error.headers]
    assert (found, error.retry_after) == (names, 3)


@pytest.mark.parametrize(
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
