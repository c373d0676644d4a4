"""The times of an access record."""

from engine.gateway.record import RecordBuilder


def test_what_a_request_has_waited_is_no_time_of_the_engine() -> None:
    builder = RecordBuilder(request_id="req_1", started_at=100.0)
    builder.called_at, builder.waited = 103.0, 2.5
    assert builder.finish("").ms_engine == 500.0
