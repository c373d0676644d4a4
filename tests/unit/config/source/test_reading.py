"""What is offered where a reader of YAML stopped: the words are tried by the corpus, the edits here."""

from engine.config.source.reading import explain_syntax, with_spaces
from tests.tables import each


@each(
    ("line", "after"),
    [
        ("\ta: 1", "  a: 1"),
        ("\t\ta: 1", "    a: 1"),
        ("  -\ta: 1", "  - a: 1"),
        ("\t\u00a0a: 1", "   a: 1"),
        ("\u00a0\u3000a: 1", "  a: 1"),
        ("a:\u00a0b", "a: b"),
        ("a:\tb\t# c", "a:\tb\t# c"),
        ("a: b\u00a0c", "a: b\u00a0c"),
        ("\t", "\t"),
    ],
)
def test_spaces_are_written_where_yaml_requires_them(line: str, after: str) -> None:
    assert with_spaces(line) == after


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
