"""The times of an access record."""

from datetime import UTC, datetime, timedelta
from time import monotonic

from engine.gateway.record import RecordBuilder, RequestState, Timestamps


def test_what_a_request_has_waited_is_no_time_of_the_engine() -> None:
    builder = RecordBuilder(request_id="req_1", state=RequestState(100.0))
    builder.state.called_at, builder.state.waited = 103.0, 2.5
    assert builder.freeze(Timestamps()).ms_engine == 500.0


def test_a_record_says_when_its_request_ended_not_when_it_was_handed_out() -> None:
    record = RecordBuilder(state=RequestState(started_at=100.0, ended_at=105.0))
    assert record.freeze(Timestamps()).ms_total == 5000.0
    age = datetime.now(UTC) - datetime.fromisoformat(Timestamps().at(monotonic() - 1000))
    assert timedelta(seconds=990) < age < timedelta(seconds=1010)
