"""How many small mistakes in the code the tests notice: a drawn sample, each run on a copy.

    make mutants                  60 mutants, seed 1
    make mutants MUTANTS=200 SEED=7

A mutant is one change at one place. It is killed when a test fails twice with it, or when the tests
do not end in time. The tests of its own module run first, then those that reach it over
a socket; a survivor has passed all of them.
"""

import argparse
import ast
import copy
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
ROOMS = {
    "gateway": ["tests/unit/gateway", "tests/unit/upstream", "tests/integration", "tests/e2e"],
    "upstream": ["tests/unit/upstream", "tests/unit/gateway", "tests/integration", "tests/e2e"],
    "config": ["tests/unit", "tests/integration/catalogue", "tests/e2e/lsp"],
}
# They read the code as text, and would notice a mutant without noticing what is wrong with it.
READERS = ["tests/test_no_names_in_python.py", "tests/test_house.py", "tests/e2e/docs"]
SECONDS = 400
COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}


@dataclass(frozen=True)
class Mutant:
    """One change of a file: the text between two offsets, and what stands there instead."""

    file: str
    line: int
    start: int
    end: int
    old: str
    new: str

    def __str__(self) -> str:
        old, new = (" ".join(text.split())[:60] for text in (self.old, self.new))
        return f"{self.file}:{self.line}  {old}  ->  {new}"


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in the place of a node."""
    match node:
        case ast.Compare(ops=[operator, *_]) if type(operator) in COMPARED:
            changed = copy.deepcopy(node)
            changed.ops[0] = COMPARED[type(operator)]()
            yield changed
        case ast.BoolOp(op=operator):
            other = ast.Or() if isinstance(operator, ast.And) else ast.And()
            yield ast.BoolOp(other, node.values)
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value) | float(value)):
            yield ast.Constant(value + 1)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.Expr(value=ast.Call() | ast.Await()) | ast.AugAssign() | ast.Raise():
            yield ast.Pass()
        case ast.If(test=test) | ast.IfExp(test=test) | ast.While(test=test):
            yield ast.UnaryOp(ast.Not(), test)


def mutants(file: str, source: str) -> Iterator[Mutant]:
    """Every mutant of a module, without type hints, messages and what only tells of itself."""
    lines = [0]
    for line in source.encode().splitlines(keepends=True):
        lines.append(lines[-1] + len(line))
    raw = source.encode()
    for node in code(ast.parse(source)):
        place: Any = node.test if isinstance(node, ast.If | ast.IfExp | ast.While) else node
        for changed in changes(node):
            start = lines[place.lineno - 1] + place.col_offset
            end = lines[place.end_lineno - 1] + place.end_col_offset
            old = raw[start:end].decode()
            new = ast.unparse(ast.fix_missing_locations(changed))
            yield Mutant(file, place.lineno, start, end, old, new if new == "pass" else f"({new})")


def code(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run: no annotations, no docstrings, no `__all__`, no decorators."""
    for name, value in ast.iter_fields(tree):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.JoinedStr):
                yield child
                yield from code(child)


def everything(rooms: list[str]) -> list[Mutant]:
    files = sorted(file for room in rooms for file in (ROOT / "engine" / room).rglob("*.py"))
    found: list[Mutant] = []
    for file in files:
        found += mutants(file.relative_to(ROOT).as_posix(), file.read_text("utf-8"))
    return found


def near(tree: Path, mutant: Mutant) -> list[str]:
    """The test files that name the module of a mutant; those that are called like it come first."""
    path = Path(mutant.file).with_suffix("")
    room, package, module = path.parts[1], ".".join(path.parent.parts), path.stem
    names = (f"{package}.{module}", f"from {package} import {module}")
    tests = [file for folder in ROOMS[room] for file in (tree / folder).rglob("test_*.py")]
    told = [file for file in tests if any(name in file.read_text("utf-8") for name in names)]
    alike = [file for file in tests if module in file.stem and file not in told]
    return [file.relative_to(tree).as_posix() for file in (*alike, *told)]


class Copy:
    """A copy of the tree, in which one mutant at a time lives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ignored = shutil.ignore_patterns(".git", ".venv*", ".bench", "*_cache", "__pycache__")
        shutil.copytree(ROOT, folder, ignore=ignored, dirs_exist_ok=True)

    def fails(self, tests: list[str], seconds: float) -> str:
        """The first test that fails, "" when all pass."""
        ignored = [f"--ignore={file}" for file in READERS]
        words = ["-q", "-x", "--no-header", "-p", "no:cacheprovider", "--tb=no", *ignored, *tests]
        command = [sys.executable, "-m", "pytest", *words]
        environ = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(self.folder)}
        with subprocess.Popen(
            command,
            cwd=self.folder,
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                output, _ = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                return "did not end in time"
        if process.returncode == 0:
            return ""
        if process.returncode != 1 and "Error" not in output:
            raise RuntimeError(f"pytest ended with {process.returncode}: {output[-1000:]}")
        told = [line for line in output.splitlines() if line.startswith(("FAILED ", "ERROR "))]
        return told[0].split(" ")[1] if told else output[-120:]

    def twice(self, tests: list[str]) -> str:
        """The first test that fails, and fails again: one that does so by chance kills nothing."""
        why = self.fails(tests, SECONDS)
        return why if "::" not in why or self.fails([why.partition("[")[0]], SECONDS) else ""

    def verdict(self, mutant: Mutant) -> str:
        """What killed it, "" when it survived."""
        place = self.folder / mutant.file
        source = place.read_bytes()
        place.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
        try:
            room = Path(mutant.file).parts[1]
            stages = [near(self.folder, mutant), *([folder] for folder in ROOMS[room])]
            return next((why for tests in stages if tests and (why := self.twice(tests))), "")
        finally:
            place.write_bytes(source)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=60)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--only", default="", help="mutants whose place has this text")
    options = parser.parse_args()
    known = [m for m in everything(list(ROOMS)) if options.only in str(m)]
    drawn = random.Random(options.seed).sample(known, min(options.count, len(known)))
    survived: list[Mutant] = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Copy(Path(folder))
        for number, mutant in enumerate(drawn, 1):
            started = time.monotonic()
            why = tree.verdict(mutant)
            if not why:
                survived.append(mutant)
            told = f"killed by {why}" if why else "SURVIVED"
            sys.stdout.write(f"{number:>3} {time.monotonic() - started:5.0f} s  {mutant}  {told}\n")
            sys.stdout.flush()
    killed = len(drawn) - len(survived)
    sys.stdout.write("".join(f"survived: {mutant}\n" for mutant in survived))
    sys.stdout.write(f"{killed} of {len(drawn)} mutants killed ({killed / len(drawn):.0%}), of {len(known)}; seed {options.seed}\n")  # fmt: skip
    return 0 if killed >= 0.9 * len(drawn) else 1


if __name__ == "__main__":
    sys.exit(main())
