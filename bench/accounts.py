"""`python -m bench.accounts path|million|revocation`: what keys of accounts cost, and how fast they end.

path         CPU of a small request in process, by a key of keys.yaml and by one of an account
million      look-ups and memory of a worker's table with a million keys in the store
revocation   from a revocation to the last request that got in, with replicas on one SQLite file
"""

import argparse
import asyncio
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from bench.load import percentile
from engine.accounts.accounts import create_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.follower import KeyFollower
from engine.accounts.keys import create_key, revoke_key
from engine.accounts.provider_keys import save_provider_key
from engine.accounts.reader import StoreReader
from engine.accounts.tables import gateway_keys
from engine.accounts.values import new_id
from engine.accounts.vault import Vault
from engine.config.load import load
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.hooks import NO_HOOKS
from engine.plan.accounts import Accounts, parse_vault_key
from engine.plan.gateway_key import digest, new_key
from engine.server.hooks.accounts import AccountHooks
from engine.server.ports import free_port, wait_until_ready
from engine.upstream import Attempt

MIB = 1024 * 1024
VAULT_KEY = sha256(b"the vault key of a benchmark").hexdigest()
ROUTES = """version: 1
endpoints: {chat_completions: {path: /v1/chat/completions}}
models: [{prefix: gpt-, provider: openai}]
"""
PROVIDERS = """version: 1
providers:
  openai:
    base_url: http://127.0.0.1:PORT/v1
    credentials: {api_key: {env: OPENAI_API_KEY}}
    headers: {authorization: "Bearer {{ credentials.api_key }}"}
    caller_credentials: {headers: {x-provider-api-key: api_key}}
    endpoints: {chat_completions: /chat/completions}
"""
SERVER = """version: 1
accounts: {database: "URL", vault_keys: [{env: VAULT_KEY}]}
"""
BODY = json.dumps(
    {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "hi"}]}
).encode()


class Response:
    """A provider's response that is there at once."""

    status, length, is_complete = 200, 2, True
    headers = ((b"content-type", b"application/json"), (b"content-length", b"2"))

    def arrived(self) -> bytes:
        return b"{}"

    async def forward(self, write: Any) -> None:
        raise AssertionError

    async def close(self) -> None:
        pass


class Client:
    """Responds without a network."""

    async def send(self, attempt: Attempt) -> Any:
        self.seen = dict(attempt.head.headers)[b"authorization"]
        return Response()

    async def close(self) -> None:
        pass


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def complain(problem: str | None) -> None:
    say(f"the store: {problem}")


def vault() -> Vault:
    return Vault([parse_vault_key(VAULT_KEY)])


@contextmanager
def store(folder: Path, url: str = "") -> Iterator[tuple[Database, str]]:
    """An empty store, and its URL."""
    url = url or f"sqlite:///{folder / 'orqen.db'}"
    database = open_database(url)
    database.upgrade()
    yield database, url
    database.close()


# -- path ------------------------------------------------------------------------------------------


def path(rounds: int) -> None:
    """Microseconds of CPU a request, the same requests with each kind of key in turn."""
    with tempfile.TemporaryDirectory() as name, store(Path(name)) as (database, url):
        folder = Path(name)
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", "9"))
        static, stored = new_key(), ""
        keys = f"version: 1\nkeys: [{{name: app, sha256: {digest(static)}}}]\n"
        (folder / "keys.yaml").write_text(keys)
        with database.write() as connection:
            account = create_account(connection, "bench", CLI).id
            _, stored = create_key(connection, account, name="bench", actor=CLI)
            values = {"api_key": "sk-of-the-account"}
            save_provider_key(connection, vault(), account, "openai", values, CLI)
        loaded = load(folder, {"OPENAI_API_KEY": "sk-of-the-operator"}, time.time())
        assert loaded.plan is not None, loaded.diagnostics
        asyncio.run(_path(loaded.plan, url, static, stored, rounds))


async def _path(plan: Any, url: str, static: str, stored: str, rounds: int) -> None:
    with Path(os.devnull).open("w", encoding="utf-8") as stream:  # noqa: ASYNC230 it never waits
        log = AccessLog(stream)
        hooks = AccountHooks(Accounts(url, (parse_vault_key(VAULT_KEY),)), say, lambda: None)
        hooks.start()
        clients = {"http1": Client()}
        plain = Gateway(plan, clients, log, lambda: False, NO_HOOKS)
        both = Gateway(plan, clients, log, lambda: False, hooks.hooks())
        cases = {
            "keys.yaml, without server.yaml": (plain, static),
            "keys.yaml, with server.yaml": (both, static),
            "account's key": (both, stored),
        }
        times: dict[str, list[float]] = {name: [] for name in cases}
        gc.disable()
        for _ in range(rounds):
            for name, (gateway, key) in cases.items():
                times[name].append(await _cost(gateway, key))
        gc.enable()
        await asyncio.to_thread(hooks.stop)
        log.close()
    for name, found in times.items():
        say(f"{name:32} {statistics.median(found):6.2f} us, best {min(found):6.2f} us")


async def _cost(gateway: Gateway, key: str, requests: int = 2000) -> float:
    headers = [
        (b"host", b"gateway"),
        (b"content-type", b"application/json"),
        (b"authorization", b"Bearer " + key.encode()),
        (b"content-length", b"%d" % len(BODY)),
    ]
    scope = {
        "method": "POST", "raw_path": b"/v1/chat/completions", "query_string": b"",
        "http_version": "1.1", "headers": headers,
    }  # fmt: skip
    message = {"type": "http.request", "body": BODY, "more_body": False}
    seen: list[int] = []

    async def receive() -> dict[str, Any]:
        return message

    async def send(sent: Any) -> None:
        if "status" in sent:
            seen.append(sent["status"])

    start = time.thread_time()
    for _ in range(requests):
        await gateway(scope, receive, send)
    taken = time.thread_time() - start
    assert set(seen) == {200}, set(seen)
    return taken / requests * 1e6


# -- a million keys --------------------------------------------------------------------------------


def million(count: int, url: str) -> None:
    """Fill a store, and ask a follower with the default bound for known and unknown keys."""
    with tempfile.TemporaryDirectory() as name, store(Path(name), url) as (database, _):
        digests: list[bytes] = []
        for size in (10, count):
            digests += _fill(database, size - len(digests))
            asyncio.run(_look_up(database, digests))


def _fill(database: Database, count: int) -> list[bytes]:
    digests = [os.urandom(32) for _ in range(count)]
    for start in range(0, count, 20_000):
        with database.write() as connection:
            account = create_account(connection, os.urandom(8).hex(), CLI).id
            common = {
                "account_id": account, "name": "bench", "preview": "", "scopes": '["use"]',
                "models": None, "endpoints": None, "expires_at": None, "created_at": 0,
                "revoked_at": None, "replaced_by": None,
            }  # fmt: skip
            rows = [
                {**common, "id": new_id(), "digest": d} for d in digests[start : start + 20_000]
            ]
            connection.execute(insert(gateway_keys), rows)
    return digests


async def _look_up(database: Database, digests: Sequence[bytes]) -> None:
    gc.collect()
    before = _rss()
    follower = KeyFollower(StoreReader(database, vault()), 64 * MIB, complain)
    begun = time.monotonic()
    follower.start()
    held = -1
    while held != len(follower.table):
        held = len(follower.table)
        await asyncio.sleep(0.5)
    ready = time.monotonic() - begun - 0.5
    known = [d for d in digests if follower.table.get(d) is not None]
    hit = _time(lambda: [follower.table.get(d) for d in known[:1000]], min(len(known), 1000))
    sample = random.sample(digests, min(2000, len(digests)))
    waits = [await _wait(follower, [digest]) for digest in sample]
    burst = await _wait(follower, random.sample(digests, min(500, len(digests))))
    say(
        f"{len(digests):>9,} keys in the store: {held:,} read ahead in {ready:.1f} s, "
        f"{len(follower.table):,} held, {(_rss() - before) / MIB:.0f} MiB more; a known key {hit:.2f} us; "
        f"any key p50 {percentile(waits, 0.5) * 1000:.2f} ms, p99 {percentile(waits, 0.99) * 1000:.1f} ms; "
        f"500 at once {burst * 1000:.1f} ms"
    )
    for start in range(0, len(digests), 1000):
        await follower.search(digests[start : start + 1000])
    say(
        f"          every one used once: {len(follower.table):,} held, {(_rss() - before) / MIB:.0f} MiB more"
    )
    await asyncio.to_thread(follower.stop)


async def _wait(follower: KeyFollower, digests: Sequence[bytes]) -> float:
    """Seconds for keys as a request asks: the table, and a search for what is not there."""
    start = time.perf_counter()
    unknown = [d for d in digests if follower.table.get(d) is None]
    if unknown:
        found = await follower.search(unknown)
        assert len(found) == len(unknown)
    return time.perf_counter() - start


def _time(work: Callable[[], object], count: int) -> float:
    """Microseconds for one of `count`, the best of several rounds."""
    best = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / count * 1e6


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


# -- revocation ------------------------------------------------------------------------------------


def revocation(replicas: int, workers: int, rounds: int, url: str) -> None:
    """Seconds from the commit of a revocation to the end of the last request that got in."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        database, url = stack.enter_context(store(Path(name), url))
        ports = [
            stack.enter_context(replica(Path(name) / str(number), url, workers))
            for number in range(replicas)
        ]
        delays = asyncio.run(revocations(database, ports, rounds))
    late = sum(delay >= 1 for delay in delays)
    say(
        f"{len(delays)} revocations, {replicas} replicas of {workers} workers on one {url.partition(':')[0]}: "
        f"p50 {percentile(delays, 0.5):.3f} s, p99 {percentile(delays, 0.99):.3f} s, "
        f"max {max(delays):.3f} s, {late} of a second or more"
    )


@contextmanager
def replica(folder: Path, url: str, workers: int) -> Iterator[int]:
    folder.mkdir()
    port, mock = free_port(), free_port()
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(mock)))
    (folder / "server.yaml").write_text(SERVER.replace("URL", url))
    environ = {**os.environ, "OPENAI_API_KEY": "sk-of-the-operator", "VAULT_KEY": VAULT_KEY}
    engine = [sys.executable, "-m", "engine"]
    serve = [
        "serve",
        str(folder),
        "--port",
        str(port),
        "--workers",
        str(workers),
        "--drain-delay",
        "0",
    ]
    with (folder / "log").open("w") as log:
        upstream = subprocess.Popen(
            [*engine, "mock", "--port", str(mock), "--no-record"], stdout=log
        )
        process = subprocess.Popen([*engine, *serve], env=environ, stdout=log, stderr=log)
        try:
            assert wait_until_ready(upstream, mock, "/__mock/status")
            assert wait_until_ready(process, port, "/readyz"), (folder / "log").read_text()
            yield port
        finally:
            for one in (process, upstream):
                one.terminate()
                one.wait()


async def revocations(database: Database, ports: Sequence[int], rounds: int) -> list[float]:
    with database.write() as connection:
        account = create_account(connection, "bench", CLI).id
    delays = []
    for _ in range(rounds):
        with database.write() as connection:
            key, text = create_key(connection, account, name="bench", actor=CLI)
        callers = [Caller(port, text) for port in ports for _ in range(8)]
        await asyncio.gather(*(caller.connect() for caller in callers))
        assert all(status == 200 for status in await asyncio.gather(*(c.ask() for c in callers)))
        await asyncio.sleep(random.random() / 4)
        with database.write() as connection:
            revoke_key(connection, account, key.id, CLI)
        committed = time.monotonic()
        await asyncio.gather(*(caller.until_refused() for caller in callers))
        delays.append(max(caller.last for caller in callers) - committed)
        await asyncio.gather(*(caller.close() for caller in callers))
    return delays


class Caller:
    """A connection that goes on asking; `last` is when a response of 200 was last received."""

    def __init__(self, port: int, key: str) -> None:
        self._port, self.last = port, 0.0
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}\r\n"
        head += f"content-type: application/json\r\ncontent-length: {len(BODY)}\r\n\r\n"
        self._request = head.encode() + BODY

    async def connect(self) -> None:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)

    async def ask(self) -> int:
        self._writer.write(self._request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await self._reader.readexactly(int(length))
        return int(head.split(maxsplit=2)[1])

    async def until_refused(self) -> None:
        while await self.ask() == 200:
            self.last = time.monotonic()
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        self._writer.close()
        await self._writer.wait_closed()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.accounts", description=__doc__)
    parser.add_argument("what", choices=["path", "million", "revocation"])
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--database", default="", help="URL of an empty database; SQLite without")
    options = parser.parse_args()
    if options.what == "path":
        path(options.rounds)
    elif options.what == "million":
        million(options.keys, options.database)
    else:
        revocation(options.replicas, options.workers, options.rounds, options.database)


if __name__ == "__main__":
    main()
