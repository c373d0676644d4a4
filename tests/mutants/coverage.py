"""Which tests run a mutant, from one run of all tests on a marked copy."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.mutants.drawn import Mutant
from tests.mutants.marking import Statement

NEAR_FILES = 6


@dataclass(frozen=True)
class Test:
    """One test: its node id, its seconds without a mutant, the statements it runs as bits."""

    name: str
    seconds: float
    runs: int

    @property
    def file(self) -> str:
        return self.name.partition("::")[0]


@dataclass(frozen=True)
class Coverage:
    """The statements of the engine, and the tests in the order in which they ran."""

    statements: list[Statement]
    log: str

    @cached_property
    def all_tests(self) -> list[Test]:
        records = [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]
        seen = [int(record["seen"], 16) for record in records]
        # What a server does just after a test has its response is seen by the test after it.
        late = [*seen[1:], 0]
        return [
            Test(record["test"], record["seconds"], own | after)
            for record, own, after in zip(records, seen, late, strict=True)
            if record["passed"]
        ]

    def tests(self, mutant: Mutant, tree: Path) -> tuple[list[Test], list[Test]]:
        """The tests to run: the nearest first, then every other test of a file that runs it."""
        running = self._running(mutant, tree)
        files: dict[str, list[Test]] = {}
        for test in running:
            files.setdefault(test.file, []).append(test)
        ordered = sorted(
            files, key=lambda file: (not is_near(tree / file, mutant), mean(files[file]))
        )
        near = [test for file in ordered[:NEAR_FILES] for test in files[file]]
        names = {test.name for test in running}
        others = [t for t in self.all_tests if t.file in files and t.name not in names]
        far = [test for file in ordered[NEAR_FILES:] for test in files[file]]
        return near, far + others

    def _running(self, mutant: Mutant, tree: Path) -> list[Test]:
        """The tests that run a mutant, or whatever uses the names that it defines at import."""
        number = self._statement(mutant)
        statement = self.statements[number]
        if statement.is_in_function:
            return [test for test in self.all_tests if test.runs >> number & 1]
        names = self._names_from(statement)
        users = [
            n for n, each in enumerate(self.statements) if each.is_in_function and names & each.uses
        ]
        bits = sum(1 << n for n in users)
        word = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b" if names else "$^")
        texts = {test.file: None for test in self.all_tests}
        named = {file for file in texts if word.search((tree / file).read_text("utf-8"))}
        return [test for test in self.all_tests if test.runs & bits or test.file in named]

    def _statement(self, mutant: Mutant) -> int:
        """The innermost statement around a mutant."""
        around = [
            (each.last - each.first, -number)
            for number, each in enumerate(self.statements)
            if each.file == mutant.file and each.first <= mutant.line <= each.last
        ]
        return -min(around)[1]

    def _names_from(self, statement: Statement) -> set[str]:
        """The names whose value depends on a statement that runs at import."""
        names = set(statement.defines)
        while True:
            more = {
                name
                for each in self.statements
                if not each.is_in_function and names & each.uses
                for name in each.defines
            }
            if more <= names:
                return names
            names |= more


def is_near(test: Path, mutant: Mutant) -> bool:
    """Whether a test file is called like the module of a mutant, or imports it."""
    path = Path(mutant.file).with_suffix("")
    package, module = ".".join(path.parent.parts), path.name
    text = test.read_text("utf-8")
    return (
        module in test.stem
        or f"{package}.{module}" in text
        or f"from {package} import {module}" in text
    )


def mean(tests: list[Test]) -> float:
    return sum(test.seconds for test in tests) / len(tests)
