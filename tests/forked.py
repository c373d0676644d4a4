"""`pytest --processes 8`: processes that are forked once all tests are imported and collected, which takes five seconds of CPU.

A process runs a file at a time, since the tests of a file share its servers, and takes the next one when it has ended.
"""

import multiprocessing
import os
from collections import defaultdict, deque
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import pytest

from tests.processes import share

# Each process that uses an SDK imports all of them, which takes four seconds.
USE_SDKS = ("tests/e2e/sdk/", "tests/integration/mock/test_mock_agents", "tests/integration/mock/test_mock_shapes")  # fmt: skip
# Pages have nothing in common, and take seconds each.
APART = "tests/e2e/docs/test_pages.py"
# What takes longest comes first, so that no process is left alone with it at the end.
LONGEST = (
    "the SDKs",
    "tests/integration/upstream/test_faults.py",
    "tests/e2e/server/test_accounts.py",
    "tests/e2e/server/test_reload.py",
    APART,
    "tests/e2e/server",
    "tests/e2e",
    "tests/unit/gateway/test_waiting.py",  # these two wait more than they work
    "tests/unit/gateway/inbound/test_body.py",
    "tests/unit/config/test_corpus.py",
)

_context = multiprocessing.get_context("fork")
Group = list[pytest.Item]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processes", type=int, default=0, help="run tests in so many")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Run the tests in forked processes, if there are to be any."""
    count = session.config.getoption("processes")
    if not count or session.testsfailed or session.config.option.collectonly:
        return None
    Run(session).run(count)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    return True


def groups(items: list[pytest.Item]) -> Iterator[Group]:
    """The tests of each file, in the order in which they are begun."""
    found: dict[str, Group] = defaultdict(list)
    for item in items:
        found[_group(item.nodeid)].append(item)
    for name in sorted(found, key=_place):  # stable: else in the order of their names
        yield found[name]


def _group(test: str) -> str:
    if test.startswith(USE_SDKS):
        return "the SDKs"
    return test if test.startswith(APART) else test.partition("::")[0]


def _place(name: str) -> int:
    places = (place for place, start in enumerate(LONGEST) if name.startswith(start))
    return next(places, len(LONGEST))


class Run:
    """The processes, and the files that none of them has begun."""

    def __init__(self, session: pytest.Session) -> None:
        self._session = session
        self._groups = list(groups(session.items))
        self._waiting = deque(range(len(self._groups)))
        self._processes: dict[Connection, BaseProcess] = {}
        self._running: dict[Connection, str] = {}

    def run(self, count: int) -> None:
        if any(not item.nodeid.startswith("tests/unit/") for item in self._session.items):
            share()
        try:
            for number in range(count):
                self._start(number)
            while self._processes:
                for pipe in wait(list(self._processes)):
                    assert isinstance(pipe, Connection)
                    self._read(pipe)
        finally:
            for process in self._processes.values():  # after an interrupt, which they see too
                process.join(10)
                process.terminate()

    def _start(self, number: int) -> None:
        pipe, theirs = _context.Pipe()
        inherited = [*self._processes, pipe]
        process = _context.Process(target=self._work, args=(number, theirs, inherited))
        process.start()
        theirs.close()
        self._processes[pipe] = process

    def _read(self, pipe: Connection) -> None:
        """Take one message of a process: all that has happened there since the one before."""
        try:
            events = pipe.recv()
        except EOFError:
            self._ended(pipe)
            return
        for kind, value in events:
            self._take(pipe, kind, value)

    def _take(self, pipe: Connection, kind: str, value: Any) -> None:
        hook = self._session.config.hook
        match kind:
            case "next":
                is_over = self._session.shouldfail or not self._waiting
                pipe.send(None if is_over else self._waiting.popleft())
            case "logstart":
                self._running[pipe] = value["nodeid"]
                hook.pytest_runtest_logstart(**value)
            case "report":
                config = self._session.config
                report = hook.pytest_report_from_serializable(config=config, data=value)
                hook.pytest_runtest_logreport(report=report)
            case "logfinish":
                del self._running[pipe]
                hook.pytest_runtest_logfinish(**value)
            case "snapshots":
                self._session.config._syrupy.add_worker_report(value)  # type: ignore[attr-defined]

    def _ended(self, pipe: Connection) -> None:
        process = self._processes.pop(pipe)
        process.join()
        if process.exitcode == 0 and pipe not in self._running:
            return
        test = self._running.get(pipe, "a process of tests")
        why = f"its process ended with exit code {process.exitcode}"
        report = pytest.TestReport(test, (test, None, test), {}, "failed", why, "call")
        self._session.config.hook.pytest_runtest_logreport(report=report)

    def _work(self, number: int, pipe: Connection, inherited: list[Connection]) -> None:
        """What a process does."""
        for other in inherited:
            other.close()
        session, config = self._session, self._session.config
        _become(config, number)
        told = Told(config, pipe)
        config.pluginmanager.register(told)
        item = None
        for item, following in self._given(told):
            config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail:
                break
        if item is not None:
            _end(item)
        config.hook.pytest_sessionfinish(session=session, exitstatus=0)
        if "syrupy_report" in config.workeroutput:  # type: ignore[attr-defined]
            told.add("snapshots", config.workeroutput["syrupy_report"])  # type: ignore[attr-defined]
        told.send()
        pipe.close()

    def _given(self, told: "Told") -> Iterator[tuple[pytest.Item, pytest.Item | pytest.Session]]:
        """The tests of this process, one file after another, and with each what may need the same fixtures.

        After a file it is the session, since the next file is not known yet.
        """
        while True:
            if (place := told.next_group()) is None:
                return
            group = self._groups[place]
            yield from zip(group, (*group[1:], self._session), strict=True)


def _become(config: Any, number: int) -> None:
    """Make this process one of its own: its name, its folder of temporary files, its captured output."""
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{number}"  # as plugins know such processes
    config.workerinput, config.workeroutput = {}, {}
    config.pluginmanager.unregister(name="terminalreporter")
    folder = config._tmp_path_factory.getbasetemp() / f"gw{number}"
    folder.mkdir(mode=0o700)
    config._tmp_path_factory._basetemp = folder
    config._tmp_path_factory._exit_stack = ExitStack()  # folders of earlier runs are removed once
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()
    capture.start_global_capturing()
    capture.suspend_global_capture()


def _end(item: pytest.Item) -> None:
    """End what the session shares; a failure counts as one of the last test."""
    state = item.session._setupstate
    call = pytest.CallInfo.from_call(lambda: state.teardown_exact(None), when="teardown")
    if call.excinfo is not None:
        report = item.ihook.pytest_runtest_makereport(item=item, call=call)
        item.ihook.pytest_runtest_logreport(report=report)


class Told:
    """Tells the process that reports what happens in this one, by one message a test.

    It is sent when the next test begins, so that the test is known in which a process dies. A message
    for each of the five events of a test took two more seconds of CPU in `make test`.
    """

    def __init__(self, config: pytest.Config, pipe: Connection) -> None:
        self._config, self._pipe = config, pipe
        self._events: list[tuple[str, Any]] = []

    def add(self, kind: str, value: Any) -> None:
        self._events.append((kind, value))

    def send(self) -> None:
        self._pipe.send(self._events)
        self._events = []

    def next_group(self) -> int | None:
        """Ask for the place of a group of tests; None if no more are to be run."""
        self.add("next", None)
        self.send()
        place: int | None = self._pipe.recv()
        return place

    def pytest_runtest_logstart(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self.add("logstart", {"nodeid": nodeid, "location": location})
        self.send()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        hook = self._config.hook
        data = hook.pytest_report_to_serializable(config=self._config, report=report)
        self.add("report", data)

    def pytest_runtest_logfinish(self, nodeid: str, location: tuple[str, int | None, str]) -> None:
        self.add("logfinish", {"nodeid": nodeid, "location": location})
