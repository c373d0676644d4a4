"""Runs tests on a copy of the tree, in which one mutant at a time lives."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutants.coverage import Coverage, Test
from tests.mutants.drawn import Mutant

ROOT = Path(__file__).parent.parent.parent
# They read the code as text, and would notice a mutant without noticing what is wrong with it.
READERS = (
    "test_no_names_in_python.py",
    "test_house.py",
    "test_wheel.py",
    "docs",
)
PYTEST = (
    "-m",
    "pytest",
    "-q",
    "--no-header",
    "--tb=no",
    "-p",
    "no:cacheprovider",
    "--snapshot-warn-unused",
)
FAST_SECONDS = 0.5
SLACK_SECONDS = 60.0  # what a test may take more than three times its own time


@dataclass(frozen=True)
class Outcome:
    """How a run of tests ended: "passed", "failed" or "hangs", and at which test."""

    kind: str
    test: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{'SURVIVED' if self.kind == 'passed' else self.kind} {self.test} {self.detail}"


def copy_tree(folder: Path) -> None:
    ignored = shutil.ignore_patterns(".git", ".venv*", ".bench", "*_cache", "__pycache__")
    shutil.copytree(ROOT, folder, ignore=ignored, symlinks=True)


@dataclass
class Copy:
    """A copy of the tree, and a folder for what a run of its tests writes."""

    folder: Path
    tree: Path
    sound: set[str] = field(default_factory=set)  # tests seen to pass without a mutant

    @property
    def log(self) -> Path:
        return self.folder / "log"

    @contextlib.contextmanager
    def holding(self, mutant: Mutant) -> Iterator[None]:
        place = self.tree / mutant.file
        source = place.read_bytes()
        place.write_bytes(mutant.apply(source))
        try:
            yield
        finally:
            place.write_bytes(source)

    def pytest(self, arguments: list[str], environ: Mapping[str, str]) -> tuple[int, str]:
        """Exit code and output of pytest; what it leaves running is killed."""
        environ = {
            **os.environ,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(self.tree),
            "MUTANTS_LOG": str(self.log),
            **environ,
        }
        command = [sys.executable, *PYTEST, "-p", "tests.mutants.plugin", *arguments]
        ended = subprocess.run(
            command,
            cwd=self.tree,
            env=environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        kill_those_in(self.tree)
        return ended.returncode, ended.stdout + ended.stderr

    def record(self, seen: Path) -> str:
        """The log of a run of all tests, with marks in the engine."""
        ignored = [f"--ignore-glob=*/{name}" for name in READERS]
        code, output = self.pytest([*ignored, "tests"], {"MUTANTS_SEEN": str(seen)})
        if code not in (0, 1):
            raise RuntimeError(f"pytest ended with {code}: {output[-1000:]}")
        return self.log.read_text("utf-8")

    def run(self, tests: list[Test], slack: float = SLACK_SECONDS) -> Outcome:
        """Run tests in this order up to the first that fails."""
        order = self.folder / "order"
        lines = [f"{slack + 3 * test.seconds:.0f} {test.name}\n" for test in tests]
        order.write_text("".join(lines), "utf-8")
        files = list(dict.fromkeys(test.file for test in tests))
        code, output = self.pytest(["-x", *files], {"MUTANTS_ORDER": str(order)})
        if code == 0:
            return Outcome("passed")
        lines = self.log.read_text("utf-8").splitlines() if self.log.exists() else []
        begun = [line for line in lines if "::" in line and not line.startswith(" ")]
        last = begun[-1] if begun else ""
        if any(line.startswith("Timeout (") for line in lines):
            return Outcome("hangs", last)
        if code != 1 and "Error" not in output and "error" not in output:
            raise RuntimeError(f"pytest ended with {code}: {output[-1000:]}")
        return Outcome("failed", last, output.strip().splitlines()[-1][:200])

    def confirmed(self, mutant: Mutant, outcome: Outcome, tests: list[Test]) -> bool:
        """Whether a test fails again with the mutant, and passes without it."""
        test = next((test for test in tests if test.name == outcome.test), None)
        if test is None:  # the tests cannot even be collected
            return True
        started = time.monotonic()
        # A fast one passed in the run of all tests, and waits for nothing that could be late.
        is_fast = test.seconds < FAST_SECONDS and outcome.kind == "failed"
        if not is_fast and (test.name not in self.sound or outcome.kind == "hangs"):
            if self.run([test]).kind != "passed":
                return False
            self.sound.add(test.name)
        slack = max(SLACK_SECONDS, 3 * (time.monotonic() - started))
        with self.holding(mutant):
            return self.run([test], slack).kind == outcome.kind

    def verdict(self, mutant: Mutant, coverage: Coverage) -> Outcome:
        """What kills a mutant; "passed" when it survives."""
        near, far = coverage.tests(mutant, self.tree)
        for stage in (near, far):
            left = stage
            while left:
                with self.holding(mutant):
                    outcome = self.run(left)
                if outcome.kind == "passed":
                    break
                if self.confirmed(mutant, outcome, left):
                    return outcome
                names = [test.name for test in left]
                left = left[names.index(outcome.test) + 1 :]
        return Outcome("passed", detail="" if near or far else "no test runs it")


def kill_those_in(tree: Path) -> None:
    """Kill every process that works in the copy: servers of a test that was ended."""
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if (process / "cwd").readlink() == tree:
                os.kill(int(process.name), signal.SIGKILL)
