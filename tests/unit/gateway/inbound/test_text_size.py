"""What of a body counts as text."""

import base64
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.inbound.text_size import MAX_ENCODED, MIN_ENCODED, text_size
from tests.tables import each

LONG = base64.b64encode(bytes(range(256)) * 3000).decode()
URL = f"data:image/png;base64,{LONG}"


@each(
    "value",
    [
        "a word " * 200_000,
        "\u4f60\u597d" * 200_000,
        "x == 3;" * 200_000,
        [LONG[: MIN_ENCODED - 10]] * 400,  # images as small as icons
        {str(number): "text" for number in range(60_000)},
    ],
)
@each("is_ascii", [True, False])
def test_text_counts_whole(value: Any, is_ascii: bool) -> None:
    raw = json.dumps({"value": value}, ensure_ascii=is_ascii).encode()
    assert len(raw) > MAX_ENCODED
    assert text_size(raw) == len(raw)


@each(
    "value",
    [
        URL,
        LONG.replace("/", "_").replace("+", "-"),
        LONG.replace("/", "\\/"),
        "\r\n".join(LONG[at : at + 76] for at in range(0, len(LONG), 76)),  # as of MIME
        [{"url": URL, "detail": "low"}, "a word " * 50_000, URL],
    ],
)
def test_of_images_a_part_counts(value: Any) -> None:
    raw = json.dumps({"value": value, "text": "a word " * 10_000}).encode()
    encoded = 2 * len(URL) + 10 if isinstance(value, list) else len(json.dumps(value))
    assert abs(text_size(raw) - (len(raw) - encoded + MAX_ENCODED)) < MIN_ENCODED


@given(
    st.binary(max_size=64), st.integers(0, 20_000), st.lists(st.integers(0, 600_000), max_size=5)
)
def test_any_bytes_have_a_size_that_is_not_below_what_counts_at_least(
    unit: bytes, times: int, quotes: list[int]
) -> None:
    raw = bytearray(unit * times)
    for at in quotes:
        raw[at : at + 1] = b'"'
    assert min(len(raw), MAX_ENCODED) <= text_size(bytes(raw)) <= len(raw)
