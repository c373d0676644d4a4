"""Toy implementations of each hook, on a Gateway in this process with a provider behind a socket."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, time
from types import SimpleNamespace
from typing import Any

import pytest

from engine.config.load import load
from engine.gateway import app
from engine.gateway.access_log import AccessLog
from engine.gateway.app import Gateway
from engine.gateway.errors import GatewayError
from engine.gateway.hooks import HOOK_SECONDS, Hooks
from engine.gateway.inbound.head import Scope
from engine.gateway.inbound.payload import RequestBody
from engine.gateway.outbound.account_keys import with_credentials
from engine.gateway.record import Record
from engine.gateway.record import lines as record_lines
from engine.plan.plan import Account, Caller, CredentialSet, Endpoint, Header, Plan, Provider
from engine.upstream import Pairs
from engine.upstream.http1.pool import Http1Client

ROUTES = """
version: 1
endpoints: {talk: {path: /talk, last_events: ["[DONE]"]}}
models:
  - {prefix: m-, provider: one}
  - {prefix: two-, targets: [{provider: keyless}, {provider: one}]}
"""
PROVIDERS = """
version: 1
providers:
  one: {base_url: "http://127.0.0.1:PORT", credentials: {key: {env: OPERATOR_KEY}}, REST}
  keyless: {base_url: "http://127.0.0.1:PORT", credentials: {key: {env: NOT_SET}}, REST}
"""
REST = """caller_credentials: {headers: {x-own-key: key}},
    headers: {x-key: "{{ credentials.key }}"}, endpoints: {talk: /talk}"""
ALICE, BOB, CAROL = (Caller(name, None, None, (), None) for name in ("alice", "bob", "carol"))
Message = dict[str, Any]


@dataclass
class Upstream:
    """Keeps the x-key of each request; `silent` requests get no response."""

    keys: list[str] = field(default_factory=list)
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    serving: set[asyncio.Task[Any] | None] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.serving.add(asyncio.current_task())
        with closing(writer), suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                lines = dict(line.split(": ", 1) for line in head.splitlines()[1:] if line)
                body = await reader.readexactly(int(lines["content-length"]))
                self.keys.append(lines["x-key"])
                self.arrived.set()
                if b"silent" in body:
                    await reader.read()
                    break
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nx-left: 9\r\n\r\n{}")
        with suppress(ConnectionError):
            await writer.wait_closed()


@dataclass
class Stand:
    """A Gateway with its hooks, and what came of its requests."""

    gateway: Gateway
    upstream: Upstream
    callers: dict[bytes, Caller]
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)  # of the last response

    async def ask(
        self,
        model: str = "m-1",
        who: Caller = ALICE,
        leave: asyncio.Event | None = None,
        *,
        is_declared: bool = True,
        **own: str,
    ) -> int:
        """The status of the response; a caller leaves when `leave` is set."""
        body = json.dumps({"model": model}).encode()
        headers = [
            (b"host", b"gateway"),
            (b"content-type", b"application/json"),
            (b"authorization", b"Bearer " + who.name.encode()),
            *([(b"content-length", b"%d" % len(body))] if is_declared else ()),
            *((name.replace("_", "-").encode(), value.encode()) for name, value in own.items()),
        ]
        scope = {
            "method": "POST",
            "raw_path": b"/talk",
            "query_string": b"",
            "http_version": "1.1",
            "headers": headers,
        }
        messages = [{"type": "http.request", "body": body, "more_body": False}]
        sent: list[Message] = []

        async def receive() -> Message:
            if messages:
                return messages.pop()
            await (leave or asyncio.Event()).wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        await self.gateway(scope, receive, send)
        self.headers = sent[0]["headers"] if sent else []
        return sent[0]["status"] if sent else 0


def planned(port: int, callers: Mapping[bytes, Caller]) -> Plan:
    with TemporaryDirectory() as folder:
        (Path(folder) / "routes.yaml").write_text(ROUTES)
        (Path(folder) / "providers.yaml").write_text(
            PROVIDERS.replace("PORT", str(port)).replace("REST", REST)
        )
        loaded = load(Path(folder), {"OPERATOR_KEY": "operators"}, time())
    assert loaded.plan is not None, loaded
    return replace(loaded.plan, callers=callers)


@asynccontextmanager
async def standing(hooks: Hooks, tmp: Path) -> AsyncIterator[Stand]:
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0)
    callers = {sha256(who.name.encode()).digest(): who for who in (ALICE, BOB)}  # not CAROL
    plan = planned(server.sockets[0].getsockname()[1], callers)
    with (tmp / "log").open("w") as stream:
        log = AccessLog(stream)
        gateway = Gateway(plan, {"http1": Http1Client()}, log, lambda: False, hooks)
        try:
            yield Stand(gateway, upstream, callers)
        finally:
            await gateway.close()
            log.close()
            server.close()
            await asyncio.gather(*filter(None, upstream.serving))


def run(hooks: Hooks, tmp: Path, scenario: Callable[[Stand], Awaitable[None]]) -> list[Any]:
    """Play `scenario` and return the lines of the access log."""

    async def main() -> None:
        async with standing(hooks, tmp) as stand, asyncio.timeout(60):
            await scenario(stand)

    asyncio.run(main())
    return (tmp / "log").read_text().splitlines()


# -- admission -------------------------------------------------------------------------------------


class Counting:
    """A toy limit: at most `most` requests at once. It is its own permit."""

    replaces: tuple[bytes, ...] = ()

    def __init__(self, most: int = 1) -> None:
        self.most = most
        self.headers: Pairs = [(b"x-own", b"1")]
        self.asked: list[tuple[str, str, str, int | None]] = []
        self.settled: list[Record] = []
        self.held = 0

    async def admit(
        self, caller: Caller, endpoint: Endpoint, model: str, body: RequestBody, size: int | None
    ) -> "Counting":
        del body
        self.asked.append((caller.name, endpoint.name, model, size))
        await asyncio.sleep(0)
        if model == "m-bug":
            raise LookupError
        if self.held >= self.most:
            raise GatewayError("overloaded", "too many")
        self.held += 1
        return self

    def settle(self, record: Record) -> None:
        self.held -= 1
        self.settled.append(record)


def test_a_request_is_admitted_before_it_is_sent_and_settled_after(tmp_path: Path) -> None:
    limit = Counting()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 200
        assert limit.asked == [("alice", "talk", "m-1", len('{"model": "m-1"}'))]
        limit.most = 0
        assert await stand.ask() == 503
        assert stand.upstream.keys == ["operators"], "what is refused is not sent"

    run(Hooks(admission=limit), tmp_path, scenario)
    assert [(r.outcome, r.status, r.model) for r in limit.settled] == [("ok", 200, "m-1")]


def test_the_headers_of_a_permit_are_sent_and_replace_those_of_the_provider(tmp_path: Path) -> None:
    limit = Counting()

    async def scenario(stand: Stand) -> None:
        await stand.ask()
        assert {(b"x-own", b"1"), (b"x-left", b"9")} <= set(stand.headers)
        limit.replaces = (b"x-left",)
        await stand.ask()
        assert (b"x-own", b"1") in stand.headers
        assert b"x-left" not in dict(stand.headers)

    run(Hooks(admission=limit), tmp_path, scenario)


def test_a_model_that_a_key_may_not_use_is_recorded_and_not_admitted(tmp_path: Path) -> None:
    sink, limit = Recording(), Counting()

    async def scenario(stand: Stand) -> None:
        stand.callers[sha256(b"bob").digest()] = replace(BOB, models=frozenset({"m-2"}))
        assert await stand.ask(who=BOB) == 403

    run(Hooks(admission=limit, sinks=(sink,)), tmp_path, scenario)
    assert limit.asked == []
    assert [(r.error, r.model) for r in sink.records] == [("not_allowed", "m-1")]


def test_the_size_of_a_body_that_was_read_is_known_though_nobody_declared_it(
    tmp_path: Path,
) -> None:
    limit = Counting()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask(is_declared=False) == 200

    run(Hooks(admission=limit), tmp_path, scenario)
    assert limit.asked == [("alice", "talk", "m-1", len('{"model": "m-1"}'))]


def test_a_bug_of_the_admission_lets_nothing_through(tmp_path: Path) -> None:
    limit = Counting()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask("m-bug") == 500
        assert stand.upstream.keys == []

    run(Hooks(admission=limit), tmp_path, scenario)
    assert limit.settled == []


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        ("leaves", "client_cancelled"),
        ("aborts", "server_cancelled"),
        ("cancels", "server_cancelled"),
        ("unknown", "refused"),
    ],
)
def test_a_permit_is_settled_once_however_the_request_ends(
    tmp_path: Path, end: str, outcome: str
) -> None:
    limit = Counting()

    async def scenario(stand: Stand) -> None:
        leave = asyncio.Event()
        model = "nobody-serves-this" if end == "unknown" else "m-silent"
        asking = asyncio.ensure_future(stand.ask(model, leave=leave))
        if end != "unknown":
            await stand.upstream.arrived.wait()
            assert limit.held == 1
        if end == "leaves":
            leave.set()
        elif end == "aborts":
            stand.gateway.abort_in_flight()
        elif end == "cancels":
            asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
        assert stand.upstream.keys == ["operators"] * (end != "unknown"), "nothing is sent twice"

    run(Hooks(admission=limit), tmp_path, scenario)
    assert limit.held == 0
    assert [record.outcome for record in limit.settled] == [outcome]


def test_a_permit_is_settled_although_the_record_cannot_be_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = Counting()

    def fail(_log: AccessLog, _records: Sequence[Record]) -> None:
        raise LookupError

    async def scenario(stand: Stand) -> None:
        assert [await stand.ask() for _ in range(2)] == [200, 200]

    monkeypatch.setattr(AccessLog, "write", fail)
    lines = run(Hooks(admission=limit), tmp_path, scenario)
    assert (limit.held, len(limit.settled)) == (0, 2)
    found = [re.match(r"engine: a hook failed at the end of req_.* records it may lack: (\d): LookupError", line) for line in lines]  # fmt: skip
    assert sum(int(line[1]) for line in found if line) == 2, (
        lines
    )  # in one batch, or in two on a busy machine


class Hanging:
    """An Admission and a KeySource that never say anything."""

    def __init__(self, expected: int = 1) -> None:
        self.expected = expected
        self.reached = asyncio.Event()
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    async def admit(
        self, caller: Caller, endpoint: Endpoint, model: str, body: RequestBody, size: int | None
    ) -> Counting:
        await self._hang("admit")
        raise AssertionError

    def known(self, digest: bytes) -> Caller | None:
        return None

    def is_current(self, caller: Caller) -> bool:
        raise AssertionError

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        await self._hang("search")
        raise AssertionError

    async def _hang(self, name: str) -> None:
        self.asked.append(name)
        if len(self.asked) == self.expected:
            self.reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled.append(name)


@pytest.mark.parametrize(
    ("made", "asked"),
    [
        (lambda hook: Hooks(admission=hook), ["admit"]),
        (lambda hook: Hooks(keys=hook), ["search"]),
    ],
    ids=["admission", "keys"],
)
def test_a_hook_that_hangs_is_cancelled_and_the_request_gets_a_503(
    tmp_path: Path, made: Callable[[Hanging], Hooks], asked: list[str]
) -> None:
    hook = Hanging(len(asked))

    async def scenario(stand: Stand) -> None:
        who = ALICE if asked == ["admit"] else CAROL
        asking = asyncio.ensure_future(stand.ask("two-1", who=who))
        await hook.reached.wait()
        for seconds in (HOOK_SECONDS - 5, HOOK_SECONDS + 1):
            assert hook.cancelled == []
            for request in tuple(stand.gateway.requests):
                request.tick(monotonic() + seconds)
            await asyncio.sleep(0.01)
        assert await asking == 503
        assert stand.upstream.keys == []

    (line,) = run(made(hook), tmp_path, scenario)
    assert hook.asked == hook.cancelled == asked
    record = json.loads(line)
    assert (record["outcome"], record["error"]) == ("refused", "overloaded")


# -- credentials -----------------------------------------------------------------------------------


class Vault:
    """A toy vault: keys by caller and provider."""

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], tuple[str, ...]] = {}
        self.asked: list[tuple[str, str]] = []

    def find(self, caller: Caller, provider: Provider) -> CredentialSet | None:
        self.asked.append((caller.name, provider.name))
        keys = self.keys.get((caller.name, provider.name))
        if keys is None:
            return None
        variants = (
            replace(provider, missing=(), headers=(Header(b"x-key", key.encode()),)) for key in keys
        )
        return CredentialSet(None, None, tuple(variants), ())


def test_credentials_are_the_callers_own_then_those_found_then_the_operators(
    tmp_path: Path,
) -> None:
    """The same heads again and again, so that each could come out of a cache."""
    vault = Vault()

    async def scenario(stand: Stand) -> None:
        keys = stand.upstream.keys
        for _ in range(2):
            assert await stand.ask() == 200
            assert await stand.ask(x_own_key="own") == 200
        assert keys == ["operators", "own"] * 2
        vault.keys["alice", "one"] = ("hers",)
        keys.clear()
        for _ in range(2):
            assert await stand.ask() == 200
            assert await stand.ask(who=BOB) == 200
            assert await stand.ask(x_own_key="own") == 200
        assert keys == ["hers", "operators", "own"] * 2
        del vault.keys["alice", "one"]
        keys.clear()
        assert await stand.ask() == 200
        assert keys == ["operators"]

    run(Hooks(credentials=vault), tmp_path, scenario)
    assert len(vault.asked) == 2 + 4 + 1, "not for who sends own credentials"


def test_several_credentials_are_used_in_turn(tmp_path: Path) -> None:
    vault = Vault()
    vault.keys["alice", "one"] = ("first", "second")
    kept: list[CredentialSet] = []

    def find(caller: Caller, provider: Provider) -> CredentialSet | None:
        if not kept:
            found = Vault.find(vault, caller, provider)
            assert found is not None
            kept.append(found)
        return kept[0]

    vault.find = find  # type: ignore[method-assign] # a vault that keeps its sets

    async def scenario(stand: Stand) -> None:
        for _ in range(4):
            await stand.ask()
        assert stand.upstream.keys == ["first", "second"] * 2

    run(Hooks(credentials=vault), tmp_path, scenario)


def test_a_target_without_the_operators_credential_is_tried_with_one_that_was_found(
    tmp_path: Path,
) -> None:
    vault = Vault()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask("two-1") == 200
        vault.keys["alice", "keyless"] = ("hers",)
        assert await stand.ask("two-1") == 200
        assert stand.upstream.keys == ["operators", "hers"]

    run(Hooks(credentials=vault), tmp_path, scenario)


# -- sinks -----------------------------------------------------------------------------------------


class Recording:
    """A toy sink."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    def write(self, records: Sequence[Record]) -> None:
        self.records += records


class Broken:
    """A sink with a bug."""

    def write(self, records: Sequence[Record]) -> None:
        raise LookupError(records[0].model)


def test_a_sink_gets_each_record_as_the_log_has_it_and_cannot_change_it(tmp_path: Path) -> None:
    sink = Recording()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 200
        assert await stand.ask("nobody-serves-this") == 404

    lines = run(Hooks(sinks=(sink,)), tmp_path, scenario)
    assert lines == record_lines(sink.records).decode().splitlines()
    assert [record.status for record in sink.records] == [200, 404]
    with pytest.raises(AttributeError):
        sink.records[0].status = 500  # type: ignore[misc] # it is frozen


def test_records_are_handed_out_soon_or_when_there_are_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = Recording()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 200
        assert sink.records == []
        while not sink.records:  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0.001)
        monkeypatch.setattr(app, "TICK_SECONDS", 3600.0)
        monkeypatch.setattr(app, "MAX_FINISHED", 3)
        assert await stand.ask() == 200  # the last tick before an hour is during it, or was before
        before = len(sink.records)
        while len(sink.records) == before:
            assert await stand.ask() == 200
        begun = len(sink.records)
        for _ in range(2):
            assert await stand.ask() == 200
        assert len(sink.records) == begun
        assert await stand.ask() == 200
        assert len(sink.records) == begun + 3
        assert await stand.ask() == 200

    lines = run(Hooks(sinks=(sink,)), tmp_path, scenario)
    assert len(lines) == len(sink.records), "the last ones as the gateway is closed"


class Tracing:
    """A toy tracer, of whose traces nothing is kept."""

    def __init__(self) -> None:
        self.ended: list[Record] = []

    def start(self, scope: Scope) -> Any:
        del scope
        attempt = SimpleNamespace(headers=(), wants_model=False, respond=bool, fail=bool)
        return SimpleNamespace(trace_id="t", start_attempt=lambda *_, **__: attempt)

    def end(self, trace: Any, record: Record) -> None:
        assert trace.trace_id == record.trace_id
        self.ended.append(record)


def test_a_permit_and_a_tracer_get_the_record_at_once(tmp_path: Path) -> None:
    sink, limit, tracer = Recording(), Counting(), Tracing()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 200
        assert len(limit.settled) == len(tracer.ended) == 1
        assert sink.records == []

    run(Hooks(admission=limit, tracer=tracer, sinks=(sink,)), tmp_path, scenario)
    assert limit.settled == tracer.ended == sink.records
    (record,) = sink.records
    assert record.ms_total is not None
    assert record.ms_total > 0, "handed out before its end was noted"


def test_a_tracer_that_fails_ends_the_request_with_500_and_a_record(tmp_path: Path) -> None:
    class Failing(Tracing):
        def start(self, scope: Scope) -> Any:
            raise LookupError

    sink = Recording()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 500

    run(Hooks(tracer=Failing(), sinks=(sink,)), tmp_path, scenario)
    assert [record.error for record in sink.records] == ["internal_error"]


def test_a_sink_that_fails_keeps_no_other_and_no_permit_from_the_record(tmp_path: Path) -> None:
    sink, limit = Recording(), Counting()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask() == 200

    lines = run(Hooks(admission=limit, sinks=(Broken(), sink)), tmp_path, scenario)
    assert len(sink.records) == len(limit.settled) == 1
    assert "LookupError" in lines[1]
    assert "m-1" not in lines[1]


# -- stored keys -----------------------------------------------------------------------------------


class Store:
    """A toy KeySource: what is in `rows` is found by a search, and known from then on."""

    def __init__(self) -> None:
        self.rows: dict[bytes, Caller] = {}
        self.table: dict[bytes, Caller] = {}
        self.searched: list[int] = []
        self.is_down = False

    def add(self, who: Caller, credentials: Mapping[str, Mapping[str, str]]) -> None:
        digest = sha256(who.name.encode()).digest()
        account = Account("account", credentials)
        self.rows[digest] = replace(who, expires=inf, account=account, digest=digest)
        self.table.pop(digest, None)

    def known(self, digest: bytes) -> Caller | None:
        return self.table.get(digest)

    def is_current(self, caller: Caller) -> bool:
        return self.table.get(caller.digest) is caller

    async def search(self, digests: Sequence[bytes]) -> Mapping[bytes, Caller]:
        self.searched.append(len(digests))
        await asyncio.sleep(0)
        if self.is_down:
            raise GatewayError("accounts_unavailable", "the store is down")
        found = {digest: self.rows[digest] for digest in digests if digest in self.rows}
        self.table |= found
        return found

    def find(self, caller: Caller, provider: Provider) -> CredentialSet | None:
        values = caller.account.credentials.get(provider.name) if caller.account else None
        if values is None:
            return None
        return CredentialSet(None, None, (with_credentials(provider, values),), ())


def test_a_stored_key_is_searched_once_and_uses_the_key_of_its_account(tmp_path: Path) -> None:
    store = Store()

    async def scenario(stand: Stand) -> None:
        keys = stand.upstream.keys
        assert await stand.ask(who=CAROL) == 401
        store.add(CAROL, {"one": {"key": "accounts"}})
        for _ in range(3):
            assert await stand.ask(who=CAROL) == 200
            assert await stand.ask() == 200
            assert await stand.ask(who=CAROL, x_own_key="own") == 200
        assert keys == ["accounts", "operators", "own"] * 3
        assert store.searched == [1, 1], "once unknown, once found"
        store.add(CAROL, {"one": {"key": "replaced"}})
        keys.clear()
        assert [await stand.ask(who=CAROL) for _ in range(2)] == [200, 200]
        store.add(CAROL, {})
        assert [await stand.ask(who=CAROL) for _ in range(2)] == [200, 200]
        assert keys == ["replaced"] * 2 + ["operators"] * 2
        store.rows.clear()
        store.table.clear()
        assert await stand.ask(who=CAROL) == 401

    run(Hooks(keys=store, credentials=store), tmp_path, scenario)


def test_known_keys_go_on_while_the_store_is_down_and_unknown_ones_get_a_503(
    tmp_path: Path,
) -> None:
    store = Store()
    store.add(CAROL, {})

    async def scenario(stand: Stand) -> None:
        assert await stand.ask(who=CAROL) == 200
        store.is_down = True
        assert await stand.ask(who=CAROL) == await stand.ask() == 200
        assert await stand.ask(who=replace(CAROL, name="dave")) == 503
        store.is_down = False
        assert await stand.ask(who=replace(CAROL, name="dave")) == 401

    lines = run(Hooks(keys=store, credentials=store), tmp_path, scenario)
    assert json.loads(lines[3])["error"] == "accounts_unavailable"


def test_a_key_of_the_configuration_beside_an_unknown_one_starts_no_search(tmp_path: Path) -> None:
    store = Store()

    async def scenario(stand: Stand) -> None:
        assert await stand.ask(x_api_key="sk-of-another-service") == 200
        assert await stand.ask(x_api_key="bob") == 401, "two holders, and nothing to search"
        assert store.searched == []

    run(Hooks(keys=store), tmp_path, scenario)
