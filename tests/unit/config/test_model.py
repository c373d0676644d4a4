"""Units, expiry and what of a broken file can still be relied on."""

import math
from datetime import UTC, datetime
from typing import Any

from engine.config.model import (
    DEFAULT_LIMITS,
    DEFAULT_MAX_BODY,
    DEFAULT_TIMEOUTS,
    Config,
)
from engine.config.schema.build import build_config
from engine.config.schema.build_provider import build_key
from engine.config.schema.validation import check_schema
from engine.config.source.document import parse_document
from engine.config.units import parse_duration, parse_expiry, parse_size
from engine.plan.plan import Dialect
from tests.tables import each
from tests.unit.config.folders import minimal


@each(
    ("text", "seconds"),
    [("500ms", 0.5), ("1ms", 0.001), ("30s", 30), ("1.5s", 1.5), ("10m", 600), ("0.5m", 30), ("2h", 7200),
     ("0s", 0), ("0100s", 100)],
)  # fmt: skip
def test_a_duration_is_seconds(text: str, seconds: float) -> None:
    assert math.isclose(parse_duration(text), seconds)


@each(
    ("text", "size"),
    [("0B", 0), ("7B", 7), ("1KiB", 1024), ("32MiB", 33_554_432), ("2GiB", 2_147_483_648)],
)
def test_a_size_is_bytes(text: str, size: int) -> None:
    assert parse_size(text) == size


@each(
    ("text", "moment"),
    [
        ("2027-01-01", datetime(2027, 1, 1, tzinfo=UTC)),
        ("2027-01-01T09:00:00Z", datetime(2027, 1, 1, 9, tzinfo=UTC)),
        ("2027-01-01t09:00:00z", datetime(2027, 1, 1, 9, tzinfo=UTC)),
        ("2027-01-01T09:00:00+02:00", datetime(2027, 1, 1, 7, tzinfo=UTC)),
        ("2027-01-01T00:30:00-05:30", datetime(2027, 1, 1, 6, tzinfo=UTC)),
        ("2027-01-01T09:00:00.25Z", datetime(2027, 1, 1, 9, 0, 0, 250_000, tzinfo=UTC)),
        ("2028-02-29", datetime(2028, 2, 29, tzinfo=UTC)),
    ],
)
def test_an_expiry_is_a_moment(text: str, moment: datetime) -> None:
    assert parse_expiry(text) == moment.timestamp()


@each(
    ("own", "is_default"),
    [({}, True), ({"limits": {"requests": "1/m"}}, False), ({"limits": {}}, None)],
)
def test_limits_of_a_key_without_any_of_its_own_are_known_as_the_default(
    own: dict[str, Any], is_default: bool | None
) -> None:
    shared = {"requests": "60/m", "models": {"m": {"requests": "1/m"}}}
    limits = build_key(("keys", 0), {"name": "ci", "sha256": "0", **own}, shared).limits
    assert (None if limits is None else limits.is_default) == is_default
    inner = [] if limits is None else [of_model.is_default for _, of_model in limits.models]
    assert all(inner)


@each("text", ["2027-02-29", "2027-04-31", "0000-01-01", "soon", ""])
def test_no_such_day_is_no_expiry(text: str) -> None:
    assert parse_expiry(text) is None


@each("text", ["0001-01-01", "9999-12-31", "9999-12-31T23:59:59-23:59"])
def test_the_ends_of_the_calendar_are_moments(text: str) -> None:
    assert parse_expiry(text) is not None


def test_a_later_override_wins_one_key_at_a_time() -> None:
    merged = DEFAULT_TIMEOUTS.overridden({"idle": 1, "total": 2}, {"total": 3})
    assert (merged.connect, merged.idle, merged.total) == (DEFAULT_TIMEOUTS.connect, 1, 3)


def config(**texts: str) -> Config:
    """The Config of the minimal pair with some files replaced, whatever is wrong with them."""
    texts = {"routes": minimal("routes"), "providers": minimal("providers"), **texts}
    documents = {n: parse_document(f"{n}.yaml", t.encode())[0] for n, t in texts.items()}
    broken = {d.file: check_schema(d, name)[1] for name, d in documents.items() if d}
    return build_config(documents["routes"], documents["providers"], documents.get("keys"), broken)


def test_defaults_are_filled_in() -> None:
    made = config()
    endpoint, provider = made.endpoints[0], made.providers[0]
    assert (endpoint.method, endpoint.bodies, endpoint.max_body) == (
        "POST",
        ("json",),
        DEFAULT_MAX_BODY,
    )
    assert endpoint.dialect is Dialect.OPENAI
    assert endpoint.default_model is None
    assert provider.limits == DEFAULT_LIMITS
    assert made.timeouts == DEFAULT_TIMEOUTS
    assert made.keys is None


def test_own_defaults_win_over_those_of_the_engine() -> None:
    made = config(
        routes=minimal("routes") + "defaults: {max_body: 1KiB, timeouts: {idle: 1s, total: 5m}}\n"
    )
    assert {endpoint.max_body for endpoint in made.endpoints} == {1024}
    assert (made.timeouts.idle, made.timeouts.total) == (1, 300)
    assert made.timeouts.connect == DEFAULT_TIMEOUTS.connect


def test_one_or_several_are_the_same() -> None:
    rules = "\nmodels:\n  - {model: a, provider: openai, endpoint: embeddings}\n  - {model: b, provider: openai, endpoint: [embeddings]}\n"
    made = config(routes=minimal("routes").partition("\nmodels:")[0] + rules)
    assert [rule.endpoints for rule in made.rules] == [("embeddings",), ("embeddings",)]


def test_a_broken_entry_is_left_out_and_its_name_is_kept() -> None:
    made = config(routes=minimal("routes").replace("path: /v1/embeddings", "paht: /v1/embeddings"))
    assert [endpoint.name for endpoint in made.endpoints] == ["chat_completions"]
    assert made.known_endpoints == {"chat_completions", "embeddings"}
    assert "endpoints" in made.incomplete


def test_a_broken_rule_is_left_out_alone() -> None:
    made = config(routes=minimal("routes").replace("{prefix: gpt-,", "{prefix: gpt-, strap: true,"))
    assert [rule.pattern for rule in made.rules] == ["text-embedding-"]


def test_an_empty_list_of_keys_is_not_the_same_as_none() -> None:
    assert config(keys="version: 1\nkeys: []\n").keys == ()


def test_the_defaults_of_the_schema_are_those_of_the_model() -> None:
    text = minimal("routes") + "defaults: {max_body: 32MiB, timeouts: {connect: 5s, first_byte: 10m, idle: 10m, total: 30m, caller_idle: 30s}}\n"  # fmt: skip
    assert config(routes=text) == config()
