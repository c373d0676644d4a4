"""Finds the fenced examples of a Markdown page, and runs a page's examples as one session.

An HTML comment before a fence says how to treat it:

    test: make          each line must be a target of the Makefile; CI runs them
    test: background    the last line is a server; it must become ready and stop well
    test: into FILE     the YAML is added to FILE of the session's configuration
    test: file FILE     the YAML is FILE of the session's configuration
    test: broken FILE WRONG RIGHT   all that `engine check` finds with WRONG for RIGHT in FILE
    test: image         `make image` builds it; there is no container runtime to run it
    test: chart         `make test-chart` renders it; there is no cluster
    test: compose       `make test-compose` starts what it starts; there is no Docker
    test: client CASES  lines with which `make clients` calls the gateway; test_agents compares them
    test: tried         somebody has run it by hand, as the page says; or nobody has: untried
    test: wheel         `make wheel` runs it
    test: example       of a finding; the tests of the catalogue run it
    test: output        the last commands printed these lines
"""

import contextlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import load
from engine.config.source.document import parse_document
from engine.server.ports import wait_until_ready
from tests.at_hand import engine_at_hand
from tests.ports import free_port
from tests.processes import run_engine
from tests.servers import KEY, ROOT, Server, ship

_FENCE = re.compile(
    r"(?:<!-- test: (?P<mark>.+?) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.M | re.S
)
_ENGINE = re.compile(r"(engine [^|<>&;$`\"\\]+?)(?: > ([\w./-]+))?")  # no pipe, no variable
_LINE = re.compile(r"yaml:\d+")  # moves with every edit of a file
ELSEWHERE = {
    "envelope",
    "record",
    "shape",
    "example",
    "suppression",
    "workflow",
    "hooks",
    "wheel",
    "image",
    "chart",
    "client",
    "tried",
    "untried",
    "compose",
    "queries",
}
WRITTEN_URL = "http://127.0.0.1:8080"
WRITTEN_KEY = "sk-orq-..."


def balanced(text: str) -> None:
    """Settings for which there is no parser at hand: the command is right, and brackets meet."""
    assert re.search(r'"engine",? "lsp"', text)
    assert all(text.count(left) == text.count(right) for left, right in ("()", "{}", "[]"))


READ: dict[str, Callable[[str], object]] = {
    "json": json.loads,
    "toml": tomllib.loads,
    "lua": balanced,
    "lisp": balanced,
}


@dataclass(frozen=True)
class Example:
    """One fenced block: `place` is its page and line."""

    place: str
    language: str
    mark: str
    text: str


def examples(page: Path) -> list[Example]:
    """The fenced blocks of `page`, in order."""
    text = page.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        line = text.count("\n", 0, match.start("language")) + 1
        place = f"{page.name}:{line}"
        found.append(Example(place, match["language"], match["mark"] or "", match["text"]))
    return found


def read_only(example: Example) -> None:
    """An example that is not run: tests of their own compare it with the code."""
    if example.language in READ:
        READ[example.language](example.text)
    elif example.mark.partition(" ")[0] not in ELSEWHERE:
        raise AssertionError(f"{example.place}: nothing says how to test this")


class Session:
    """A folder with the shipped configuration, where a page's examples run one after another."""

    def __init__(self, folder: Path, served: Server, programs: Path) -> None:
        self._folder = ship(folder)
        self._served = served
        self._output = ""
        self._changed: set[str] = set()  # files that no example has used since
        path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._env = {"PATH": path, "HOME": str(folder), "KEY": KEY}
        (folder / ".curlrc").write_text("silent\nshow-error\nfail\n")

    def run(self, example: Example) -> None:
        """Run or load one example; fails the test when it does not do what the page says."""
        if not example.mark.startswith("into "):
            self.check()
        if example.language == "sh":
            self._command(example)
        elif example.language == "yaml":
            self._yaml(example)
        elif example.language == "python" and not example.mark:
            self._call(sys.executable, "-c", self._here(example.text))
        elif example.language == "text" and example.mark:
            self._printed(example)
        else:
            read_only(example)

    def _command(self, example: Example) -> None:
        match example.mark:
            case "make":
                for line in example.text.splitlines():
                    self._shell(f"make --dry-run --directory {ROOT} {line.removeprefix('make ')}")
            case "background":
                self._serve(example)
            case "":
                self._output = self._shell(self._here(example.text))
            case _:
                read_only(example)

    def _yaml(self, example: Example) -> None:
        match example.mark.split():
            case ["into", name]:
                self._add(name, example.text)
            case ["file", name]:
                (self._folder / name).write_text(example.text, "utf-8")
            case []:
                document, found = parse_document(example.place, example.text.encode())
                assert document is not None
                assert not found, example.place
            case _:
                read_only(example)

    def _printed(self, example: Example) -> None:
        match example.mark.split():
            case ["output"]:
                shown, printed = (_LINE.sub("yaml:N", t) for t in (example.text, self._output))
                assert shown in printed, f"{example.place}:\n{self._output}"
            case ["broken", name, wrong, right]:
                self._break(example, name, wrong, right)
            case _:
                read_only(example)

    def _here(self, text: str) -> str:
        """The text with the address and key of the server under test."""
        return text.replace(WRITTEN_URL, self._served.url).replace(WRITTEN_KEY, KEY)

    def _shell(self, script: str) -> str:
        lines = [line for line in script.splitlines() if not line.startswith("#")]
        if all(re.fullmatch(r"engine .*[^\\]", line) for line in lines):
            return "".join(self._engine(line) for line in lines)
        return self._call("sh", "-eu", "-c", script)

    def _engine(self, line: str) -> str:
        """A command with nothing of a shell but a file for its output: one process less, and no import of the engine."""
        plain = _ENGINE.fullmatch(line)
        if plain is None:
            return self._call("sh", "-eu", "-c", line)
        done = run_engine(*shlex.split(plain[1])[1:], folder=self._folder, **self._env)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        if plain[2] is None:
            return done.stdout
        (self._folder / plain[2]).write_text(done.stdout, "utf-8")
        return ""

    def _call(self, *command: str) -> str:
        done = subprocess.run(
            command, capture_output=True, cwd=self._folder, env=self._env, check=False
        )
        output = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, f"{command[-1]}\n{output}{done.stderr.decode()}"
        return output

    def _serve(self, example: Example) -> None:
        port = free_port()
        options = f"--port {port} --drain-delay 0"
        script = example.text.replace("engine serve", f"exec engine serve {options}")
        command = ["sh", "-eu", "-c", script]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            command, cwd=self._folder, env=self._env, stdout=pipe, stderr=pipe
        ) as process:
            ready = wait_until_ready(process, port, "/readyz")
            process.terminate()
            _, errors = process.communicate(timeout=60)
        assert ready, f"{example.place}: {errors.decode()}"
        assert process.returncode == 0

    def _break(self, example: Example, name: str, wrong: str, right: str) -> None:
        file = self._folder / name
        good = file.read_text("utf-8")
        assert good.count(right) == 1
        file.write_text(good.replace(right, wrong), "utf-8")
        done = run_engine("check", folder=self._folder, **self._env)
        file.write_text(good, "utf-8")
        assert done.returncode == 1
        findings = done.stdout.partition("\n\nfound ")[0]
        assert findings == example.text.rstrip(), f"{example.place}:\n{done.stdout}"

    def _add(self, name: str, text: str) -> None:
        """Add YAML to a file: as a whole, or each section's entries to the section of that name."""
        file = self._folder / name
        if text.startswith("version:"):
            self.check()
            file.write_text(text, "utf-8")
        else:
            head, _, entries = text.partition("\n")
            old = file.read_text("utf-8")
            found = old.count(f"\n{head}\n")
            assert found <= 1
            added = old.replace(f"\n{head}\n", f"\n{head}\n{entries}") if found else old + text
            file.write_text(added, "utf-8")
        self._changed.add(name)

    def check(self) -> None:
        """Fail if a file that examples have changed has an error; once for all of them, since that takes a while."""
        if not self._changed:
            return
        found = load(self._folder, {}, time.time()).diagnostics
        assert not [
            d for d in found if d.severity is Severity.ERROR and d.span.file in self._changed
        ]
        self._changed.clear()


@contextlib.contextmanager
def opened(folder: Path, served: Server) -> Iterator[Session]:
    """A session in `folder`, which is on the shipped configuration."""
    with tempfile.TemporaryDirectory() as place, engine_at_hand(Path(place)) as programs:
        yield Session(folder, served, programs)


def run_page(page: Path, served: Server, folder: Path) -> None:
    """The examples of a page, one after another."""
    with opened(folder, served) as session:
        for example in examples(page):
            session.run(example)
        session.check()
