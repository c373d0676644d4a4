"""A small request with everything on that a gateway may have beside the proxy: keys of accounts, limits, metrics, traces.

Each part is switched on alone, then all of them. Their servers run on the core of the load.
"""

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench import machine
from bench.accounts import VAULT_KEY, store
from bench.peers import PLAIN, SMALL, Parts, Peer, Setting, system
from bench.ready import SETTLING, Figures, ready, saturate
from engine.accounts.accounts import create_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database
from engine.accounts.key_limits import KeyLimits
from engine.accounts.keys import create_key
from tests.ports import free_port
from tests.redis_server import cpu_seconds, redis

USAGE = ", usage: {at: [/usage], input_tokens: [prompt_tokens], estimate: true}"
LIMITS = ", limits: {requests: 1000000/m, budgets: [{tokens: 1000000000M, per: day}]}"
OF_KEY = KeyLimits(rate_limit_rpm=1_000_000, daily_token_budget=10**15)  # the same, of an account


@dataclass(frozen=True)
class Servers:
    """What the parts use: databases, and Redis at a port."""

    database: Database
    url: str
    redis_port: int


def parts(servers: Servers) -> Mapping[str, Parts]:
    """Each part alone, by name, and all of them."""
    accounts = f'accounts: {{database: "{servers.url}", vault_keys: [{{env: VAULT_KEY}}]}}\n'
    limits = "limits: {store: {env: LIMITS_URL}}\n"
    metrics = f"metrics: {{port: {free_port()}}}\n"
    traces = f"tracing: {{endpoint: http://127.0.0.1:{PLAIN}, sample: 1%}}\n"
    environ = {"VAULT_KEY": VAULT_KEY, "LIMITS_URL": f"redis://127.0.0.1:{servers.redis_port}/0"}
    return {
        "bare": Parts(),
        "usage": Parts(endpoint=USAGE),
        "accounts": Parts(server=accounts, environ=environ),
        "memory": Parts(endpoint=USAGE, key=LIMITS),
        "redis": Parts(endpoint=USAGE, key=LIMITS, server=limits, environ=environ),
        "metrics": Parts(server=metrics),
        "traces": Parts(routes=traces),
        "all": Parts(USAGE, traces, "", accounts + limits + metrics, environ),
    }


@contextmanager
def servers(folder: Path) -> Iterator[Servers]:
    """An empty store of accounts in a file, and Redis."""
    port = free_port()
    with ExitStack() as stack:
        stack.enter_context(redis(folder, port, machine.pinned(machine.LOAD, [])))
        yield Servers(*stack.enter_context(store(folder)), port)


def _bearer(key: str) -> Mapping[str, str]:
    return {"authorization": f"Bearer {key}"}


def everything(peer: Peer, seconds: int) -> Figures:
    """CPU of the gateway for a request with each part, and of Redis with all."""
    system("redis-server")
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as name, servers(Path(name)) as found:
        with found.database.write() as connection:
            account = create_account(connection, "bench", CLI).id
            keys = {
                "accounts": create_key(connection, account, name="free", actor=CLI)[1],
                "all": create_key(connection, account, name="bench", actor=CLI, limits=OF_KEY)[1],
            }
        for part, on in parts(found).items():
            key = keys.get(part)
            who = peer if key is None else replace(peer, headers=_bearer(key))
            with ready(who, Setting(parts=on)) as running:
                before = cpu_seconds(found.redis_port)
                cpu, rate = saturate(running, "/v1/embeddings", SMALL, 64, seconds)
                figures[f"cpu_us_{part}"] = cpu
                used = cpu_seconds(found.redis_port) - before
                figures["redis_us"] = used * 1e6 / (rate * (SETTLING + seconds))
    figures["cpu_us"] = figures["cpu_us_all"]
    return figures
