"""The tool that measures the tests: which mutants it draws, and what it sees of a run."""

import json
import sys
from pathlib import Path
from types import ModuleType

from tests.mutants.coverage import Coverage, distance
from tests.mutants.drawn import Mutant, mutants
from tests.mutants.marking import Marking
from tests.tables import each

SOURCE = '''"""A module."""
LIMIT = 3

def capped(value: int = 7, *, strict: bool = False) -> int:
    """The docstring of a function."""
    if value > LIMIT and not strict:
        return LIMIT
    elif strict:
        raise ValueError(f"{value + 1} is over")
    return value

def unused() -> None:
    print(1)
'''


def test_each_mutant_is_one_change_that_can_be_compiled() -> None:
    changed = []
    for mutant in mutants("engine/sample.py", SOURCE):
        text = mutant.apply(SOURCE.encode()).decode()
        compile(text, "sample", "exec")
        assert text != SOURCE
        changed.append((mutant.line, mutant.old, mutant.new))
    assert changed == [
        (2, "3", "(4)"),
        (4, "False", "(True)"),
        (4, "7", "(8)"),
        (6, "value > LIMIT and not strict", "(not (value > LIMIT and (not strict)))"),
        (6, "value > LIMIT and not strict", "(value > LIMIT or not strict)"),
        (6, "value > LIMIT", "(value >= LIMIT)"),
        (6, "not strict", "(strict)"),
        (8, "strict", "(not strict)"),
        (9, 'raise ValueError(f"{value + 1} is over")', "pass"),
        (13, "print(1)", "pass"),
        (13, "1", "(2)"),
    ]


def test_what_cannot_change_what_a_program_does_is_not_mutated() -> None:
    source = """
if TYPE_CHECKING:
    X = 1
assert X == 1
if X:
    raise AssertionError("always so")
Y = list(zip(A, B, strict=True))
Z = time.monotonic() >= Y
"""
    assert [mutant.old for mutant in mutants("engine/sample.py", source)] == ["X"]


def test_marks_name_the_statements_that_ran() -> None:
    marking = Marking("engine/sample.py", 0)
    text = marking.mark(SOURCE)
    hits = bytearray(len(marking.statements))
    marks = ModuleType("engine.marks")
    vars(marks)["hits"] = hits
    sys.modules["engine.marks"] = marks
    space: dict[str, object] = {"__name__": "sample"}
    try:
        exec(text, space)
        assert not any(hits)
        capped = space["capped"]
        assert callable(capped)
        assert (capped(), capped(2)) == (3, 2)
        assert capped.__doc__ == "The docstring of a function."
    finally:
        del sys.modules["engine.marks"]
    ran = {each.first for each, hit in zip(marking.statements, hits, strict=True) if hit}
    assert ran == {6, 7, 8, 10}


def test_a_mutant_meets_the_tests_that_run_it_or_use_its_name(tmp_path: Path) -> None:
    (tmp_path / "test_sample.py").write_text("from engine.sample import capped\n", "utf-8")
    (tmp_path / "test_far.py").write_text("", "utf-8")
    marking = Marking("engine/sample.py", 0)
    marking.mark(SOURCE)
    lines = [each.first for each in marking.statements]
    runs_6, runs_13 = (1 << lines.index(line) for line in (6, 13))
    log = "".join(
        f'{{"test": "{test}", "seconds": 0.1, "passed": {passed}, "seen": "{bits:x}"}}\n'
        for test, passed, bits in (
            ("test_far.py::test_a", "true", runs_6),
            ("test_far.py::test_b", "true", 0),
            ("test_far.py::test_before_a_late_mark", "true", 0),
            ("test_sample.py::test_e", "true", runs_6),
            ("test_unused.py::test_f", "true", runs_13),
        )
    )
    (tmp_path / "test_unused.py").write_text("", "utf-8")
    coverage = Coverage(marking.statements, log)
    found = {
        mutant.line: [[test.name for test in stage] for stage in coverage.tests(mutant, tmp_path)]
        for mutant in mutants("engine/sample.py", SOURCE)
        if mutant.line in (2, 6, 8)
    }
    near = ["test_sample.py::test_e", "test_far.py::test_a", "test_far.py::test_before_a_late_mark"]
    assert found == {
        2: [near, ["test_far.py::test_b"]],
        6: [near, ["test_far.py::test_b"]],
        8: [[], []],
    }


@each(
    ("file", "text", "steps"),
    [
        ("tests/e2e/test_relay.py", "", 0),
        ("tests/e2e/test_far.py", "from engine.gateway.relay import Relay", 0),
        ("tests/e2e/test_far.py", "from engine.gateway import relay", 0),
        ("tests/unit/gateway/test_near.py", "from engine.gateway import Gateway", 1),
        ("tests/unit/config/test_far.py", "from engine.config import relay", 2),
        ("tests/integration/gateway/test_far.py", "", 2),
    ],
)
def test_the_nearest_tests_name_the_module_and_then_come_those_of_its_room(
    tmp_path: Path, file: str, text: str, steps: int
) -> None:
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_text(text, "utf-8")
    mutant = Mutant("engine/gateway/relay.py", 1, 0, 1, "1", "(2)")
    assert distance(file, tmp_path, mutant) == steps


def test_of_files_that_are_as_near_the_fastest_is_first(tmp_path: Path) -> None:
    marking = Marking("engine/sample.py", 0)
    marking.mark(SOURCE)
    bits = 1 << [each.first for each in marking.statements].index(6)
    log = ""
    for name, seconds in (("slow", 0.3), ("fast", 0.1), ("fast", 0.4), ("sample", 9.0)):
        (tmp_path / f"test_{name}.py").write_text("", "utf-8")
        row = {"test": f"test_{name}.py::test_{seconds}", "seconds": seconds, "passed": True, "seen": f"{bits:x}"}  # fmt: skip
        log += json.dumps(row) + "\n"
    mutant = next(mutant for mutant in mutants("engine/sample.py", SOURCE) if mutant.line == 6)
    near, _ = Coverage(marking.statements, log).tests(mutant, tmp_path)
    assert [test.seconds for test in near] == [9.0, 0.1, 0.4, 0.3]
