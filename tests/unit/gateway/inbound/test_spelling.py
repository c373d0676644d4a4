"""Names of fields that others may take for each other."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.spelling import folded, refuse_ambiguous
from engine.plan.spelling import fold
from tests.tables import each

NAMES = frozenset({"model", "api_key"})


def test_of_two_spellings_the_same_one_is_known_whatever_the_order_of_a_set() -> None:
    pairs = [frozenset({f"user{i}", f"User{i}"}) for i in range(40)]
    assert [folded(pair) for pair in pairs] == [{f"user{i}": f"user{i}"} for i in range(40)]


@each("padding", ["", " " * 90, "\0" + "\u0130" * 90])
@given(data=st.data())
def test_every_spelling_of_a_name_is_refused(padding: str, data: st.DataObject) -> None:
    """Also at its longest, with a mark beside each letter, and whatever stands around it."""
    letters = [data.draw(st.sampled_from(_spellings(letter))) for letter in "api_key"]
    key = "".join(letters)
    if key == "api_key" and not padding:
        return
    assert fold(key + padding) == "api_key"
    with pytest.raises(GatewayError):
        refuse_ambiguous(["model", key + padding], NAMES)


def _spellings(letter: str) -> list[str]:
    wide = chr(ord(letter) + 0xFEE0)
    return {"i": ["i", "I", "\u0130", "i\u0307"], "k": ["k", "\u212a", wide]}.get(
        letter, [letter, wide]
    )
