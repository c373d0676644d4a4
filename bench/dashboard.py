"""How long the pages of the dashboard take, with 10,000 keys and 90 days of usage: `python -m bench.dashboard`.

In one process, by ASGI: everything but the network. Prints the median and the 95th percentile of each page in ms.
"""

import asyncio
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, MutableMapping
from pathlib import Path
from typing import Any

from engine.accounts import sessions
from engine.accounts.accounts import find_account
from engine.accounts.audit import SYSTEM
from engine.accounts.database import Database, open_database
from engine.accounts.keys import create_key
from engine.accounts.members import list_members
from engine.accounts.provider_keys import save_provider_key
from engine.accounts.start import FIRST_ACCOUNT, create_first_account
from engine.accounts.tables import LATENCY_COLUMNS
from engine.accounts.usage import HOUR, UsageRow, add_usage
from engine.accounts.vault import Vault
from engine.admin.app import create_app
from engine.admin.context import AdminContext
from engine.config.load import load
from engine.plan.accounts import Accounts, AccountsSettings, Admin, VaultKey

ROOT = Path(__file__).parents[1]
KEYS, DAYS, ROWS_AN_HOUR, TIMES = 10_000, 90, 90, 40
MODELS = ("gpt-5-mini", "gpt-5", "claude-sonnet-4-5", "text-embedding-3-small", "mistral-large")
PATHS = (
    "/", "/?range=24h", "/?range=30d", "/?range=90d", "/providers", "/providers/openai", "/keys", "/keys?show=all",
    "/keys?q=service-99", "/keys/{key}", "/usage?range=90d&by=key", "/usage?range=90d&by=day", "/usage?range=90d&by=model",
    "/usage?range=90d&by=day&key={key}", "/routes?model=gpt-5-mini", "/people", "/audit", "/accounts", "/you",
)  # fmt: skip
DOWNLOAD = "/usage.csv?range=90d&by=key"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = os.environ.get("ORQEN_TEST_DATABASE") or f"sqlite:///{folder}/orqen.db"
        secret = VaultKey("0" * 16, os.urandom(32))
        settings = AccountsSettings(Accounts(url, (secret,)), Admin())
        database, vault = open_database(url), Vault([secret])
        key, token = fill(database, vault)
        context = AdminContext(
            database, vault, settings, ROOT, lambda: load(ROOT, os.environ, time.time())
        )
        app = create_app(context)
        slowest = max(measure(app, path.format(key=key), token) for path in PATHS)
        sys.stdout.write(f"slowest page: p95 {slowest:.0f} ms; a download:\n")
        measure(app, DOWNLOAD, token)
        database.close()


def fill(database: Database, vault: Vault) -> tuple[str, str]:
    """A store of many keys and much usage; the id of a key, and the token of a session."""
    database.upgrade()
    with database.write() as connection:
        create_first_account(connection)
        account = find_account(connection, FIRST_ACCOUNT)
        assert account is not None
        made = [
            create_key(connection, account.id, name=f"service-{number}", actor=SYSTEM)[0].id
            for number in range(KEYS)
        ]
        save_provider_key(
            connection, vault, account.id, "openai", {"api_key": "sk-bench-12345678"}, SYSTEM
        )
        person = list_members(connection, account.id)[0]
        _, token = sessions.create_session(connection, person.person_id)
    for rows in used(account.id, made):
        with database.write() as connection:
            add_usage(connection, rows)
    return made[77], token


def used(account_id: str, keys: list[str]) -> Iterator[list[UsageRow]]:
    """Rows of each day; any key may call in any hour."""
    chance, now = random.Random(7), int(time.time()) // HOUR * HOUR
    for day in range(DAYS):
        rows = []
        for number in range(24 * ROWS_AN_HOUR):
            latency = [0] * len(LATENCY_COLUMNS)
            latency[chance.randrange(2, 8)] = requests = chance.randrange(1, 60)
            hour = now - (day * 24 + number % 24) * HOUR
            rows.append(UsageRow(hour, account_id, chance.choice(keys), chance.choice(MODELS), "openai", requests, 0, 800, tuple(latency)))  # fmt: skip
        yield rows


def measure(app: Any, path: str, token: str) -> float:
    """Print what the page at `path` takes; its 95th percentile in ms. The first time is left out."""
    times = []
    for _ in range(TIMES + 1):
        start = time.perf_counter()
        size = asyncio.run(get(app, path, token))
        times.append((time.perf_counter() - start) * 1000)
    rest = sorted(times[1:])
    p95 = rest[int(len(rest) * 0.95)]
    sys.stdout.write(f"{path[:50]:50}  first {times[0]:6.1f}  p50 {rest[len(rest) // 2]:6.1f}  p95 {p95:6.1f}  {size // 1024} KiB\n")  # fmt: skip
    return p95


async def get(app: Any, target: str, token: str) -> int:
    path, _, query = target.partition("?")
    cookie = f"orqen_session={token}".encode()
    headers = [(b"host", b"127.0.0.1:8081"), (b"sec-fetch-site", b"same-origin"), (b"cookie", cookie)]  # fmt: skip
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "scheme": "http", "path": path,
        "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": headers,
        "client": ("127.0.0.1", 50000), "server": ("127.0.0.1", 8081),
    }  # fmt: skip
    sizes: list[int] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def keep(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start" and message["status"] != 200:
            raise RuntimeError(f"{target}: {message['status']}")
        sizes.append(len(message.get("body", b"")))

    await app(scope, receive, keep)
    return sum(sizes)


if __name__ == "__main__":
    main()
