"""How far the repair of a text that is not YAML may look, and what each kind of repair does to a line."""

from collections.abc import Callable, Iterator
from itertools import islice

from engine.config.source import repairs
from engine.config.source.document import parse_document
from engine.config.source.reading import with_spaces
from engine.config.source.repairs import Repair
from engine.config.source.syntax import MAX_AHEAD, MAX_TRIED_CHARACTERS, find_marker, find_repair
from tests.tables import each


def test_lines_far_behind_the_error_are_not_read() -> None:
    read: list[str] = []

    def reads(text: str) -> None:
        read.append(text)

    find_repair(["a: 'b", *["#"] * MAX_AHEAD, "end"], 0, 0, reads)
    assert read == ["\n".join(["a: 'b'", *["#"] * (MAX_AHEAD - 1)])]


def test_of_two_repairs_that_reach_the_same_line_the_first_is_reported() -> None:
    lines = ["a: 'b, c", "d", "e"]
    found = find_repair(lines, 0, 0, lambda _: 2)
    assert found is not None
    assert found.apply(lines)[0] == "a: 'b, c'"
    assert find_repair(lines, 0, 0, lambda _: 1) is None


@each("size", [40_000, 40_001])
def test_repairs_are_tried_up_to_a_number_of_characters(size: int) -> None:
    tried: list[int] = []

    def never(text: str) -> int:
        tried.append(len(text))
        return 0

    line = "a: 'b" + ", c" * 100
    assert find_repair([line, "#" * (size - len(line) - 2)], 0, 0, never) is None
    assert set(tried) <= {size - 1, size, size + 1}
    assert sum(tried) <= MAX_TRIED_CHARACTERS < sum(tried) + size + 1


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
    (repairs.typos, "{a: b c: d}", ["{a: b, c: d}"], ["b"]),
    (repairs.typos, "  - {a: b, c: d}", [], []),
    (repairs.typos, "a = b", ["a: b"], [" = "]),
    (repairs.typos, "a =  # b", ["a:  # b"], [" ="]),
    (repairs.typos, "  - a=b", ["  - a: b"], ["="]),
    (repairs.typos, "a b", ["a: b"], ["a"]),
    (repairs.typos, "x-a1 b", ["x-a1: b"], ["x-a1"]),
    (repairs.typos, "a:b", ["a: b"], [":"]),
    (repairs.typos, "  - a", ["  - a:"], ["a"]),
    (repairs.typos, "-a: b", ["- a: b"], ["-"]),
    (repairs.typos, "a: b", [], []),
    (repairs.typos, "• a: b", ["- a: b"], ["•"]),
    (repairs.typos, "// a", ["# a"], ["//"]),
    (repairs.typos, "...", [""], ["..."]),
    (repairs.typos, "a\uff1a\u201cb\u201d  # \uff1a", ['a: "b"  # \uff1a'], ["\uff1a"]),
    (repairs.typos, "a: \uff5bb: c}", ["a: {b: c}"], ["\uff5b"]),
    (repairs.quotes, "a: 'b", ["a: 'b'"], ["'"]),
    (repairs.quotes, "a: 'b\"", ["a: 'b'", "a: 'b\"'"], ["'"] * 2),
    (repairs.quotes, "a: 'b'", [], []),
    (repairs.quotes, "{a: 'b, c: d}", ["{a: 'b, c: d}'", "{a: 'b', c: d}", "{a: 'b, c: d'}"], ["'"] * 3),
    (repairs.quotes, "a: '{{ b }}c", ["a: '{{ b }}c'", "a: '{{ b }}'c"], ["'"] * 2),
    (repairs.brackets, "a: [b", ["a: [b]"], ["["]),
    (repairs.brackets, "a: b]", ["a: [b]", "a: b"], ["]", "]"]),
    (repairs.brackets, "{a: [b]", ["{a: [b]}", "{a: [b}]"], ["{"] * 2),
    (repairs.brackets, "a: [b]", [], []),
]  # fmt: skip


@each(("repairing", "line", "lines", "marks"), MADE)
def test_each_repair_of_a_line_in_turn(
    repairing: Repairing, line: str, lines: list[str], marks: list[str]
) -> None:
    assert made(line, repairing(0, line)) == lines
    assert shown(line, repairing(0, line)) == marks


COMMENTED = [
    ('a: "b  # c', 'a: "b"  # c'),
    ('a: "b # c', 'a: "b" # c'),
    ("a: 'b\t# c", "a: 'b'\t# c"),
    ('a: "https://a.example/v1#b  # c', 'a: "https://a.example/v1#b"  # c'),
    ('a: {b: "c}  # d', 'a: {b: "c"}  # d'),
    ('a: {b: "c, d: e}  # f', 'a: {b: "c", d: e}  # f'),
    ('a: [{b: "c}]  # [d]', 'a: [{b: "c"}]  # [d]'),
    ('a: {b: "c {{ d }}-}  # {{ d }}', 'a: {b: "c {{ d }}-"}  # {{ d }}'),
    ('a: "b  # c\'s', 'a: "b"  # c\'s'),
    ('a: {b: "c # d}', 'a: {b: "c # d"}'),
]  # fmt: skip


@each(("line", "after"), COMMENTED)
@each("more", [[], ["b: c", 'c: "d"'], ["b: {c: d}", "e: [f]"]])
def test_an_open_quote_is_closed_before_the_comment(line: str, after: str, more: list[str]) -> None:
    lines = ["z: 1", line, *more]
    [found] = parse_document("a.yaml", "\n".join(lines).encode())[1]
    mark = min(at for at in (line.find("'"), line.find('"')) if at >= 0)
    assert found.message == f"the {line[mark]} that starts here is never closed"
    assert found.span.start == (2, mark + 1)
    assert found.fix is not None
    at = found.fix.span.start.column - 1
    assert line[:at] + found.fix.text + line[at:] == after


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
    ("lines", "index", "after"),
    [
        (["- a: 1", "a: 2"], 1, ["- a: 2"]),
        (["- a: 1", "  a: 2"], 1, ["- a: 2"]),
        (["- a: 1", "   a: 2"], 1, []),
        (["- a: 1", "b: 2"], 1, []),
    ],
)
def test_an_entry_of_a_list_gets_its_dash(lines: list[str], index: int, after: list[str]) -> None:
    found = [repair.apply(lines)[index] for repair in repairs.dashes(index, lines)]
    assert found == after


@each(
    "line",
    [
        "a1" * 20_000,
        "a: " + "}" * 40_000 + "x",
        "{" * 999,
        "a " * 20_000,
        " " * 40_000 + "\t:",
    ],
)
def test_a_long_line_takes_time_in_proportion_to_its_length(line: str) -> None:
    """A pattern that tries every end from every start would take many seconds."""
    assert sum(1 for _ in repairs.typos(0, line)) < 9
    assert sum(1 for _ in islice(repairs.brackets(0, line), 99)) <= 99
    assert with_spaces(line).strip() == line.strip()


@each(
    ("lines", "bracket"),
    [
        (["a: [", "b: 1"], (0, 3, "[")),
        (["a: [", "b]"], None),
        (["a: b{", "c: d["], None),
        (["a: [", "b{"], (0, 3, "[")),
        (["- {a: [", "]"], (0, 2, "{")),
    ],
)
def test_the_last_bracket_that_stays_open(
    lines: list[str], bracket: tuple[int, int, str] | None
) -> None:
    assert repairs.open_bracket(lines) == bracket
