"""The times of an access record."""

from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.record import Record, RecordBuilder, RequestState, Timestamps, lines


def test_what_a_request_has_waited_is_no_time_of_the_engine() -> None:
    builder = RecordBuilder(request_id="req_1", state=RequestState(100.0))
    builder.state.called_at, builder.state.waited = 103.0, 2.5
    assert builder.freeze(Timestamps()).ms_engine == 500.0


def test_a_record_says_when_its_request_ended_not_when_it_was_handed_out() -> None:
    ended = monotonic() - 1000
    state = RequestState(started_at=ended - 5, ended_at=ended)
    record = RecordBuilder(state=state).freeze(Timestamps())
    assert record.ms_total == 5000.0
    age = datetime.now(UTC) - datetime.fromisoformat(record.time)
    assert timedelta(seconds=990) < age < timedelta(seconds=1010)


def test_a_record_that_was_handed_out_cannot_be_changed() -> None:
    builder = RecordBuilder(request_id="req_1", state=RequestState(100.0))
    record = builder.freeze(Timestamps())
    assert type(record) is Record
    with pytest.raises(AttributeError):
        builder.status = 200
    assert b'"state"' not in lines([record])


def test_each_of_the_records_that_are_handed_out_together_has_its_own_time() -> None:
    ended, timestamps = monotonic(), Timestamps()
    first, second, third = (
        RecordBuilder(state=RequestState(ended_at=at)).freeze(timestamps).time
        for at in (ended - 60, ended, ended)
    )
    assert first < second == third


@given(st.lists(st.integers(0, 200), min_size=2))
def test_records_that_are_handed_out_together_are_as_far_apart_as_their_ends(
    steps: list[int],
) -> None:
    """In any order, to the millisecond; `steps` are tenths of one."""
    now, timestamps, apart = monotonic(), Timestamps(), []
    for ended in (now - step / 10_000 for step in steps):
        record = RecordBuilder(state=RequestState(ended_at=ended)).freeze(timestamps)
        apart.append(datetime.fromisoformat(record.time).timestamp() - ended)
    assert max(apart) - min(apart) < 0.001_01
