"""What a server runs, what is on disk, and how one becomes the other.

The parent decides, the workers follow, all of them or none:

    parent                      each worker
    read, load; an error: refused, nothing is sent
    prepare (digest)      ->    read the same files, load, reply `ready` or why not
    commit                ->    swap the Plan; requests under way finish on the old one
    or abort              ->    forget it

The YAML files and CA certificates that were accepted last are kept as text, so that a worker that is
started again serves what the others serve, whatever is on disk by then. Credential files are not: such
a worker inherits the Plan, where processes are forked, and reads these files anew elsewhere.
"""

import contextlib
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.config.checks.registry import SERVER
from engine.config.files import FILES
from engine.config.load import Loaded
from engine.config.source.files import read_file
from engine.plan.plan import Plan
from engine.server.channel import NOT_READY, WorkerChannel
from engine.server.log import log
from engine.telemetry.server_counts import ServerCounts

PREPARE_SECONDS = 10.0
REPEAT_SECONDS = 3.0
MAX_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of a folder as they were read once; None stands for one that is not there.

    Certificates are among them, by the names that the configuration gives them.
    """

    texts: Mapping[str, bytes | None]
    read_at: float

    @property
    def digest(self) -> str:
        """Differs for two different snapshots."""
        return hashlib.sha256(repr(sorted(self.texts.items())).encode()).hexdigest()

    def with_files(self, loaded: Loaded) -> "Snapshot":
        """The same with the files that it turned out to name."""
        return Snapshot({**self.texts, **loaded.files}, self.read_at)


def read_folder(directory: Path, names: Iterable[str] = FILES) -> Snapshot:
    """The files of `directory` now. One that cannot be read is left out, for `load` to report."""
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
    """Why a configuration cannot run: a place and code that anybody may read, a message for the log."""

    place: str
    words: str


@dataclass(frozen=True, slots=True)
class RefusedReload:
    """When what is on disk was refused, and the places and codes of what is wrong with it."""

    at: str
    reasons: tuple[str, ...]

    def entries(self) -> dict[str, Any]:
        """As JSON values."""
        return {"at": self.at, "reasons": list(self.reasons)}


@dataclass(frozen=True, slots=True)
class ReloadState:
    """What `/readyz` reports beside readiness. `refused` is None while the disk is what runs.

    `restart` are the files of what runs that take effect at the next start alone, `tls` is there while
    the TLS files on disk were refused.
    """

    loaded: str
    refused: RefusedReload | None = None
    restart: tuple[str, ...] = ()
    tls: RefusedReload | None = None

    def entries(self) -> dict[str, Any]:
        """As JSON values."""
        waiting: dict[str, Any] = {"restart": list(self.restart)} if self.restart else {}
        if self.tls is not None:
            waiting["tls"] = self.tls.entries()
        return {
            "loaded": self.loaded,
            "refused": self.refused and self.refused.entries(),
            **waiting,
        }


def now_text() -> str:
    """The time, for people and programs."""
    return datetime.now(UTC).isoformat(timespec="seconds")


Prepare = Callable[[Snapshot], tuple[Loaded | None, list[Problem]]]


@dataclass(slots=True)
class ConfigReloader:
    """Holds the accepted configuration of one server; lives in the parent.

    `prepare` loads as `check` does: a snapshot in; out what was loaded, and why it cannot run.
    `accepted` is what runs, and `plan` what it became. `waits_for_worker` while a worker that did not
    get ready is all that is wrong with what is on disk.
    """

    directory: Path
    prepare: Prepare
    accepted: Snapshot
    plan: Plan | None
    state: ReloadState
    other_files: tuple[str, ...] = ()
    counts: ServerCounts = field(default_factory=ServerCounts)
    waits_for_worker: bool = False
    _number: int = 0
    _logged: tuple[str, float] = ("", 0.0)
    _server: bytes | None = field(init=False)  # the server.yaml that it was started with

    def __post_init__(self) -> None:
        self._server = self.accepted.texts.get(SERVER)

    def paths(self) -> list[Path]:
        """The files that the configuration is made of, and those it names."""
        return [self.directory / name for name in (*FILES, *self.other_files)]

    def reload(
        self, workers: Sequence[WorkerChannel], is_ending: Callable[[], bool] = lambda: False
    ) -> bool:
        """Take what is on disk, in every worker or in none; whether to try again at once.

        Not when the server is to end before every worker is ready: one that is stuck would hold that up.
        """
        self.waits_for_worker = False
        snapshot = read_folder(self.directory)
        loaded, problems = self.prepare(snapshot)
        if loaded is not None:
            # A file that is not there yet may be all that is wrong.
            self.other_files = tuple(sorted({*self.other_files, *files_of(loaded)}))
        if loaded is None or problems:
            self._refuse(workers, problems)
            return False
        if len(snapshot.texts) < len(FILES):
            return True  # what could not be read could be loaded: it is being written
        snapshot = snapshot.with_files(loaded)
        words = self._prepare_all(workers, snapshot, is_ending)
        if words in {"changed", "ended"}:
            return words == "changed"
        if words:
            self.waits_for_worker = words == NOT_READY
            self._refuse(workers, [Problem(words, words)])
            return False
        before, self.accepted = self.accepted, snapshot
        self._logged = ("", 0.0)  # the same mistake made again is a new one
        is_waiting = snapshot.texts.get(SERVER) != self._server
        self.plan = loaded.plan
        waiting = (SERVER,) if is_waiting else ()
        self.state = replace(self.state, loaded=now_text(), refused=None, restart=waiting)
        _send_all(workers, "commit", self.state)
        self.counts.count_reload()
        fingerprint = loaded.plan.fingerprint if loaded.plan else ""
        log(f"reloaded: config {fingerprint} runs now")
        if is_waiting and snapshot.texts.get(SERVER) != before.texts.get(SERVER):
            log(
                f"{SERVER} has changed: it takes effect when the server is started again", "warning"
            )
        return False

    def set_tls_state(self, refused: RefusedReload | None) -> ReloadState:
        """The state from now on, in which TLS files are refused or not."""
        self.state = replace(self.state, tls=refused)
        return self.state

    def _prepare_all(
        self, workers: Sequence[WorkerChannel], snapshot: Snapshot, is_ending: Callable[[], bool]
    ) -> str:
        """Let every worker prepare; "" when all are ready or gone."""
        self._number += 1
        names = tuple(snapshot.texts)
        for worker in workers:
            worker.send("prepare", self._number, snapshot.digest, names, snapshot.read_at)
        end = time.monotonic() + PREPARE_SECONDS
        replies = {worker.reply(self._number, end, is_ending) for worker in workers}
        problems = sorted(replies - {"ready", "gone"})
        if problems:
            _send_all(workers, "abort", self.state)
        known = (word for word in ("ended", "changed") if word in problems)
        return next(known, "; ".join(problems))

    def _refuse(self, workers: Sequence[WorkerChannel], problems: list[Problem]) -> None:
        shown, more = problems[:MAX_SHOWN], len(problems) - MAX_SHOWN
        refusal = RefusedReload(now_text(), tuple(problem.place for problem in shown))
        self.state = replace(self.state, refused=refusal)
        words = [problem.words for problem in shown] + ([f"and {more} more"] if more > 0 else [])
        text = "\n  ".join(["reload refused; the previous configuration stays active", *words])
        before, at = self._logged
        self._logged = text, time.monotonic()
        if text != before or self._logged[1] - at > REPEAT_SECONDS:
            self.counts.count_refusal()
            log(text, "error")  # files that are watched from now on are read a second time
        _send_all(workers, "state", self.state)  # what /readyz says, the log has said


def _send_all(workers: Sequence[WorkerChannel], word: str, state: ReloadState) -> None:
    for worker in workers:
        worker.send(word, state)


def files_of(loaded: Loaded) -> tuple[str, ...]:
    """The files that a configuration names: credentials and certificates."""
    providers = loaded.config.providers
    every = [c.file for provider in providers for c in provider.credentials]
    every += [provider.ca for provider in providers]
    return tuple(sorted({name for name in every if name}))
