"""The times of an access record."""

from time import monotonic, sleep

from engine.gateway.record import RecordBuilder


def test_what_a_request_has_waited_is_no_time_of_the_engine() -> None:
    builder = RecordBuilder(request_id="req_1", started_at=100.0)
    builder.called_at, builder.waited = 103.0, 2.5
    assert builder.finish("").freeze().ms_engine == 500.0


def test_a_record_says_when_its_request_ended_not_when_it_was_handed_out() -> None:
    record = RecordBuilder(started_at=monotonic() - 5).finish("")
    before = record.freeze()
    sleep(0.01)
    assert record.freeze() == before
    assert before.ms_total is not None
    assert before.ms_total >= 5000
