"""What one record adds to the metrics, and that no caller makes series."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, structs

from engine.gateway.record import Record
from engine.plan.plan import Caller
from engine.server.hooks.request_counter import MAX_COUNT, RequestCounter
from engine.telemetry.families import (
    COUNTER,
    DURATIONS,
    ENDPOINTS,
    ERRORS,
    GROUPS,
    KEYS,
    KEYS_OF_ACCOUNTS,
    REQUESTS,
    RETRIES,
    TRAFFIC,
    Group,
)
from engine.telemetry.memory import CounterMemory, ProcessCounters
from engine.telemetry.totals import TotalsReader
from tests.unit.gateway.plans import shipped_plan

PLAN = shipped_plan()
RULE = next(rule for rule in PLAN.rules if rule.is_prefix)
MODEL = f"{RULE.pattern}*"
USUAL = Record(
    key="k",
    endpoint="chat_completions",
    model="gpt-4o",
    provider=RULE.provider,
    rule=RULE.where,
    status=200,
    outcome="ok",
    attempts=1,
    bytes_in=10,
    bytes_out=20,
    ms_first_byte=700.0,
    ms_total=1500.0,
    ms_engine=0.3,
    input_tokens=7,
    output_tokens=5,
    cached_tokens=2,
    usage="reported",
    ttft_ms=800.0,
)


class Stand:
    def __init__(self) -> None:
        memory = CounterMemory(2)
        part = self.part = ProcessCounters(memory, 1)
        self.counter = RequestCounter(part, PLAN)
        self.reader = TotalsReader(memory)

    def values(self, group: Group, *labels: str) -> dict[str, int]:
        """The counters that are not 0; of a histogram the number of its values and, as `NAME sum`, their sum."""
        words = self.reader.read()[GROUPS.index(group)][labels]
        found = {}
        for family in group.families:
            own = words[group.places[family.name] :][: family.width]
            if family.kind == COUNTER:
                found[family.name] = own[0]
            elif family.bounds:
                found[family.name] = sum(own[:-1])
                found[f"{family.name} sum"] = own[-1]
        return {name.removeprefix("orqen_"): value for name, value in found.items() if value}

    def series(self) -> int:
        return sum(len(blocks) for blocks in self.reader.read())


@pytest.fixture
def stand() -> Stand:
    return Stand()


def test_a_record_is_counted_in_full(stand: Stand) -> None:
    stand.counter.write([USUAL, USUAL])
    labels = ("chat_completions", RULE.provider, MODEL)
    assert stand.values(REQUESTS, *labels, "200", "ok") == {"requests_total": 2}
    assert stand.values(TRAFFIC, *labels) == {
        "request_duration_seconds": 2,
        "request_duration_seconds sum": 3_000_000,
        "first_byte_seconds": 2,
        "first_byte_seconds sum": 1_400_000,
        "first_event_seconds": 2,
        "first_event_seconds sum": 1_600_000,
        "request_body_bytes_total": 20,
        "response_body_bytes_total": 40,
        "input_tokens_total": 14,
        "output_tokens_total": 10,
        "cached_input_tokens_total": 4,
    }
    assert stand.values(ENDPOINTS, "chat_completions") == {
        "engine_duration_seconds": 2,
        "engine_duration_seconds sum": 600,
    }
    assert stand.values(KEYS, "k") == {
        "key_requests_total": 2,
        "key_input_tokens_total": 14,
        "key_output_tokens_total": 10,
    }


def test_a_number_that_is_full_keeps_no_other_out(stand: Stand) -> None:
    stand.counter.write([USUAL])
    place = TRAFFIC.places["orqen_input_tokens_total"]
    (base,) = stand.part.blocks(TRAFFIC)
    stand.part.words[base + place] = (1 << 63) - 3
    for _ in range(2):
        stand.counter.write([USUAL])
        labels = ("chat_completions", RULE.provider, MODEL)
    assert stand.values(TRAFFIC, *labels)["input_tokens_total"] == (1 << 63) - 1
    assert stand.values(TRAFFIC, *labels)["output_tokens_total"] == 15
    assert stand.values(KEYS, "k")["key_requests_total"] == 3


def test_cost_is_added_up_exactly_and_what_is_not_known_is_counted(stand: Stand) -> None:
    records = [Record(endpoint="e", key="k", cost_usd=c) for c in (0.1, 0.2, 1e-9, None, 0.0)]
    stand.counter.write([*records, Record(endpoint="e", key="k")])  # the last without prices.yaml
    values = stand.values(TRAFFIC, "e", "", "")
    assert (values["cost_usd_total"], values["unpriced_requests_total"]) == (300_000_001, 1)
    assert stand.values(KEYS, "k")["key_cost_usd_total"] == 300_000_001


@pytest.mark.parametrize(("tokens", "count"), [(2**53, 2_000), (MAX_COUNT + 1, 2)])
def test_a_provider_cannot_make_a_counter_overflow(stand: Stand, tokens: int, count: int) -> None:
    record = Record(
        endpoint="e",
        key="k",
        input_tokens=tokens,
        output_tokens=tokens,
        cached_tokens=tokens,
        cache_write_tokens=tokens,
        usage="reported",
        cost_usd=1e15,
    )
    stand.counter.write([record] * count)
    assert stand.values(REQUESTS, "e", "", "", "", "refused") == {"requests_total": count}
    assert stand.values(KEYS, "k")["key_output_tokens_total"] == count * MAX_COUNT
    traffic = stand.values(TRAFFIC, "e", "", "")
    for name in ("input", "output", "cached_input", "cache_write_input"):
        assert traffic[f"{name}_tokens_total"] == count * MAX_COUNT


def test_errors_and_retries_are_counted(stand: Stand) -> None:
    chat = Record(endpoint="chat_completions")
    tried = ("groq 429", "groq connect_failed")
    stand.counter.write(
        [
            structs.replace(chat, key="k", status=503, error="overloaded"),
            Record(status=401, error="invalid_key"),
            Record(key="k", status=399, outcome="ok"),
            Record(key="k", status=400, outcome="ok"),  # relayed from a provider
            structs.replace(chat, status=200, outcome="ok", tried=tried),
            structs.replace(chat, status=200, outcome="ok"),
        ]
    )
    assert stand.values(ERRORS, "chat_completions", "overloaded") == {"errors_total": 1}
    assert stand.values(ERRORS, "", "invalid_key") == {"errors_total": 1}
    assert stand.values(RETRIES, "groq", "429") == {"retries_total": 1}
    assert stand.values(RETRIES, "groq", "connect_failed") == {"retries_total": 1}
    assert stand.values(KEYS, "k") == {"key_requests_total": 3, "key_errors_total": 2}
    nobody = {"key_requests_total": 3, "key_errors_total": 1}
    assert stand.values(KEYS, "") == nobody, "so the sum over keys is that of all requests"


def test_ten_thousand_models_of_a_caller_add_at_most_one_series(stand: Stand) -> None:
    def records(count: int) -> list[Record]:
        unknown = Record(rule=None, endpoint="e", error="model_not_found")
        known = Record(rule=RULE.where, endpoint="e")
        return [
            structs.replace(each, model=f"{each.rule and RULE.pattern}{number}")
            for number in range(count)
            for each in (unknown, known)
        ]

    stand.counter.write(records(2))
    before = stand.series()
    stand.counter.write(records(5_000))
    assert stand.series() == before
    assert stand.values(REQUESTS, "e", "", MODEL, "", "refused") == {"requests_total": 5_002}


def test_what_has_no_room_is_counted_as_other(stand: Stand) -> None:
    stand.counter.write(
        [Record(endpoint="e", status=status) for status in range(REQUESTS.max_combinations + 100)]
    )
    blocks = stand.reader.read()[GROUPS.index(REQUESTS)]
    assert len(blocks) == REQUESTS.max_combinations + 1
    assert sum(words[0] for words in blocks.values()) == REQUESTS.max_combinations + 100


def test_keys_of_accounts_take_no_series_of_the_keys_in_the_file() -> None:
    plan = replace(PLAN, callers={b"x": Caller("my-app", None, None, (), None)})
    memory = CounterMemory(2)
    part = ProcessCounters(memory, 1)
    for turn in range(3):  # a reload gives accounts no further room
        counter = RequestCounter(part, plan)
        made = [f"made-{turn}-{number}" for number in range(KEYS_OF_ACCOUNTS)]
        counter.write([structs.replace(USUAL, key=key) for key in made])
    counter.write([structs.replace(USUAL, key=key) for key in ("my-app", None, "made-0-7")])
    series = TotalsReader(memory).read()[GROUPS.index(KEYS)]
    requests = KEYS.places["orqen_key_requests_total"]
    assert series["my-app",][requests] == series["",][requests] == 1
    assert series["made-0-7",][requests] == 2
    assert len(series) <= KEYS_OF_ACCOUNTS + 3
    assert sum(words[requests] for words in series.values()) == 3 * KEYS_OF_ACCOUNTS + 3


_BOUNDS = st.sampled_from([bound * 1000 for bound in DURATIONS])  # a time there is in its bucket
_RECORDS = st.builds(
    Record,
    key=st.sampled_from((None, "k", "l")),
    endpoint=st.sampled_from((None, "chat_completions", "embeddings")),
    provider=st.sampled_from((None, "groq")),
    rule=st.sampled_from((None, RULE.where)),
    status=st.sampled_from((None, 200, 400, 503)),
    outcome=st.sampled_from(("ok", "refused")),
    error=st.sampled_from((None, "overloaded", "invalid_key")),
    bytes_in=st.integers(0, 2**40),
    ms_total=st.floats(0, 1e6) | _BOUNDS,
    ms_first_byte=st.none() | st.floats(0, 1e6),
    ms_engine=st.none() | st.floats(0, 10),
    input_tokens=st.none() | st.integers(0, 2**53),
    tried=st.sampled_from((UNSET, ("groq 429",), ("groq 429", "groq 500"))),
    cost_usd=st.just(UNSET) | st.none() | st.floats(0, 1),
)


@given(st.lists(_RECORDS, max_size=12))
def test_records_count_the_same_together_and_one_by_one(records: list[Record]) -> None:
    together, alone = Stand(), Stand()
    together.counter.write(records)
    for record in records:
        alone.counter.write([record])
    for group, (one, other) in zip(GROUPS, zip(together.reader.read(), alone.reader.read(), strict=True), strict=True):  # fmt: skip
        assert one.keys() == other.keys()
        sums = {f.width - 1 + group.places[f.name] for f in group.families if f.bounds}
        for labels, words in one.items():
            for place, (word, its) in enumerate(zip(words, other[labels], strict=True)):
                assert abs(word - its) <= (len(records) if place in sums else 0), (group, place)
