"""A worker commits what the parent asked for last, however late something older gets ready."""

import asyncio
import json
import threading
from dataclasses import dataclass, field
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

from engine.config.load import Loaded
from engine.plan.plan import Plan
from engine.server.http import Listen
from engine.server.reload import Problem, ReloadState, Snapshot, read_folder
from engine.server.run import Options, prepare
from engine.server.worker import Parent, Worker
from tests.ports import free_port
from tests.servers import write_keys
from tests.unit.config.folders import fill

PROVIDERS = """version: 1
providers:
  openai: {base_url: "https://%s.example", endpoints: {chat_completions: /chat}}
"""


@dataclass(slots=True)
class Folder:
    """A configuration that changes. The one of host `slow` is loaded once `may_load` is set."""

    path: Path
    is_loading: threading.Event = field(default_factory=threading.Event)
    may_load: threading.Event = field(default_factory=threading.Event)

    def change(self, host: str) -> Snapshot:
        (self.path / "providers.yaml").write_text(PROVIDERS % host)
        return read_folder(self.path)

    def prepare(self, snapshot: Snapshot) -> tuple[Loaded | None, list[Problem]]:
        if b"slow" in (snapshot.texts["providers.yaml"] or b""):
            self.is_loading.set()
            assert self.may_load.wait(10)
        return prepare(Options(self.path, "127.0.0.1", 1, 1), snapshot)

    def plan(self, snapshot: Snapshot) -> Plan:
        loaded, problems = self.prepare(snapshot)
        assert loaded is not None and loaded.plan is not None, problems
        return loaded.plan


async def fingerprint(worker: Worker) -> str:
    """The configuration that a worker says it serves."""
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {"method": "GET", "raw_path": b"/healthz", "headers": [], "http_version": "1.1"}
    await worker(scope, None, send)
    found: str = json.loads(b"".join(message.get("body", b"") for message in sent))["config"]
    return found


def test_what_was_aborted_and_gets_ready_late_is_not_committed(tmp_path: Path) -> None:
    write_keys(fill(tmp_path))
    folder = Folder(tmp_path)

    async def run() -> None:
        ours, pipe = Pipe()
        plan = folder.plan(folder.change("first"))
        parent = Parent(pipe, tmp_path, folder.prepare, drain_timeout=1.0)
        worker = Worker(plan, ReloadState(""), parent, Listen("127.0.0.1", free_port()))
        loop = asyncio.get_running_loop()
        loop.add_reader(pipe.fileno(), vars(Worker)["_read_message"], worker)

        slow = folder.change("slow")
        ours.send(("prepare", 1, slow.digest, tuple(slow.texts), slow.read_at))
        assert await asyncio.to_thread(folder.is_loading.wait, 10)
        ours.send(("abort", ReloadState("")))
        newer = folder.change("newer")
        ours.send(("prepare", 2, newer.digest, tuple(newer.texts), newer.read_at))
        assert await asyncio.to_thread(ours.poll, 10)
        assert ours.recv() == (2, "ready")
        folder.may_load.set()
        await asyncio.gather(*vars(worker)["_tasks"])
        ours.send(("commit", ReloadState("")))
        while pipe.poll():  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0.001)
        assert await fingerprint(worker) == folder.plan(newer).fingerprint

        folder.is_loading.clear()
        folder.may_load.clear()
        slow = folder.change("slow")
        ours.send(("prepare", 3, slow.digest, tuple(slow.texts), slow.read_at))
        assert await asyncio.to_thread(folder.is_loading.wait, 10)
        ours.send(("abort", ReloadState("")))
        while pipe.poll():  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0.001)
        folder.may_load.set()
        await asyncio.gather(*vars(worker)["_tasks"])
        assert not ours.poll(), "nobody waits for the reply to what was aborted"
        loop.remove_reader(pipe.fileno())
        ours.close()
        pipe.close()

    asyncio.run(run())
