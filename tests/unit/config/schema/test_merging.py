"""What is indented astray is one finding, and every other finding keeps its own."""

from pathlib import Path

from tests.tables import each
from tests.unit.config.folders import minimal, read, write

PATH = "    path: /v1/embeddings\n"  # line 7 of the minimal routes.yaml, below `embeddings:`
INSIDE = "indent it to put it inside `timeouts`"


@each(
    ("lines", "findings"),
    [
        # A key that is there, but in another entry.
        (f"    timeouts:\n      idle: 9s\n  {PATH}", [("S101", 9, "indent it less")]),
        (f"    timeouts:\n      idel: 9s\n  {PATH}", [("S102", 8, ""), ("S101", 9, "indent it less")]),
        (f"    body: json\n{PATH[2:]}", [("S101", 8, "indent it more")]),
        (f"    bdoy: json\n{PATH[2:]}", [("S102", 7, ""), ("S101", 8, "indent it more")]),
        ("    also:\n      - path: /v1/e\n", [("S101", 6, ""), ("S103", 8, "")]),
        ("    body: json\n", [("S101", 6, "")]),
        (f"    body: json\n  more:\n    timeouts:\n  {PATH}{PATH}", [("S101", 6, ""), ("S102", 10, "")]),
        # A key without a value, and what was meant to be in it.
        (f"{PATH}    timeouts:\n    idle: 9s\n", [("S102", 9, INSIDE)]),
        (f"{PATH}    timeouts:\n    idle: 9s\n    total: 9s\n", [("S102", 9, INSIDE), ("S102", 10, "")]),
        (f"{PATH}    idle: 9s\n    timeouts:\n", [("S102", 8, ""), ("S103", 9, "")]),
        (f"{PATH}    timeouts: 7\n    idle: 9s\n", [("S103", 8, ""), ("S102", 9, "")]),
        (f"{PATH}    timeouts:\nidle: 9s\n", [("S103", 8, ""), ("S102", 9, "")]),
    ],
)  # fmt: skip
def test_a_key_that_is_indented_astray_is_found_once_and_at_its_place(
    lines: str, findings: list[tuple[str, int, str]], tmp_path: Path
) -> None:
    """`findings` are code, line, and the advice where it is about the indentation."""
    text = minimal("routes").replace(PATH, lines) + "defaults: {max_body: 7}\n"
    *found, last = read(write(tmp_path, routes=text)).diagnostics
    assert [(d.code, d.span.start.line, d.help if d.related else "") for d in found] == findings
    assert last.path == ("defaults", "max_body")
