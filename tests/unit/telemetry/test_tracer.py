"""Which requests are sampled, and that the others cost nothing."""

from dataclasses import replace
from typing import Any

from engine.gateway.record import Record
from engine.plan.tracing import Tracing, Trust
from engine.telemetry.tracer import PlanTracer, TraceNotes, Unsampled
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

SAMPLED = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
NOT_SAMPLED = SAMPLED[:-1] + b"0"
IDS, CALLERS, NONE = Trust.IDS, Trust.SAMPLED, Trust.NONE


def scope(parent: bytes | None = None) -> dict[str, Any]:
    headers = [] if parent is None else [(b"traceparent", parent)]
    return {"method": "POST", "headers": [(b"host", b"x"), *headers]}


def tracer(ratio: float, trust: Trust, *, propagates: bool = False) -> PlanTracer:
    plan = shipped_plan()
    providers = {n: replace(p, trace=propagates) for n, p in plan.providers.items()}
    return PlanTracer(
        replace(plan, providers=providers), Tracing(None, ratio, trust), lambda *_: None
    )


@each(
    ("ratio", "trust", "parent", "is_sampled"),
    [
        (0, NONE, SAMPLED, False),
        (1, NONE, NOT_SAMPLED, True),
        (1, NONE, b"nonsense", True),
        (0, IDS, SAMPLED, False),  # a caller cannot have a request traced
        (1, IDS, NOT_SAMPLED, True),
        (0, CALLERS, SAMPLED, True),
        (1, CALLERS, NOT_SAMPLED, False),
        (1, CALLERS, b"nonsense", True),  # nobody has decided: a new trace, by the ratio
        (0, CALLERS, b"nonsense", False),
        (1, CALLERS, None, True),
    ],
)
def test_who_decides(ratio: float, trust: Trust, parent: bytes, is_sampled: bool) -> None:
    notes = tracer(ratio, trust).start(scope(parent))
    assert (notes is not None and notes.is_sampled) is is_sampled
    if notes is not None and parent in (SAMPLED, NOT_SAMPLED):
        assert (notes.trace_id == SAMPLED[3:35].decode()) is (trust is not NONE)


def test_nothing_is_made_for_a_request_that_is_not_sampled() -> None:
    assert tracer(0, NONE).start(scope(SAMPLED)) is None
    assert tracer(0, CALLERS).start(scope()) is None
    passed_on = tracer(0, NONE, propagates=True).start(scope())
    assert passed_on is not None
    assert (passed_on.is_sampled, passed_on.trace_id) == (False, None)
    known = tracer(0, CALLERS).start(scope(NOT_SAMPLED))
    assert isinstance(known, Unsampled), "its trace is in the log, and nothing else is noted"


def test_the_ratio_is_that_of_the_requests() -> None:
    some = tracer(0.2, NONE)
    found = sum(some.start(scope()) is not None for _ in range(5000))
    assert 850 < found < 1150, "a fifth, give or take five standard deviations"


def test_only_what_is_sampled_is_exported() -> None:
    taken: list[tuple[TraceNotes, Record]] = []
    plan = shipped_plan()
    trusting = PlanTracer(plan, Tracing(None, 0.0, CALLERS), lambda *pair: taken.append(pair))
    for parent in (SAMPLED, NOT_SAMPLED):
        notes = trusting.start(scope(parent))
        assert notes is not None
        trusting.end(notes, Record())
    assert [notes.is_sampled for notes, _ in taken] == [True]


def test_a_caller_without_a_valid_key_is_traced_by_the_ratio_alone() -> None:
    plan = replace(shipped_plan(), callers={})
    for ratio, parent, key, is_taken in (
        (0.0, SAMPLED, None, False),
        (0.0, SAMPLED, "k", True),
        (1.0, SAMPLED, None, True),
        (1.0, None, None, True),
    ):
        taken: list[TraceNotes] = []
        settings = Tracing(None, ratio, CALLERS)
        trusting = PlanTracer(plan, settings, lambda n, _, to=taken: to.append(n))  # type: ignore[misc]  # its list
        notes = trusting.start(scope(parent))
        assert notes is not None
        trusting.end(notes, Record(key=key))
        assert len(taken) == is_taken, (ratio, parent, key)


def test_ids_differ() -> None:
    always = tracer(1, NONE)
    notes = [always.start(scope()) for _ in range(100)]
    contexts = [n.context for n in notes if isinstance(n, TraceNotes)]
    ids = {(context.trace_id, context.span_id) for context in contexts}
    assert len(ids) == 100
    assert {(len(trace), len(span)) for trace, span in ids} == {(32, 16)}
