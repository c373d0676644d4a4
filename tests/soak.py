"""A long run of mixed traffic with faults, reloads and killed workers, and a verdict.

    make soak                  ten minutes
    make soak MINUTES=1        shorter

Every request carries a name of its own, so that what was sent, what the upstream saw and what came
back can be compared one by one. One worker lives through the whole run and is measured; the other
is killed now and then.
"""

import asyncio
import contextlib
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests import loopback
from tests.integration.upstream.fault_server import FaultServer
from tests.servers import KEY, Server, free_port, gateway, rss_kib, write_keys

ROUTES = """
version: 1
defaults:
  timeouts: {connect: 500ms, first_byte: 500ms, idle: 500ms, total: 5s}
endpoints:
  talk: {path: /talk, body: [json, form]}
models:
  - {prefix: h-, provider: faulty}
  - {prefix: spare-, targets: [{provider: refused}, {provider: faulty, strip: true}]}
"""
PROVIDERS = """
version: 1
providers:
  faulty: {{base_url: "http://127.0.0.1:{port}", endpoints: {{talk: /talk}}, headers: {{x-mark: "{mark}"}},
    retry: {{attempts: 2, max_wait: 1s, budget: 100%}}}}
  refused: {{base_url: "http://127.0.0.1:{closed}", endpoints: {{talk: /talk}}}}
"""
CALLERS = 32
RELOAD_SECONDS = 7.0
KILL_SECONDS = 20.0
SAMPLE_SECONDS = 5.0
GRACE = 2.0  # a killed worker may take requests with it for so long
FLAT_KIB = 5 * 1024
FLAT_FILES = 8
GOOD = ["h-ok"] * 60 + ["h-events"] * 15 + ["upload"] * 5 + ["spare-h-ok"] * 5 + ["leave"] * 3
FAULTS = {
    "h-close": {502}, "h-reset": {502}, "h-reset-in-head": {502}, "h-garbage": {502},
    "h-two-lengths": {502}, "h-hang": {504}, "h-first-busy": {200}, "h-error": {500},
    "h-busy-long": {429}, "h-cut-length": {0}, "h-cut-chunked": {0},
    "h-cut-events": {1}, "h-hang-events": {1}, "h-reset-events": {1},
}  # fmt: skip
FAULT_SHARE = 0.1
UPLOAD = b"\x00\xff" * 200_000


def say(words: str) -> None:
    sys.stdout.write(words + "\n")
    sys.stdout.flush()


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@dataclass
class Run:
    """What has been sent and what came of it. Status 0: broken off; 1: ended by an error event."""

    url: str
    sent: Counter[str] = field(default_factory=Counter)
    got: Counter[str] = field(default_factory=Counter)
    names: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    lost: int = 0
    reloads: int = 0
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    ended: bool = False

    def judge(self, kind: str, name: str, status: int, started: float) -> None:
        """Compare an outcome with what it should be."""
        self.got[f"{kind.removeprefix('h-')} -> {status}"] += 1
        wanted = FAULTS.get(kind, {200})
        if status in wanted:
            return
        now = time.monotonic()
        if status == 0 and any(started <= kill + GRACE and kill <= now for kill in self.kills):
            self.lost += 1
            return
        self.wrong.append(f"{name}: {status}, not {wanted}")


async def one(run: Run, client: httpx2.AsyncClient, number: int) -> None:
    is_fault = random.random() < FAULT_SHARE
    kind = random.choice(list(FAULTS) if is_fault else GOOD)
    model = {"upload": "h-ok", "leave": "h-hang"}.get(kind, kind)
    name = f"{model}@{number}"
    run.sent[kind] += 1
    run.names[name] = kind
    started = time.monotonic()
    try:
        if kind == "upload":
            files = {"file": ("x.bin", UPLOAD)}
            answer = await client.post("/talk", data={"model": name}, files=files)
        elif kind == "leave":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await client.post("/talk", json={"model": name})
            return
        else:
            answer = await client.post("/talk", json={"model": name})
        status = 1 if b'"code": "upstream_' in answer.content and answer.status_code == 200 else answer.status_code  # fmt: skip
    except httpx2.TransportError:
        status = 0
    run.judge(kind, name, status, started)


async def calling(run: Run, numbers: "Numbers") -> None:
    headers = {"x-api-key": KEY}
    limits = httpx2.Limits(max_keepalive_connections=1)
    async with loopback.AsyncClient(
        base_url=run.url, headers=headers, timeout=10, limits=limits
    ) as client:
        while not run.ended:
            await one(run, client, numbers.next())
            await asyncio.sleep(random.random() * 0.2)


class Numbers:
    last = 0

    def next(self) -> int:
        self.last += 1
        return self.last


async def operating(run: Run, server: Server, folder: Path, ports: dict[str, int]) -> None:
    """Change the files, break them and repair them; kill the second worker; look at the first."""
    steady = server.worker_pids()[0]
    started = reload = kill = time.monotonic()
    kill += KILL_SECONDS / 2
    while not run.ended:
        now = time.monotonic()
        if now > reload:
            reload = now + RELOAD_SECONDS
            run.reloads += 1
            text = ROUTES if run.reloads % 4 else ROUTES.replace("provider", "prvider")
            (folder / ".routes").write_text(text)
            (folder / ".routes").rename(folder / "routes.yaml")
            providers = PROVIDERS.format(**ports, mark=run.reloads)
            (folder / ".providers").write_text(providers)
            (folder / ".providers").rename(folder / "providers.yaml")
        others = [pid for pid in server.worker_pids() if pid != steady]
        if now > kill and others:
            kill = now + KILL_SECONDS
            run.kills.append(now)
            os.kill(others[0], signal.SIGKILL)
        run.samples.append((now - started, rss_kib(steady), open_files(steady)))
        await asyncio.sleep(SAMPLE_SECONDS if not others or now < kill else 0.2)


async def soak(
    run: Run, server: Server, folder: Path, ports: dict[str, int], minutes: float
) -> None:
    numbers = Numbers()
    tasks = [asyncio.ensure_future(calling(run, numbers)) for _ in range(CALLERS)]
    tasks.append(asyncio.ensure_future(operating(run, server, folder, ports)))
    await asyncio.sleep(minutes * 60)
    run.ended = True
    await asyncio.gather(*tasks)
    await asyncio.sleep(2)


def verdict(run: Run, upstream: FaultServer, server: Server) -> list[str]:
    """What is wrong; prints the account on the way."""
    sent = sum(run.sent.values())
    twice = [
        name for name, count in upstream.seen.items()
        if count > 1 and run.names.get(name.removeprefix("spare-")) != "h-first-busy" and "@" in name
    ]  # fmt: skip
    records = Counter(record["outcome"] for record in server.records)
    say(f"sent {sent}, judged {sum(run.got.values())}, left early {run.sent['leave']}")
    say(f"upstream saw {sum(upstream.seen.values())} requests, {len(twice)} of them twice")
    say(f"reloads {run.reloads}, refused {server.text.count('engine: reload refused')}")
    say(f"workers killed {len(run.kills)}, requests they took with them {run.lost}")
    say("outcomes in the log: " + ", ".join(f"{k} {v}" for k, v in records.most_common()))
    say("answers: " + ", ".join(f"{k}: {v}" for k, v in sorted(run.got.items())))
    for seconds, kib, files in run.samples[:: max(1, len(run.samples) // 20)]:
        say(f"{seconds:7.0f} s  {kib / 1024:6.1f} MiB  {files:4d} files")
    late = [s for s in run.samples if s[0] > run.samples[-1][0] * 0.25]
    third = max(1, len(late) // 3)
    early_kib, last_kib = (sorted(s[1] for s in part)[len(part) // 2] for part in (late[:third], late[-third:]))  # fmt: skip
    early_files, last_files = (min(s[2] for s in part) for part in (late[:third], late[-third:]))
    say(f"memory {early_kib} -> {last_kib} KiB, files at least {early_files} -> {last_files}")
    checks: dict[str, list[object]] = {
        "a request was sent twice": [*twice],
        "an outcome is not what it should be": [*run.wrong],
        "a traceback is in the log": ["Traceback"] if "Traceback" in server.text else [],
        "a bug was met": ["internal_error"] if records["internal_error"] else [],
        "connections upstream are left open": [upstream.open] if upstream.open > 80 else [],
        "memory grows": [last_kib - early_kib] if last_kib - early_kib > FLAT_KIB else [],
        "files grow": [last_files - early_files] if last_files - early_files > FLAT_FILES else [],
        "too many requests went with killed workers": [run.lost] if run.lost > CALLERS * len(run.kills) else [],
        "nothing was reloaded": [] if server.text.count("engine: reloaded") > run.reloads // 2 else [run.reloads],
    }  # fmt: skip
    return [f"{words}: {found[:5]}" for words, found in checks.items() if found]


def main(minutes: float) -> int:
    """Run it; 0 when all is well."""
    folder = Path(tempfile.mkdtemp(prefix="soak-"))
    with FaultServer().running() as upstream:
        ports = {"port": upstream.port, "closed": free_port()}
        config = folder / "config"
        config.mkdir()
        (config / "routes.yaml").write_text(ROUTES)
        (config / "providers.yaml").write_text(PROVIDERS.format(**ports, mark=0))
        write_keys(config)
        with gateway(config, folder / "log", "--workers", "2") as server:
            run = Run(server.url)
            asyncio.run(soak(run, server, config, ports, minutes))
            problems = verdict(run, upstream, server)
    say("verdict: " + ("; ".join(problems) if problems else "nothing lost, nothing sent twice, nothing grows"))  # fmt: skip
    say(f"log: {folder / 'log'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 10))
