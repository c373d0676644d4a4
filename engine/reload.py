"""What a server runs, what is on disk, and the way from one to the other.

The parent decides, the workers follow, all of them or none:

    parent                      each worker
    read, load; an error: refused, nothing is sent
    prepare (digest)      ->    read the same files, load, reply `ready` or why not
    commit                ->    swap the Plan; requests under way finish on the old one
    or abort              ->    forget it

What was accepted last is kept as text, so that a worker that is started again serves what the
others serve, whatever is on disk by then.
"""

import contextlib
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import watchfiles

if sys.platform != "win32":
    import fcntl

from engine.files import read_file
from engine.load import FILES, Loaded

POLL_MS = 1000
SETTLE_MS = 200
PREPARE_SECONDS = 10.0
REPEAT_SECONDS = 3.0
SHOWN = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a folder as they were read once; None stands for one that is not there.

    Certificates are among them, by the names that the configuration gives them.
    """

    texts: Mapping[str, bytes | None]
    read_at: float

    @property
    def digest(self) -> str:
        """What tells two snapshots apart."""
        return hashlib.sha256(repr(sorted(self.texts.items())).encode()).hexdigest()

    def with_files(self, loaded: Loaded) -> "Snapshot":
        """The same with the files that it turned out to name."""
        return Snapshot({**self.texts, **loaded.files}, self.read_at)


def read_folder(directory: Path, names: Iterable[str] = FILES) -> Snapshot:
    """The files of `directory` now. One that cannot be read is left out, for `load` to tell."""
    texts: dict[str, bytes | None] = {}
    for name in names:
        with contextlib.suppress(OSError):
            try:
                texts[name] = read_file(directory / name)
            except FileNotFoundError:
                texts[name] = None
    return Snapshot(texts, time.time())


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a configuration cannot run: a place and code that anybody may read, words for the log."""

    place: str
    words: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """When what is on disk was refused, and the places and codes of what is wrong with it."""

    at: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class State:
    """What `/readyz` tells beside readiness. `refused` is None while the disk is what runs."""

    loaded: str
    refused: Refusal | None = None

    def entries(self) -> dict[str, Any]:
        """As JSON values."""
        refused = self.refused and {"at": self.refused.at, "reasons": list(self.refused.reasons)}
        return {"loaded": self.loaded, "refused": refused}


def now_text() -> str:
    """The time, for people and programs."""
    return datetime.now(UTC).isoformat(timespec="seconds")


@dataclass(frozen=True, slots=True)
class Link:
    """The parent's end of its line to one worker. `sentinel` is ready once the worker is dead."""

    line: Connection
    sentinel: Callable[[], int]

    def tell(self, message: tuple[Any, ...]) -> None:
        """Send a small message; a worker that is gone needs none."""
        with contextlib.suppress(OSError):
            self.line.send(message)

    def reply(self, number: int, end: float) -> str:
        """The worker's reply to message `number`: `ready`, `gone`, or why it cannot follow."""
        while True:
            ready = wait([self.line, self.sentinel()], max(0.0, end - time.monotonic()))
            if self.line in ready:
                with contextlib.suppress(OSError, EOFError):
                    answered, word = self.line.recv()
                    if answered == number:
                        return str(word)
                    continue  # a reply that came too late for its own question
                return "gone"
            if not ready:
                return "a worker did not get ready in time"
            return "gone"


Prepare = Callable[[Snapshot], tuple[Loaded | None, list[Problem]]]


@dataclass(slots=True)
class Keeper:
    """Holds the accepted configuration of one server; lives in the parent.

    `prepare` is the road of `check`: a snapshot in, what it became and why it cannot run out.
    """

    directory: Path
    prepare: Prepare
    accepted: Snapshot
    state: State
    other_files: tuple[str, ...] = ()
    links: dict[int, Link] = field(default_factory=dict)
    _number: int = 0
    _told: tuple[str, float] = ("", 0.0)

    def reload(self) -> bool:
        """Take what is on disk, in every worker or in none; whether to try again at once."""
        snapshot = read_folder(self.directory)
        loaded, problems = self.prepare(snapshot)
        if loaded is not None:
            # A file that is not there yet may be all that is wrong.
            self.other_files = tuple(sorted({*self.other_files, *files_of(loaded)}))
        if loaded is None or problems:
            self._refuse(problems)
            return False
        if len(snapshot.texts) < len(FILES):
            return True  # what could not be read could be loaded: it is being written
        snapshot = snapshot.with_files(loaded)
        words = self._ask(snapshot)
        if words == "changed":
            return True
        if words:
            self._refuse([Problem(words, words)])
            return False
        self.accepted, self.state = snapshot, State(now_text())
        self._tell("commit", self.state)
        fingerprint = loaded.plan.fingerprint if loaded.plan else ""
        log(f"reloaded: config {fingerprint} runs now")
        return False

    def _ask(self, snapshot: Snapshot) -> str:
        """Let every worker prepare; "" when all are ready or gone."""
        self._number += 1
        for link in self.links.values():
            link.tell(
                ("prepare", self._number, snapshot.digest, tuple(snapshot.texts), snapshot.read_at)
            )
        end = time.monotonic() + PREPARE_SECONDS
        replies = {link.reply(self._number, end) for link in self.links.values()}
        problems = sorted(replies - {"ready", "gone"})
        if problems:
            self._tell("abort", self.state)
        return "changed" if "changed" in problems else "; ".join(problems)

    def _refuse(self, problems: list[Problem]) -> None:
        shown, more = problems[:SHOWN], len(problems) - SHOWN
        refusal = Refusal(now_text(), tuple(problem.place for problem in shown))
        self.state = State(self.state.loaded, refusal)
        self._tell("note", self.state)
        words = [problem.words for problem in shown] + ([f"and {more} more"] if more > 0 else [])
        text = "\n  ".join(["reload refused; what ran before goes on running", *words])
        before, at = self._told
        self._told = text, time.monotonic()
        if text != before or self._told[1] - at > REPEAT_SECONDS:
            log(text)  # files that are watched from now on are looked at a second time

    def _tell(self, word: str, state: State) -> None:
        for link in self.links.values():
            link.tell((word, self._number, state))


def files_of(loaded: Loaded) -> tuple[str, ...]:
    """The files that a configuration names: credentials and certificates."""
    providers = loaded.config.providers
    every = [c.file for provider in providers for c in provider.credentials]
    every += [provider.ca for provider in providers]
    return tuple(sorted({name for name in every if name}))


def log(words: str) -> None:
    """A message of the server to the operator, beside the access records."""
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(f"engine: {words}\n")
        sys.stderr.flush()


def watch(keeper: Keeper, changed: Callable[[], None]) -> None:
    """Call `changed`, from a thread, whenever the files have changed and then stood still.

    Events make it quick; what decides is what `stat` says of each file, symlinks followed, which
    also holds for a `..data` link swapped elsewhere and on file systems without events.
    """
    threading.Thread(target=_watch, args=(keeper, changed), daemon=True).start()


def _watch(keeper: Keeper, changed: Callable[[], None]) -> None:
    seen, is_due = signature(keeper), False
    for _ in _ticks(keeper.directory):
        while (current := signature(keeper)) != seen:
            seen, is_due = current, True
            time.sleep(SETTLE_MS / 1000)
        if is_due and not any(_is_being_written(path) for path in _paths(keeper)):
            is_due = False
            changed()


def _ticks(directory: Path) -> Iterator[object]:
    """A wake-up after each burst of events, and now and then without one."""
    while True:
        with contextlib.suppress(OSError, RuntimeError):  # no folder, or no watches left
            yield from watchfiles.watch(
                directory,
                watch_filter=None,
                step=SETTLE_MS // 4,
                debounce=SETTLE_MS,
                rust_timeout=POLL_MS,
                yield_on_timeout=True,
                recursive=False,
                raise_interrupt=False,
            )
        time.sleep(POLL_MS / 1000)
        yield None


def signature(keeper: Keeper) -> tuple[object, ...]:
    """What `stat` says of every file that the configuration is made of."""
    return tuple(_stat(path) for path in _paths(keeper))


def _paths(keeper: Keeper) -> Iterator[Path]:
    return (keeper.directory / name for name in (*FILES, *keeper.other_files))


def _stat(path: Path) -> Iterable[int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_dev, found.st_size, found.st_mtime_ns


def _is_being_written(path: Path) -> bool:
    """Whether a process has `path` open for writing, as far as the system tells.

    Linux gives no read lease on such a file (fcntl(2), F_SETLEASE), and one to its owner otherwise.
    The lease is given back at once; `SIGIO` of a writer who comes in between is ignored.
    """
    if sys.platform != "linux":
        return False
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # it may be a pipe by now
        try:
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
            fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        finally:
            os.close(descriptor)
    except BlockingIOError:
        return True
    except OSError:  # not our file, or a file system without leases
        pass
    return False
