"""The conversation that decides which attempts are made: what may have been paid is not resent."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.gateway.exchange import attempts
from engine.gateway.match import Target, find_target
from engine.upstream import Failure
from tests.gateway.plans import shipped_plan

UNSENT = [failure for failure in Failure if not failure.sent]
SENT = [failure for failure in Failure if failure.sent]


def target(model: str) -> Target:
    plan = shipped_plan()
    endpoint = plan.endpoint("chat_completions")
    assert endpoint is not None
    return find_target(plan, endpoint, model)


TARGETS = [target(model) for model in ("gpt-a", "gpt-b", "claude-c")]


def talk(targets: list[Target], outcomes: list[Failure | None]) -> list[Target]:
    """The targets tried, when attempt number n ends as `outcomes[n]`."""
    conversation = attempts(targets)
    tried = []
    chosen = next(conversation, None)
    while chosen is not None:
        tried.append(chosen)
        try:
            chosen = conversation.send(outcomes[len(tried) - 1])
        except StopIteration:
            chosen = None
    return tried


def test_an_answer_ends_it() -> None:
    assert talk(TARGETS, [None]) == TARGETS[:1]


def test_no_target_no_attempt() -> None:
    assert talk([], []) == []


@pytest.mark.parametrize("failure", SENT)
def test_what_may_have_been_sent_is_not_sent_again(failure: Failure) -> None:
    assert talk(TARGETS, [failure]) == TARGETS[:1]


@pytest.mark.parametrize("failure", UNSENT)
def test_what_was_not_sent_may_go_elsewhere(failure: Failure) -> None:
    assert talk(TARGETS, [failure, failure, None]) == TARGETS
    assert talk(TARGETS, [failure, None]) == TARGETS[:2]


@pytest.mark.parametrize("failure", UNSENT)
def test_it_ends_with_the_last_target(failure: Failure) -> None:
    assert talk(TARGETS, [failure] * 3) == TARGETS
    assert talk(TARGETS[:1], [failure]) == TARGETS[:1]


@settings(deadline=None, max_examples=200)
@given(st.lists(st.sampled_from([None, *Failure]), min_size=3, max_size=3))
def test_at_most_one_attempt_may_have_been_paid(outcomes: list[Failure | None]) -> None:
    tried = talk(TARGETS, outcomes)
    ends = outcomes[: len(tried)]
    assert tried == TARGETS[: len(tried)]
    assert all(end is not None and not end.sent for end in ends[:-1])
    assert len([end for end in ends if end is None or end.sent]) <= 1


def test_the_unsent_failures_are_these() -> None:
    names = {failure.name for failure in UNSENT}
    connecting = {"CONNECT_FAILED", "CONNECT_TIMEOUT", "DNS_FAILED", "TLS_FAILED"}
    assert names == {*connecting, "SIGN_IN_FAILED", "OVERLOADED"}
