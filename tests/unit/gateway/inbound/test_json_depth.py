"""The bound on the depth of JSON: exact, whatever stands in strings, and the same on every Python."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.json_depth import MAX_DEPTH
from engine.gateway.inbound.json_text import SMALL
from tests.tables import each

_WAYS_IN = ("[", '{"a": ', '[1, "\\"[[{\\\\", ', '{"]}\\\\": 1, "\\n": ', '["]", "\\u005b", ')
TEXTS = st.text(alphabet='[]{}"\\/\b\n\r\ta,\xe9\u2028', max_size=8)
FLAT = st.one_of(st.none(), st.integers(), TEXTS, st.just([]), st.just({}), st.just([[]]))


def nested(levels: int, begin: str = "[") -> str:
    """An object in which `levels` arrays or objects hold each other, itself among them."""
    end = "]" if begin.startswith("[") else "}"
    return '{"model": "m", "x": ' + begin * (levels - 1) + '"]"' + end * (levels - 1) + "}"


def is_refused(text: str) -> bool:
    try:
        JsonBody(text.encode())
    except GatewayError as error:
        assert (error.code, f"{MAX_DEPTH} levels" in error.message) == ("invalid_json", True)
        return True
    return False


@each("begin", _WAYS_IN)
def test_the_bound_is_exact(begin: str) -> None:
    assert not is_refused(nested(MAX_DEPTH, begin))
    assert is_refused(nested(MAX_DEPTH + 1, begin))
    assert is_refused(nested(900, begin)), "which every Python would take"
    assert is_refused(nested(100_000, begin))


def test_a_short_body_that_no_python_takes_is_refused_as_any_other() -> None:
    text = nested(7000)
    assert len(text) < SMALL
    assert is_refused(text)


@each(
    "other",
    ['{"x": 1}', '"a string"', '{"content": "' + "[{" * 600 + '"}', '"' + "]}" * 600 + '"'],
)
def test_depth_is_found_among_the_parts_of_a_list(other: str) -> None:
    for levels in (MAX_DEPTH - 2, MAX_DEPTH - 1):
        part = "[" * levels + "]" * levels
        text = '{"messages": [' + f"{other}, " * 300 + part + f", {other}" * 300 + "]}"
        assert is_refused(text) is (levels + 2 > MAX_DEPTH)


def test_brackets_side_by_side_or_in_strings_are_no_depth() -> None:
    for many in (["[]"] * 300_000, ['"[["'] * 5_000, ['"\\"{"'] * 5_000, ['{"a": [{}]}'] * 5_000):
        assert not is_refused('{"x": [' + ",".join(many) + "]}")


def _put(value: Any, kinds: list[tuple[bool, list[Any], list[Any]]]) -> Any:
    for is_object, before, behind in kinds:
        every = [*before, value, *behind]
        value = {f"{n}[": v for n, v in enumerate(every)} if is_object else every
    return value


def _depth(value: Any) -> int:
    below = (
        value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    )
    return 0 if below is None else 1 + max(map(_depth, below), default=0)


KINDS = st.lists(
    st.tuples(st.booleans(), st.lists(FLAT, max_size=2), st.lists(FLAT, max_size=2)),
    min_size=5,
    max_size=9,
)


@given(FLAT, KINDS, st.integers(-9, 2))
def test_it_is_found_whatever_stands_around_it(value: Any, kinds: Any, more: int) -> None:
    deep = _put(value, kinds)
    missing = MAX_DEPTH + more - _depth(deep) - 1
    text = json.dumps({"x": [0]}).replace(
        "0", "[" * (missing - 1) + json.dumps(deep) + "]" * (missing - 1)
    )
    assert is_refused(text) is (more > 0)
