"""Names of fields that others may take for each other."""

from engine.gateway.inbound.spelling import folded


def test_of_two_spellings_the_same_one_is_known_whatever_the_order_of_a_set() -> None:
    pairs = [frozenset({f"user{i}", f"User{i}"}) for i in range(40)]
    assert [folded(pair) for pair in pairs] == [{f"user{i}": f"user{i}"} for i in range(40)]
