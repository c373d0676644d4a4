"""How far the repair of a text that is not YAML may look, and what each kind of repair does to a line."""

from collections.abc import Callable, Iterator

from engine.config.source import repairs
from engine.config.source.repairs import Repair
from engine.config.source.syntax import MAX_AHEAD, MAX_TRIED, MAX_WINDOW, find_marker, find_repair
from tests.tables import each


def is_open(text: str) -> int | None:
    """A reader that stops in the first line at a quote."""
    return 0 if text.split("\n", maxsplit=1)[0].count("'") % 2 else None


@each(("size", "is_found"), [(300_000, True), (300_001, False)])
def test_a_text_is_repaired_up_to_a_number_of_characters(size: int, *, is_found: bool) -> None:
    first = "a: 'b"
    repair = find_repair([first, "#" * (size - len(first))], 0, 0, is_open)
    assert (repair is not None) == is_found


def test_lines_far_behind_the_error_do_not_count() -> None:
    lines = ["a: 'b", *["#"] * (MAX_AHEAD - 1), "#" * MAX_WINDOW]
    assert find_repair(lines, 0, 0, is_open) is not None


@each("size", [40_000, 40_001])
def test_repairs_are_tried_up_to_a_number_of_characters(size: int) -> None:
    tried: list[int] = []

    def never(text: str) -> int:
        tried.append(len(text))
        return 0

    line = "a: 'b" + ", c" * 100
    assert find_repair([line, "#" * (size - len(line) - 2)], 0, 0, never) is None
    assert set(tried) <= {size - 1, size, size + 1}
    assert sum(tried) <= MAX_TRIED < sum(tried) + size + 1


@each(
    ("line", "is_marker"),
    [
        ("<<<<<<< HEAD", True),
        (">>>>>>> main", True),
        ("=======", True),
        ("<<<<<<<", True),
        ("======= ", False),
        ("<<<<<<", False),
        ("<<<<<<<<", False),
        ("a: <<<<<<< b", False),
    ],
)
def test_a_marker_of_a_conflict(line: str, *, is_marker: bool) -> None:
    assert find_marker(["a: 1", line]) == (1 if is_marker else None)


def made(line: str, found: Iterator[Repair]) -> list[str]:
    return [repair.apply([line])[0] for repair in found]


def shown(line: str, found: Iterator[Repair]) -> list[str]:
    return [line[slice(*repair.shown)] for repair in found]


@each(
    ("line", "bare"),
    [
        ("  a: b  # c", "a: b"),
        ("# c", ""),
        ("a: b#c", "a: b#c"),
        ("a: o'clock # c", "a: o'clock"),
        ("a: 'b # c'", "a: 'b # c'"),
        ("a: ['b # c']", "a: ['b # c']"),
        ("'a # b': c # d", "'a # b': c"),
        ('a: "b \\" # c"', 'a: "b \\" # c"'),
        ("a: 'b \\' # c", "a: 'b \\'"),
    ],
)
def test_what_is_code_in_a_line(line: str, bare: str) -> None:
    assert repairs.bare(line) == bare


Repairing = Callable[[int, str], Iterator[Repair]]
MADE: list[tuple[Repairing, str, list[str], list[str]]] = [
    (repairs.commas, "{a: b c: d}", ["{a: b, c: d}"], ["b"]),
    (repairs.commas, "{a: b; c: d}", ["{a: b, c: d}"], [";"]),
    (repairs.commas, "{a: b ; c: d}", ["{a: b , c: d}"], [";"]),
    (repairs.commas, "{a: b, c: d}", [], []),
    (repairs.colons, "a = b", ["a: b", "a: = b"], [" = ", "a"]),
    (repairs.colons, "  - a=b", ["  - a: b", "  -: a=b"], ["=", "-"]),
    (repairs.colons, "a b", ["a: b"], ["a"]),
    (repairs.colons, "a:b", ["a: b"], [":"]),
    (repairs.colons, "  - a", ["  - a:"], ["a"]),
    (repairs.colons, "a: b", [], []),
    (repairs.signs, "• a: b", ["- a: b"], ["•"]),
    (repairs.signs, "// a", ["# a"], ["//"]),
    (repairs.quotes, "a: 'b", ["a: 'b'", "a: b"], ["'", "'"]),
    (repairs.quotes, "a: 'b\"", ["a: 'b'", 'a: "b"', "a: 'b\"'", 'a: b"'], ["'"] * 4),
    (repairs.quotes, "a: 'b'", [], []),
    (repairs.quotes, "a: '", ["a: "], ["'"]),
    (
        repairs.quotes,
        "a: '{{ b }}c",
        ["a: '{{ b }}'c", "a: '{{ b }}c'", "a: {{ b }}c"],
        ["'"] * 3,
    ),
    (repairs.brackets, "a: [b", ["a: [b]", "a: b"], ["[", "["]),
    (repairs.brackets, "a: b]", ["a: [b]", "a: b"], ["]", "]"]),
    (repairs.brackets, "{a: [b]", ["{a: [b]}", "{a: [b}]", "a: [b]"], ["{"] * 3),
    (repairs.brackets, "a: [b]", [], []),
]


@each(("repairing", "line", "lines", "marks"), MADE)
def test_each_repair_of_a_line_in_turn(
    repairing: Repairing, line: str, lines: list[str], marks: list[str]
) -> None:
    assert made(line, repairing(0, line)) == lines
    assert shown(line, repairing(0, line)) == marks


@each(
    ("lines", "index"),
    [
        (["a:", "   b: 1", "  c: 2"], 1),  # by halves
        (["a:", "  b:", "      c: 1", "  d: 2"], 2),  # a leap to what it belongs to
        (["a:", "  b:", "  c: 1", "  d: 2"], 2),  # no deeper than its key
        (["  a:", "b: 1", "c: 2", "d: 3"], 1),
        (["a: 1", "b:", "     c: 1", "d: 2"], 2),
    ],
)
def test_the_line_that_is_indented_as_nothing_should_be_comes_first(
    lines: list[str], index: int
) -> None:
    code = list(range(len(lines)))
    assert next(repairs.indents(lines, code, len(lines) - 1)).line == index


@each("lines", [["a:", "- b: 1", "- c: 2"], ["a:", "  b:", "    c: 2"], ["a:", "  b: 1"]])
def test_lines_that_may_stand_so_are_tried_from_the_last_on(lines: list[str]) -> None:
    code = list(range(len(lines)))
    assert next(repairs.indents(lines, code, len(lines) - 1)).line == len(lines) - 1


@each(
    ("line", "what", "shown"),
    [
        ("\tb: 1", "a tab", (0, 1)),
        ("  \tb: 1", "a tab", (2, 3)),
        ("\t\u00a0b: 1", "a tab", (0, 1)),
        ("\u00a0\tb: 1", "a character that only looks like a space", (0, 1)),
    ],
)
def test_an_indentation_is_written_with_spaces(
    line: str, what: str, shown: tuple[int, int]
) -> None:
    repair = next(repairs.tabs(1, ["a:", line, "c: 1"]))
    assert repair.apply(["a:", line, "c: 1"]) == ["a:", "  b: 1", "c: 1"]
    assert repair.words == f"{what} is in the indentation; YAML requires spaces"
    assert repair.shown == shown


@each(
    ("lines", "index", "after"),
    [
        (["- a: 1", "-a: 2"], 1, ["- a: 2"]),
        (["- a: 1", "a: 2"], 1, ["- a: 2"]),
        (["- a: 1", "  a: 2"], 1, ["- a: 2"]),
        (["- a: 1", "   a: 2"], 1, []),
        (["- a: 1", "b: 2"], 1, []),
    ],
)
def test_an_entry_of_a_list_gets_its_dash(lines: list[str], index: int, after: list[str]) -> None:
    found = [repair.apply(lines)[index] for repair in repairs.dashes(index, lines)]
    assert found == after
