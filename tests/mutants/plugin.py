"""What pytest does in a run with a mutant, and in the run that records which test runs what.

MUTANTS_LOG: the file that names each test as it begins, and a time-out after it.
MUTANTS_ORDER: the file of the tests to run, in their order, each with its limit in seconds.
MUTANTS_SEEN: the file of marks (see `marking`); then a line of JSON for each test goes to the log.
"""

import faulthandler
import gc
import json
import mmap
import os
import time
from collections.abc import Generator
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import TextIO

import pytest

COLLECTING_SECONDS = 180.0
ENDING_SECONDS = 30.0
DIGITS = bytes(ord("1" if value else "0") for value in range(256))


class Ordered:
    """Runs the given tests in the given order, and ends the process when one takes too long."""

    def __init__(self, order: Path, log: TextIO) -> None:
        lines = [line.split(" ", 1) for line in order.read_text("utf-8").splitlines()]
        self._limits = {test: float(seconds) for seconds, test in lines}
        self._places = {test: place for place, test in enumerate(self._limits)}
        self._log = log
        faulthandler.dump_traceback_later(COLLECTING_SECONDS, exit=True, file=log)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        chosen = [item for item in items if item.nodeid in self._places]
        items[:] = sorted(chosen, key=lambda item: self._places[item.nodeid])

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._log.write(item.nodeid + "\n")
        self._log.flush()
        limit = self._limits[item.nodeid]
        faulthandler.dump_traceback_later(limit, exit=True, file=self._log)
        return (yield)

    @pytest.hookimpl(trylast=True)
    def pytest_unconfigure(self) -> None:
        """A thread may keep the process from ending, which is a hang of the last test."""
        faulthandler.dump_traceback_later(ENDING_SECONDS, exit=True, file=self._log)


class Recorded:
    """Records what each test runs: in its own process and in every process of the engine."""

    def __init__(self, seen: Path, log: TextIO) -> None:
        with seen.open("r+b") as file:
            self._seen = mmap.mmap(file.fileno(), 0)
        self._log = log
        self._fixtures: dict[str, int] = {}
        self._caches: list[_lru_cache_wrapper[object]] = []
        self._file = Path()
        self._failed = False
        self._own = 0

    def _take(self) -> int:
        """The marks since the last call as a number, whose lowest bit is statement 0."""
        taken = self._seen[:]
        self._seen[:] = bytes(len(taken))
        return int(taken[::-1].translate(DIGITS), 2)

    def _clear_caches(self, file: Path) -> None:
        """Forget what cached functions of the engine hold: each test runs what it needs itself."""
        if file != self._file:
            found = (each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper))
            self._caches = [each for each in found if each.__module__.startswith("engine")]
            self._file = file
        for cached in self._caches:
            cached.cache_clear()

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object]
    ) -> Generator[None, object, object]:
        """What sets up a shared fixture belongs to each test that uses it."""
        self._own |= self._take()
        result = yield
        name = fixturedef.argname
        self._fixtures[name] = self._fixtures.get(name, 0) | self._take()
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed = self._failed or report.failed

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self._clear_caches(item.path)
        self._failed, self._own = False, 0
        started = time.monotonic()
        result = yield
        seconds = round(time.monotonic() - started, 3)
        seen, shared = self._own | self._take(), 0
        for name in getattr(item, "fixturenames", ()):
            shared |= self._fixtures.get(name, 0)
        record = {"test": item.nodeid, "seconds": seconds, "passed": not self._failed}
        self._log.write(json.dumps({**record, "seen": f"{seen:x}", "shared": f"{shared:x}"}) + "\n")
        self._log.flush()
        return result


def pytest_configure(config: pytest.Config) -> None:
    if "MUTANTS_LOG" not in os.environ:
        return
    log = Path(os.environ["MUTANTS_LOG"]).open("w", encoding="utf-8")  # noqa: SIM115 -- for the whole run
    if "MUTANTS_SEEN" in os.environ:
        config.pluginmanager.register(Recorded(Path(os.environ["MUTANTS_SEEN"]), log))
    else:
        config.pluginmanager.register(Ordered(Path(os.environ["MUTANTS_ORDER"]), log))
