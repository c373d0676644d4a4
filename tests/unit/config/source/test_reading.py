"""What is offered where a reader of YAML stopped: the words are tried by the corpus, the edits here."""

from engine.config.source.reading import explain_syntax
from tests.tables import each

ESCAPE = "found unknown escape character 'q'"


@each(
    ("line", "after"),
    [
        (r'"b\qwen": 1', r"'b\qwen': 1"),
        (r'a: "b\qwen"', r"a: 'b\qwen'"),
        (r'{a: "b", c: "\qwen", d: "e"}', r"""{a: "b", c: '\qwen', d: "e"}"""),
        (r"""a: "it's \q" """, None),
        (r'a: "\\x \q"', None),
        (r'a: "\q', None),
        (r'a: "\q\"', None),
        (r"a: \q", None),
    ],
)
def test_a_backslash_that_begins_no_escape_moves_into_single_quotes(
    line: str, after: str | None
) -> None:
    at = line.index(r"\q")
    found = explain_syntax([line], 0, at + 1, ESCAPE)
    assert "begins an escape" in found.words
    assert found.shown == (at, at + 2)
    start, end = found.put
    assert (found.text and line[:start] + found.text + line[end:]) == after


@each(
    ("line", "after"),
    [
        ("a: @b", "a: '@b'"),
        ("a: @it's", None),
        ("a: @b: c", None),
        ("a: `b c # d", "a: '`b c' # d"),
        ("a: [@b, c]", "a: ['@b', c]"),
        ("a: @b, c", "a: '@b, c'"),
        ("a: [b], @c, d", "a: [b], '@c, d'"),
    ],
)
def test_a_reserved_character_first_is_put_in_quotes(line: str, after: str | None) -> None:
    at = next(at for at, sign in enumerate(line) if sign in "@`")
    found = explain_syntax([line], 0, at, "found character that cannot start any token")
    start, end = found.put
    assert (found.text and line[:start] + found.text + line[end:]) == after
