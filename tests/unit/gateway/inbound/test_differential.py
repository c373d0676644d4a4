"""No accepted body names another model to another parser; `make differential` asks more of them."""

import pytest

from tests.unit.gateway.inbound.differential import (
    Case,
    Reading,
    checked,
    differs,
    generated,
    own_reading,
)

PLAIN: Case = ("json", "application/json", b'{"model":"A","stream":true}')


# Parsers that give up half-way leave their temporary files to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_no_accepted_body_names_another_model_to_another_parser() -> None:
    accepted, wrong = checked(generated(400, seed=7))
    assert not wrong
    kinds = [case[0] for case, _ in accepted]
    assert min(kinds.count("json"), kinds.count("form")) > 50, "some of each kind are read at all"


def test_a_difference_would_be_seen() -> None:
    own = own_reading(PLAIN)
    assert own == [["A"], [True], []]
    assert not differs(own, "json", None)
    assert not differs(own, "json", [["A"], [True], []])
    others: list[Reading] = [
        [["B"], [True], []],
        [["A"], [True], ["k"]],
        [["A", "A"], [True], []],
    ]
    for found in others:
        assert differs(own, "json", found)
    assert differs([["A"], [], []], "json", [["A"], [True], []])
