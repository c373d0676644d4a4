"""Which tests run a mutant, from one run of all tests on a marked copy."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path

from tests.mutants.drawn import Mutant
from tests.mutants.marking import Statement

NEAR_FILES = 6
STAGE_SECONDS = 100.0  # what the tests of a stage may take: the start of a server runs much


@dataclass(frozen=True)
class Test:
    """One test: its node id, its seconds without a mutant, the statements it runs as bits.

    `shared` are those that run while its fixtures are set up, for many tests at once.
    """

    name: str
    seconds: float
    runs: int
    shared: int

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
            Test(record["test"], record["seconds"], own | after, int(record.get("shared", "0"), 16))
            for record, own, after in zip(records, seen, late, strict=True)
            if record["passed"]
        ]

    def tests(self, mutant: Mutant, tree: Path) -> tuple[list[Test], list[Test]]:
        """The tests to run: those that run it, the nearest files first; then others of these files.

        Behind them stand the tests whose fixtures alone run it, as many as there is time for.
        """
        bits, named = self._wanted(mutant, tree)
        running = [test for test in self.all_tests if test.runs & bits or test.file in named]
        files: dict[str, list[Test]] = {}
        for test in running:
            files.setdefault(test.file, []).append(test)
        means = {file: mean(tests) for file, tests in files.items()}
        ordered = sorted(files, key=lambda file: (distance(file, tree, mutant), means[file]))
        names = {test.name for test in running}
        others = [
            t
            for t in self.all_tests
            if t.name not in names and (t.file in files or t.shared & bits)
        ]
        others.sort(key=lambda test: (not test.shared & bits, test.file))
        near = [test for file in ordered[:NEAR_FILES] for test in files[file]]
        far = [test for file in ordered[NEAR_FILES:] for test in files[file]]
        return affordable(near), affordable(far + others)

    def _wanted(self, mutant: Mutant, tree: Path) -> tuple[int, set[str]]:
        """The statements that run a mutant, as bits, and the test files that name what it defines.

        What a statement defines at import is run by whatever uses its name.
        """
        number = self._statement(mutant)
        statement = self.statements[number]
        if statement.is_in_function:
            return 1 << number, set()
        names = self._names_from(statement)
        each = enumerate(self.statements)
        bits = sum(1 << n for n, user in each if user.is_in_function and names & user.uses)
        word = re.compile(rf"\b({'|'.join(map(re.escape, sorted(names)))})\b" if names else "$^")
        files = {test.file for test in self.all_tests}
        return bits, {file for file in files if word.search((tree / file).read_text("utf-8"))}

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


def distance(file: str, tree: Path, mutant: Mutant) -> int:
    """0: a test file that is called like the module of a mutant, or imports it; 1: of its room."""
    path = Path(mutant.file).with_suffix("")
    package, module = ".".join(path.parent.parts), path.name
    text = (tree / file).read_text("utf-8")
    if (
        module in Path(file).stem
        or f"{package}.{module}" in text
        or f"from {package} import {module}" in text
    ):
        return 0
    return 1 if file.startswith(f"tests/unit/{path.parts[1]}/") else 2


def affordable(tests: list[Test]) -> list[Test]:
    """The first tests, as many as the time for them is enough."""
    sums = accumulate(test.seconds for test in tests)
    return [test for test, total in zip(tests, sums, strict=True) if total <= STAGE_SECONDS]


def mean(tests: list[Test]) -> float:
    return sum(test.seconds for test in tests) / len(tests)
