"""Which known word is meant."""

from itertools import product

from engine.plan.suggest import distance, nearest
from tests.tables import each

WORDS = ["".join(letters) for n in range(5) for letters in product("ab", repeat=n)]


@each(
    ("left", "right", "steps"),
    [("", "", 0), ("", "abc", 3), ("model", "mdoel", 1), ("model", "modle", 1), ("ab", "bca", 3), ("path", "paths", 1), ("paht", "bath", 2)],
)  # fmt: skip
def test_steps(left: str, right: str, steps: int) -> None:
    assert distance(left, right) == distance(right, left) == steps


def test_a_limit_changes_no_distance_up_to_it() -> None:
    for left, right in product(WORDS, WORDS):
        steps = distance(left, right)
        for limit in range(4):
            found = distance(left, right, limit)
            assert found == steps or min(found, steps) > limit


def test_the_nearest_word_is_within_a_third_of_the_length() -> None:
    known = ["embeddings", "responses", "messages"]
    assert nearest("Embeding", known) == "embeddings"
    assert nearest("embxxxxngs", known) is None
    assert nearest("messages", known) == "messages"
