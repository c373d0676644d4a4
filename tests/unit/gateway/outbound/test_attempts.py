"""The conversation that decides which attempts are made: what may have been paid is not resent."""

import asyncio
import math
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from random import Random

import pytest

from engine.gateway.errors import CATALOGUE
from engine.gateway.outbound.attempts import (
    RELAY,
    Abandoned,
    AttemptGenerator,
    NoResponse,
    Outcome,
    Pause,
    Relay,
    ResponseHead,
    Step,
    Try,
    Unavailable,
    attempts,
    error_of,
    retry_after,
)
from engine.gateway.outbound.driver import run_attempts
from engine.gateway.outbound.exchange import Exchange
from engine.gateway.outbound.health import FREE_RETRIES, Health
from engine.gateway.record import RecordBuilder
from engine.gateway.routing.match import Target, find_target
from engine.plan.plan import Breaker, Retry, RuleTarget
from engine.upstream import Failure
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

UNSENT = [failure for failure in Failure if not failure.sent]
SENT = [failure for failure in Failure if failure.sent]
REFUSED = frozenset({429, 503, 529})
ONCE = Retry(attempts=1, statuses=REFUSED, max_wait=5, budget=0.2)
THRICE = replace(ONCE, attempts=3)
BREAKER = Breaker(failures=2, ratio=None, requests=0, open=30)
OK = ResponseHead(200)
Script = list[tuple[Step, Outcome]]


def target(
    model: str,
    name: str,
    retry: Retry = ONCE,
    breaker: Breaker | None = None,
    fallback_on: Collection[str] = (),
) -> Target:
    plan = shipped_plan()
    endpoint = plan.endpoint("chat_completions")
    assert endpoint is not None
    found = find_target(plan, endpoint, model)
    provider = replace(found.provider, name=name, retry=retry, breaker=breaker)
    entry = RuleTarget(name, None, False, None, "", fallback_on=frozenset(fallback_on))
    return replace(found, provider=provider, rule_target=entry)


def falling(name: str, *words: str) -> Target:
    return target("gpt-a", name, fallback_on=words)


A, B, C = (target("gpt-a", name) for name in "abc")


def patient(name: str = "a", **changes: object) -> Target:
    retry = replace(THRICE, **changes)  # type: ignore[arg-type]
    return target("gpt-a", name, retry)


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Room:
    """Targets with their providers' health, and a clock that a test turns by hand."""

    def __init__(self, *targets: Target, resendable: bool = True) -> None:
        self.resendable = resendable
        self.targets = targets
        self.clock = Clock()
        self.end = dict.fromkeys((t.provider.name for t in targets), math.inf)
        self.health = {
            t.provider.name: Health(t.provider.breaker, t.provider.retry) for t in targets
        }

    def attempts(self) -> AttemptGenerator:
        return attempts(
            self.targets,
            self.health,
            self.clock,
            lambda target: self.end[target.provider.name],
            resendable=self.resendable,
        )

    def play(self, *script: tuple[Step, Outcome]) -> NoResponse | None:
        """Hold the conversation as it is written, and give what it comes to."""
        conversation = self.attempts()
        step = next(conversation, None)
        try:
            for expected, outcome in script:
                assert step == expected
                step = conversation.send(outcome)
        except StopIteration as stopped:
            assert (expected, outcome) == script[-1], "it ended early"
            why: NoResponse | None = stopped.value
            return why
        raise AssertionError(f"it went on with {step}")

    def outcomes(self, outcomes: Sequence[Outcome]) -> tuple[list[Step], NoResponse | None]:
        """The steps that are taken when attempts and answers end like this, in turn."""
        conversation = self.attempts()
        steps: list[Step] = []
        left = list(outcomes)
        try:
            step = next(conversation)
            while True:
                steps.append(step)
                outcome: Outcome = None
                match step:
                    case Try():
                        outcome = left.pop(0) or OK
                    case Relay():
                        ended = left.pop(0) if left else None
                        outcome = ended if isinstance(ended, Failure) else None
                    case Pause(seconds):
                        self.clock.now += seconds
                step = conversation.send(outcome)
        except StopIteration as stopped:
            return steps, stopped.value


# -- one target, no retry ------------------------------------------------------------------------


def test_an_answer_is_passed_on() -> None:
    assert Room(A).play((Try(A), OK), (RELAY, None)) is None


@each("status", [400, 401, 404, 429, 500, 503, 529])
def test_any_status_is_an_answer_when_there_is_nowhere_else_to_go(status: int) -> None:
    assert Room(A).play((Try(A), ResponseHead(status)), (RELAY, None)) is None


@each("failure", Failure)
def test_a_failure_is_told(failure: Failure) -> None:
    assert Room(A).play((Try(A), failure)) is failure


def test_an_answer_that_breaks_off_ends_it() -> None:
    assert Room(A, B).play((Try(A), OK), (RELAY, Failure.TRUNCATED)) is None


# -- several targets -----------------------------------------------------------------------------


@each("failure", UNSENT)
def test_what_was_not_sent_goes_to_the_next_target(failure: Failure) -> None:
    assert Room(A, B).play((Try(A), failure), (Try(B), OK), (RELAY, None)) is None
    assert Room(A, B).play((Try(A), failure), (Try(B), Failure.CLOSED)) is Failure.CLOSED
    assert Room(A, B).play((Try(A), failure), (Try(B), failure)) is failure


@each("failure", SENT)
def test_what_may_have_been_sent_is_not_sent_again(failure: Failure) -> None:
    assert Room(A, B).play((Try(A), failure)) is failure
    assert Room(patient(), B).play((Try(patient()), failure)) is failure


@each("status", sorted(REFUSED))
def test_what_was_refused_goes_to_the_next_target(status: int) -> None:
    assert Room(A, B).play((Try(A), ResponseHead(status)), (Try(B), OK), (RELAY, None)) is None


@each("status", [400, 401, 408, 500, 502, 504])
def test_a_status_that_is_not_listed_is_an_answer(status: int) -> None:
    assert Room(A, B).play((Try(A), ResponseHead(status)), (RELAY, None)) is None


def test_the_last_refusal_is_passed_on() -> None:
    script: Script = [(Try(A), ResponseHead(429)), (Try(B), ResponseHead(503)), (RELAY, None)]
    assert Room(A, B).play(*script) is None


def test_a_body_that_is_gone_is_not_sent_again() -> None:
    assert Room(A, B).play((Try(A), ResponseHead(429, is_repeatable=False)), (RELAY, None)) is None
    gone = ResponseHead(429, is_repeatable=False)
    assert Room(patient(), B).play((Try(patient()), gone), (RELAY, None)) is None


# -- targets that say when the next one gets what may have been paid -----------------------------

TIMED_OUT = {Failure.FIRST_BYTE_TIMEOUT, Failure.IDLE_TIMEOUT}
CUT = {Failure.CLOSED, Failure.TRUNCATED, Failure.BAD_RESPONSE}
FALLBACKS = {"timeout": TIMED_OUT, "closed": CUT, "5xx": set[Failure]()}


@each("word", FALLBACKS)
@each("failure", SENT)
def test_only_the_failures_that_are_named_go_on_and_the_next_attempt_is_marked(
    word: str, failure: Failure
) -> None:
    a = falling("a", word)
    if failure in FALLBACKS[word]:
        again = Try(B, paid_before=True)
        assert Room(a, B).play((Try(a), failure), (again, OK), (RELAY, None)) is None
    else:
        assert Room(a, B).play((Try(a), failure)) is failure
    assert Room(a, B, resendable=False).play((Try(a), failure)) is failure


@pytest.mark.parametrize("status", [500, 502, 504, 520])
def test_a_server_error_goes_on_where_it_is_named(status: int) -> None:
    a, again = falling("a", "5xx"), Try(B, paid_before=True)
    error = ResponseHead(status)
    assert Room(a, B).play((Try(a), error), (again, OK), (RELAY, None)) is None
    assert Room(falling("a", "timeout", "closed"), B).play((Try(falling("a", "timeout", "closed")), error), (RELAY, None)) is None  # fmt: skip
    gone = ResponseHead(status, is_repeatable=False)
    assert Room(a, B).play((Try(a), gone), (RELAY, None)) is None
    assert Room(B, a).play((Try(B), Failure.CONNECT_FAILED), (Try(a), error), (RELAY, None)) is None


def test_a_caller_hears_of_the_target_that_may_have_been_paid() -> None:
    """Where the others are of no help, so that a client is not asked to send it once more."""
    a = falling("a", "closed", "5xx")
    script: Script = [(Try(a), Failure.CLOSED), (Try(B, paid_before=True), Failure.CONNECT_FAILED)]
    why = Room(a, B).play(*script)
    assert why == Abandoned(Failure.CLOSED, "a")
    error = error_of(why, "b")
    assert (error.code, error.kind.final) == ("upstream_closed", True)
    assert "`a` closed" in error.message
    script = [(Try(a), ResponseHead(500)), (Try(B, paid_before=True), Failure.DNS_FAILED)]
    why = Room(a, B).play(*script)
    assert why == Abandoned(Failure.BAD_RESPONSE, "a", 500)
    assert error_of(why, "b").message.startswith("provider `a` responded with status 500")
    late: Script = [(Try(a), Failure.CLOSED), (Try(B, paid_before=True), Failure.TOTAL_TIMEOUT)]
    assert Room(a, B).play(*late) is Failure.TOTAL_TIMEOUT


def test_what_follows_stays_marked_until_a_response() -> None:
    a, b = falling("a", "timeout"), falling("b", "timeout")
    script: Script = [
        (Try(a), Failure.FIRST_BYTE_TIMEOUT),
        (Try(b, paid_before=True), Failure.CONNECT_FAILED),
        (Try(C, paid_before=True), OK),
        (RELAY, None),
    ]
    assert Room(a, b, C).play(*script) is None


# -- retries -------------------------------------------------------------------------------------


def test_retry_after_is_waited_for() -> None:
    p = patient()
    script: Script = [
        (Try(p), ResponseHead(429, 2.5)),
        (Pause(2.5), None),
        (Try(p), OK),
        (RELAY, None),
    ]
    assert Room(p, B).play(*script) is None


def test_a_wait_beyond_the_ceiling_goes_to_the_next_target() -> None:
    p = patient(max_wait=2)
    script: Script = [(Try(p), ResponseHead(429, 2.5)), (Try(B), OK), (RELAY, None)]
    assert Room(p, B).play(*script) is None
    just = ((Try(p), ResponseHead(429, 2.0)), (Pause(2.0), None), (Try(p), OK), (RELAY, None))
    assert Room(p, B).play(*just) is None


def test_a_wait_beyond_the_ceiling_is_passed_on_when_there_is_no_other() -> None:
    p = patient(max_wait=2)
    assert Room(p).play((Try(p), ResponseHead(429, 2.5)), (RELAY, None)) is None


def test_pauses_grow_and_attempts_end() -> None:
    p, no = patient(), Failure.CONNECT_FAILED
    script: Script = [
        (Try(p), no),
        (Pause(0.25), None),
        (Try(p), no),
        (Pause(0.5), None),
        (Try(p), no),
    ]
    assert Room(p).play(*script) is no
    assert Room(p, B).play(*script, (Try(B), OK), (RELAY, None)) is None


def test_a_full_queue_is_not_waited_for_twice() -> None:
    p = patient()
    script: Script = [(Try(p), Failure.OVERLOADED), (Try(B), OK)]
    assert Room(p, B).play(*script, (RELAY, None)) is None


def test_the_budget_bounds_retries() -> None:
    """Ten are free; after those, one request in five may be sent a second time."""
    p = patient(attempts=2)
    room = Room(p)
    tries = 0
    for _ in range(200):
        steps, why = room.outcomes([Failure.CONNECT_FAILED] * 2)
        assert why is Failure.CONNECT_FAILED
        tries += sum(isinstance(step, Try) for step in steps)
    assert 200 + 40 <= tries <= 200 + 10 + 40


def test_good_times_save_up_no_more_retries_than_are_free_at_first() -> None:
    health = Health(None, replace(ONCE, budget=1.0))
    for _ in range(1000):
        health.add_share()
    assert [health.take_retry() for _ in range(12)] == [True] * int(FREE_RETRIES) + [False] * 2
    health.add_share()
    assert [health.take_retry() for _ in range(2)] == [True, False]


# -- breakers ------------------------------------------------------------------------------------


# -- the end of `total` ----------------------------------------------------------------------------


def test_a_pause_that_ends_after_total_is_not_taken() -> None:
    a, asked_to_wait = patient(max_wait=60), ResponseHead(503, retry_after=2)
    room = Room(a)
    room.end["a"] = room.clock.now + 1
    assert room.play((Try(a), asked_to_wait), (RELAY, None)) is None
    assert room.play((Try(a), Failure.CONNECT_FAILED), (Pause(0.25), None),
                     (Try(a), Failure.CONNECT_FAILED), (Pause(0.5), None),
                     (Try(a), Failure.CONNECT_FAILED)) is Failure.CONNECT_FAILED  # fmt: skip
    room.end["a"] = room.clock.now + 0.25
    assert room.play((Try(a), Failure.CONNECT_FAILED)) is Failure.CONNECT_FAILED
    room.end["a"] = room.clock.now + 3
    assert room.play((Try(a), asked_to_wait), (Pause(2), None), (Try(a), OK), (RELAY, None)) is None  # fmt: skip


def test_a_pause_that_ends_after_total_leads_to_the_next_target() -> None:
    a = patient(max_wait=60)
    room = Room(a, B)
    room.end["a"] = room.end["b"] = room.clock.now + 1
    assert room.play((Try(a), ResponseHead(503, retry_after=2)), (Try(B), OK), (RELAY, None)) is None  # fmt: skip


def test_a_target_whose_total_has_passed_is_not_tried() -> None:
    room = Room(A, B)
    room.end["b"] = room.clock.now
    assert room.play((Try(A), ResponseHead(503)), (RELAY, None)) is None
    assert room.play((Try(A), Failure.CONNECT_FAILED)) is Failure.CONNECT_FAILED


def breaking(name: str = "a", **changes: object) -> Target:
    return target("gpt-a", name, breaker=replace(BREAKER, **changes))  # type: ignore[arg-type]


def test_failures_in_a_row_open_it_and_one_probe_closes_it() -> None:
    a = breaking()
    room = Room(a)
    for _ in range(2):
        assert room.play((Try(a), Failure.CLOSED)) is Failure.CLOSED
    assert room.outcomes([]) == ([], Unavailable(30))
    room.clock.now += 20
    assert room.outcomes([]) == ([], Unavailable(10))
    room.clock.now += 10
    probe = room.attempts()
    assert next(probe) == Try(a)
    assert room.outcomes([]) == ([], Unavailable(1)), "one probe at a time"
    assert probe.send(OK) is RELAY
    assert room.play((Try(a), OK), (RELAY, None)) is None


def test_a_probe_that_fails_opens_it_again() -> None:
    a = breaking()
    room = Room(a)
    room.outcomes([Failure.CLOSED])
    room.outcomes([Failure.CLOSED])
    room.clock.now += 30
    assert room.play((Try(a), Failure.FIRST_BYTE_TIMEOUT)) is Failure.FIRST_BYTE_TIMEOUT
    assert room.outcomes([]) == ([], Unavailable(30))


def test_a_caller_who_leaves_in_a_probe_leaves_room_for_the_next() -> None:
    a = breaking()
    room = Room(a)
    room.outcomes([Failure.CLOSED])
    room.outcomes([Failure.CLOSED])
    room.clock.now += 30
    probe = room.attempts()
    assert next(probe) == Try(a)
    probe.close()
    assert room.play((Try(a), OK), (RELAY, None)) is None


def test_an_open_breaker_sends_to_the_next_target() -> None:
    a = breaking()
    room = Room(a, B)
    for _ in range(2):
        room.play((Try(a), Failure.CLOSED))
    assert room.play((Try(B), OK), (RELAY, None)) is None
    assert room.play((Try(B), Failure.CLOSED)) is Failure.CLOSED


def test_when_all_are_open_the_shortest_wait_is_told() -> None:
    a, b = breaking("a", failures=1), breaking("b", failures=1, open=10)
    room = Room(a, b)
    room.play((Try(a), Failure.CLOSED))
    room.play((Try(b), Failure.CLOSED))
    assert room.outcomes([]) == ([], Unavailable(10))


def test_a_breaker_that_opens_before_a_repetition_says_when_the_provider_is_tried_again() -> None:
    """Not the wait that the provider asked for, which is over by then."""
    a = target("gpt-a", "a", THRICE, replace(BREAKER, failures=1))
    why = Room(a).play((Try(a), ResponseHead(503, 2.5)), (Pause(2.5), None))
    assert why == Unavailable(BREAKER.open)
    b = target("gpt-a", "b", THRICE, BREAKER)
    failed = (Try(b), Failure.CONNECT_FAILED), (Pause(0.25), None)
    why = Room(b).play(*failed, (Try(b), ResponseHead(503, 2.5)), (Pause(2.5), None))
    assert why == Unavailable(BREAKER.open), "nor the failure before that"


def test_refusals_are_kept_when_every_other_target_is_open() -> None:
    b = breaking("b", failures=1)
    room = Room(A, b)
    room.play((Try(A), Failure.CONNECT_FAILED), (Try(b), Failure.CLOSED))
    assert room.play((Try(A), ResponseHead(429)), (RELAY, None)) is None


@each("status", [400, 401, 404, 429])
def test_what_is_wrong_with_a_request_opens_no_breaker(status: int) -> None:
    a = breaking(failures=1)
    room = Room(a)
    for _ in range(3):
        assert room.play((Try(a), ResponseHead(status)), (RELAY, None)) is None


@each("status", [500, 502, 503, 529])
def test_server_errors_open_a_breaker(status: int) -> None:
    a = breaking(failures=1)
    room = Room(a)
    room.play((Try(a), ResponseHead(status)), (RELAY, None))
    assert room.outcomes([]) == ([], Unavailable(30))


def test_broken_answers_open_a_breaker() -> None:
    a = breaking(failures=1)
    room = Room(a)
    room.play((Try(a), OK), (RELAY, Failure.TRUNCATED))
    assert room.outcomes([]) == ([], Unavailable(30))


def test_a_queue_of_ours_opens_no_breaker() -> None:
    a = breaking(failures=1)
    room = Room(a)
    for _ in range(3):
        assert room.play((Try(a), Failure.OVERLOADED)) is Failure.OVERLOADED


def test_a_success_between_failures_keeps_it_closed() -> None:
    a = breaking(failures=2)
    room = Room(a)
    for _ in range(5):
        room.play((Try(a), Failure.CLOSED))
        room.play((Try(a), OK), (RELAY, None))


def test_a_share_of_the_last_requests_opens_it() -> None:
    a = breaking(failures=None, ratio=0.5, requests=10)
    room = Room(a)
    for number in range(10):
        room.outcomes([Failure.CLOSED if number % 2 else OK])
    assert room.outcomes([]) == ([], Unavailable(30))


def test_less_than_the_share_keeps_it_closed() -> None:
    a = breaking(failures=None, ratio=0.5, requests=10)
    room = Room(a)
    for number in range(40):
        steps, _ = room.outcomes([Failure.CLOSED if number % 3 == 0 else OK])
        assert steps[0] == Try(a)


# -- the money rule ------------------------------------------------------------------------------

CASES = 500
# As for Hypothesis: the same cases each time, and others every night.
SEED = os.urandom(4).hex() if os.environ.get("ORQEN_TEST_RANDOM") else "7"
STATUSES = (200, 400, 429, 500, 503, 529)


def drawn_target(chance: Random, number: int) -> Target:
    retry = Retry(
        attempts=chance.randint(1, 4),
        statuses=frozenset(chance.sample([429, 500, 503, 529], chance.randint(0, 4))),
        max_wait=chance.choice([0.1, 1.0, 10.0]),
        budget=chance.choice([0.0, 0.2, 1.0]),
    )
    breaker = Breaker(failures=chance.randint(1, 3), ratio=None, requests=0, open=1.0)
    words = chance.sample(list(FALLBACKS), chance.randint(0, 3))
    return target("gpt-a", f"p{number}", retry, chance.choice([None, breaker]), words)


def drawn_outcome(chance: Random) -> Outcome:
    wait = chance.choice([None, 0.0, 0.5, 3.0, 60.0])
    head = ResponseHead(chance.choice(STATUSES), wait, is_repeatable=chance.random() < 0.8)
    return chance.choice([None, chance.choice(list(Failure)), head])


def test_nothing_that_may_have_been_paid_is_sent_again() -> None:
    """Whatever happens: an attempt that may have been processed unrefused is the last one, unless its
    target names that failure; those after it go to other targets and are marked, and no others are.
    Once an answer is passed on nothing follows.
    """
    paid: Counter[str] = Counter()
    for case in range(CASES):
        seed = f"{SEED} {case}"
        chance = Random(seed)
        room = Room(*(drawn_target(chance, n) for n in range(chance.randint(1, 3))))
        try:
            for _ in range(chance.randint(1, 4)):
                check_attempts(room, [drawn_outcome(chance) for _ in range(24)], paid)
        except AssertionError as failed:
            failed.add_note(f"seed: {seed}")
            raise
    assert min(paid[word] for word in FALLBACKS) > CASES / 100, paid


def check_attempts(room: Room, outcomes: list[Outcome], paid: Counter[str]) -> None:
    """One request; the words by which another target gets it are counted in `paid`."""
    steps, why = room.outcomes(outcomes)
    ends = [(s, o or OK) for s, o in zip((s for s in steps if not isinstance(s, Pause)), outcomes, strict=False)]  # fmt: skip
    tries = [(s, o) for s, o in ends if isinstance(s, Try)]
    paid_at: set[str] = set()
    for step, outcome in tries:
        name = step.target.provider.name
        assert step.paid_before == bool(paid_at)
        assert name not in paid_at
        if step is tries[-1][0]:
            break
        words = step.target.fallback_on
        if isinstance(outcome, ResponseHead):
            assert outcome.is_repeatable
            if outcome.status not in step.target.provider.retry.statuses:
                assert outcome.status >= 500
                assert "5xx" in words
                paid["5xx"] += 1
                paid_at.add(name)
        else:
            assert isinstance(outcome, Failure)
            if outcome.sent:
                named = [word for word in words if outcome in FALLBACKS[word]]
                assert named
                paid.update(named)
                paid_at.add(name)
    if paid_at and isinstance(why, Failure):
        assert why.sent
    assert RELAY not in steps[:-1]
    if RELAY in steps:
        assert why is None
        assert isinstance(tries[-1][1], ResponseHead)
    else:
        assert why is not None
    limit = sum(t.provider.retry.attempts for t in room.targets)
    assert len(tries) <= limit
    for pause in (s for s in steps if isinstance(s, Pause)):
        assert pause.seconds <= max(t.provider.retry.max_wait for t in room.targets)


def test_the_unsent_failures_are_these() -> None:
    names = {failure.name for failure in UNSENT}
    connecting = {"CONNECT_FAILED", "CONNECT_TIMEOUT", "DNS_FAILED", "TLS_FAILED"}
    assert names == {*connecting, "SIGN_IN_FAILED", "OVERLOADED", "LIMITED"}


# -- what only a mistake of ours would bring ------------------------------------------------------


def test_an_attempt_without_an_outcome_is_refused() -> None:
    with pytest.raises(TypeError, match="an attempt ends with"):
        Room(A).play((Try(A), None))


def test_no_response_is_relayed_before_an_attempt() -> None:
    async def send(_: Target) -> Exchange:
        raise AssertionError

    async def relay(_: Exchange) -> Failure | None:
        raise AssertionError

    def steps() -> AttemptGenerator:
        yield RELAY
        return None

    record = RecordBuilder(request_id="1")
    with pytest.raises(TypeError, match="only a response whose head has arrived"):
        asyncio.run(run_attempts(steps(), send, relay, record))


# -- words ---------------------------------------------------------------------------------------


@each("failure", Failure)
def test_every_failure_has_its_code(failure: Failure) -> None:
    error = error_of(failure, "somebody")
    assert (error.code, error.kind.sent) == (failure.code, failure.sent)
    assert failure.code in CATALOGUE


@each(("seconds", "told"), [(0.0, 1), (0.2, 1), (29.2, 30)])
def test_unavailable_says_when_to_come_back(seconds: float, told: int) -> None:
    error = error_of(Unavailable(seconds), "somebody")
    assert (error.code, error.kind.status) == ("upstream_unavailable", 503)
    assert error.retry_after == told


@each(
    ("value", "seconds"),
    [
        (None, None),
        (b"7", 7.0),
        (b" 0 ", 0.0),
        (b"Wed, 21 Oct 2026 07:28:10 GMT", 10.0),
        (b"Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        (b"Wed, 21 Oct 99999999999999 07:28:10 GMT", None),
        (b"soon", None),
        (b"-1", None),
        (b"1.5", None),
        (b"\xff", None),
        (b"9" * 400, 86400.0),
    ],
)
def test_retry_after_is_read(value: bytes | None, seconds: float | None) -> None:
    assert retry_after(value, 1792567680.0) == seconds
