"""What a worker knows of the store: a real database, the thread, and an event loop."""

import asyncio
import os
import re
import shutil
import string
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from engine.accounts import accounts as stored
from engine.accounts import reader
from engine.accounts.accounts import limit_account
from engine.accounts.audit import CLI
from engine.accounts.database import Database, open_database
from engine.accounts.errors import StoreUnavailableError
from engine.accounts.follower import MAX_WAITING, KeyFollower
from engine.accounts.key_limits import KeyLimits
from engine.accounts.keys import create_key, revoke_key, rotate_key, update_key
from engine.accounts.provider_keys import DamagedSecret, delete_provider_key, save_provider_key
from engine.accounts.reader import StoreChanges, StoreReader
from engine.accounts.vault import Vault
from engine.plan.limits import CallerLimits, Rate
from engine.plan.plan import Names
from engine.server.hooks.limits import scopes_of
from tests.unit.accounts.vault_keys import vault_key

MIB = 1024 * 1024
SECONDS = 10.0


class CountingReader(StoreReader):
    """Keeps how many keys each reading was asked for; hangs while `may_read` is not set."""

    def __init__(self, database: Database, vault: Vault) -> None:
        super().__init__(database, vault)
        self.asked: list[int] = []
        self.may_read = threading.Event()
        self.may_read.set()

    def read(self, digests: Collection[bytes]) -> StoreChanges:
        self.asked.append(len(digests))
        self.may_read.wait()
        return super().read(digests)


class Following:
    """A follower of `database`, and what it reported."""

    def __init__(self, database: Database, vault: Vault) -> None:
        self.database, self.vault = database, vault
        self.reports: list[str | None] = []
        self.reader = CountingReader(database, vault)
        self.damage: list[DamagedSecret] = []
        self.follower = KeyFollower(self.reader, MIB, self.reports.append, self.damage.append)
        with database.write() as connection:
            self.account_id = stored.create_account(connection, "ours", CLI).id

    def new_key(self, **settings: object) -> tuple[str, bytes]:
        with self.database.write() as connection:
            key, words = create_key(connection, self.account_id, name="k", actor=CLI, **settings)  # type: ignore[arg-type]
        return key.id, sha256(words.encode()).digest()

    def write(self, change: Callable[..., object], *arguments: object, **named: object) -> None:
        with self.database.write() as connection:
            change(connection, *arguments, **named)

    async def known(self, digest: bytes) -> bool:
        return bool(await self.follower.search([digest]))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 there is no event for it
            await asyncio.sleep(0.01)


@asynccontextmanager
async def started(following: Following) -> AsyncIterator[Following]:
    following.follower.start()
    try:
        yield following
    finally:
        following.follower.stop()


@pytest.fixture
def following(database: Database, vault: Vault) -> Following:
    return Following(database, vault)


def run(following: Following, scenario: Callable[[Following], Awaitable[None]]) -> None:
    async def main() -> None:
        async with asyncio.timeout(30), started(following):
            await scenario(following)

    asyncio.run(main())


def test_keys_of_the_start_are_read_ahead_and_new_ones_are_found_at_once(
    following: Following,
) -> None:
    _, old = following.new_key()

    async def scenario(f: Following) -> None:
        await until(lambda: f.follower.table.get(old) is not None)
        _, new = f.new_key()
        assert await f.known(new)
        assert not await f.known(sha256(b"nobody's").digest())

    run(following, scenario)
    assert following.reports == []


def test_keys_are_read_ahead_anew_when_nothing_known_holds(
    following: Following, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each of them would be searched for at its next use."""
    _, old = following.new_key()

    async def scenario(f: Following) -> None:
        table = f.follower.table
        await until(lambda: table.get(old) is not None)
        monkeypatch.setattr(reader, "MAX_CHANGES", 0)
        _, new = f.new_key()
        await until(lambda: None not in (table.get(old), table.get(new)))

    run(following, scenario)


def test_every_change_of_a_known_key_arrives(following: Following) -> None:
    key_id, digest = following.new_key()

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        f.write(
            update_key, f.account_id, key_id, name="k", models=["gpt-*"], endpoints=["embeddings"],
            expires_at=None, actor=CLI,
        )  # fmt: skip
        table = f.follower.table
        await until(lambda: (table.get(digest) or NOBODY).model_prefixes == ("gpt-",))
        caller = table.get(digest)
        assert caller is not None
        assert caller.endpoints == frozenset({"embeddings"})
        f.write(rotate_key, f.account_id, key_id, 3600, CLI)
        await until(lambda: ((table.get(digest) or NOBODY).expires or 0) < 1e12)
        f.write(revoke_key, f.account_id, key_id, CLI)
        await until(lambda: table.get(digest) is None)
        assert not await f.known(digest)

    run(following, scenario)


class NOBODY:
    """In place of a key that is gone."""

    model_prefixes = ()
    expires = 1e13


def test_provider_keys_come_and_go_with_every_key_of_the_account(following: Following) -> None:
    digests = [following.new_key()[1] for _ in range(3)]

    async def scenario(f: Following) -> None:
        table = f.follower.table

        def credentials() -> list[object]:
            callers = [table.get(digest) for digest in digests]
            return [c.account.credentials for c in callers if c and c.account]

        assert all([await f.known(digest) for digest in digests])
        for value in ("sk-first", "sk-second"):
            f.write(save_provider_key, f.vault, f.account_id, "openai", {"api_key": value}, CLI)
            wanted = [{"openai": {"api_key": value}}] * 3
            await until(lambda wanted=wanted: credentials() == wanted)  # type: ignore[misc]
        f.write(delete_provider_key, f.account_id, "openai", CLI)
        await until(lambda: credentials() == [{}] * 3)
        f.write(stored.set_account_disabled, f.account_id, CLI, is_disabled=True)
        await until(lambda: credentials() == [])
        assert not await f.known(digests[0])
        f.write(stored.set_account_disabled, f.account_id, CLI, is_disabled=False)
        await until(lambda: f.follower.table.get(digests[0]) is not None or not f.follower._absent)
        assert await f.known(digests[0])

    run(following, scenario)


def test_a_key_that_only_manages_may_use_no_endpoint(following: Following) -> None:
    _, digest = following.new_key(scopes=["manage"])

    async def scenario(f: Following) -> None:
        caller = (await f.follower.search([digest]))[digest]
        assert caller.endpoints == frozenset()

    run(following, scenario)


def test_many_searches_are_few_queries_and_too_many_are_refused(following: Following) -> None:
    digests = [sha256(str(n).encode()).digest() for n in range(MAX_WAITING)]

    async def scenario(f: Following) -> None:
        searches = [asyncio.ensure_future(f.known(digest)) for digest in digests]
        await asyncio.sleep(0)
        with pytest.raises(StoreUnavailableError):
            await f.known(sha256(b"one too many").digest())
        assert not any(await asyncio.gather(*searches))

    run(following, scenario)
    assert sum(following.reader.asked) == MAX_WAITING
    queries = len([asked for asked in following.reader.asked if asked])
    assert queries < MAX_WAITING / 20  # two, or some more where a thread starts while others come


def test_a_cancelled_search_leaves_nothing_behind(following: Following) -> None:
    async def scenario(f: Following) -> None:
        digest = sha256(b"nobody's").digest()
        search = asyncio.ensure_future(f.known(digest))
        other = asyncio.ensure_future(f.known(digest))
        await asyncio.sleep(0)
        search.cancel()
        assert not await other
        assert f.follower._waiting == {}
        assert f.follower._waiters == 0

    run(following, scenario)


def test_a_key_of_an_account_goes_by_no_name_of_the_configuration(following: Following) -> None:
    """Whatever people call it: the operator's `callers:` are exact names, or starts of names."""
    _, digest = following.new_key()
    name_of = re.compile(r"[A-Za-z0-9._-]+")  # of a key of keys.yaml

    async def scenario(f: Following) -> None:
        name = (await f.follower.search([digest]))[digest].name
        assert not name_of.match(name)
        assert name not in Names(frozenset({"k"}), tuple(string.printable.replace("@", "")))

    run(following, scenario)


def test_a_database_that_hangs_is_down_after_a_moment(following: Following) -> None:
    key_id, digest = following.new_key()
    nobodys = sha256(b"nobody's").digest()

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        f.reader.may_read.clear()
        with pytest.raises(StoreUnavailableError, match="in time"):
            await f.known(nobodys)
        await until(lambda: len(f.reports) == 1)
        with pytest.raises(StoreUnavailableError, match="cannot be read"):
            await f.known(nobodys)
        assert f.follower.table.get(digest) is not None
        f.write(revoke_key, f.account_id, key_id, CLI)
        f.reader.may_read.set()
        await until(lambda: f.reports[1:] == [None])
        await until(lambda: f.follower.table.get(digest) is None)
        assert not await f.known(nobodys)

    try:
        run(following, scenario)
    finally:
        following.reader.may_read.set()


ONLY_FILES = pytest.mark.skipif(
    bool(os.environ.get("ORQEN_TEST_DATABASE")), reason="about the file of SQLite"
)


@ONLY_FILES
def test_known_keys_go_on_without_the_database_and_everything_comes_back_with_it(
    following: Following, tmp_path: Path
) -> None:
    key_id, digest = following.new_key()
    _, other = following.new_key()
    file, away = tmp_path / "store.db", tmp_path / "away.db"

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        file.rename(away)
        await until(lambda: f.follower._is_down)
        assert f.follower.table.get(digest) is not None
        with pytest.raises(StoreUnavailableError):
            await f.known(sha256(b"nobody's").digest())
        away.rename(file)
        await until(lambda: not f.follower._is_down)
        assert await f.known(other)
        f.write(revoke_key, f.account_id, key_id, CLI)
        await until(lambda: f.follower.table.get(digest) is None)
        assert len(f.reports) == 2
        assert f.reports[1] is None

    run(following, scenario)


@ONLY_FILES
def test_a_file_that_was_replaced_is_a_store_that_is_away(
    following: Following, tmp_path: Path
) -> None:
    """Keys that are known go on, and it says what to do."""
    _, digest = following.new_key()

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        shutil.copyfile(tmp_path / "store.db", tmp_path / "other.db")
        (tmp_path / "other.db").replace(tmp_path / "store.db")
        await until(lambda: bool(f.reports))
        assert "start the server again" in str(f.reports)
        assert f.follower.table.get(digest)

    run(following, scenario)


def test_a_value_of_a_newer_vault_key_is_reported_once(following: Following) -> None:
    """`engine vault rotate` ran with a key that this server has not read yet."""
    _, digest = following.new_key()
    newer = Vault([vault_key()])

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        for _ in range(3):
            f.write(save_provider_key, newer, f.account_id, "openai", {"api_key": "sk-1"}, CLI)
            await until(lambda: f.follower.table.get(digest).account.credentials == {"openai": {}})  # type: ignore[union-attr]
            f.write(save_provider_key, f.vault, f.account_id, "openai", {"api_key": "sk-1"}, CLI)
            await until(lambda: f.follower.table.get(digest).account.credentials != {"openai": {}})  # type: ignore[union-attr]
        assert [(d.account_id, d.provider, d.field) for d in f.damage] == [
            (f.account_id, "openai", "api_key")
        ]
        assert newer.primary_key_id in f.damage[0].reason

    run(following, scenario)


def test_limits_of_an_account_reach_the_callers_that_are_known(following: Following) -> None:
    _, digest = following.new_key()

    async def scenario(f: Following) -> None:
        assert await f.known(digest)
        assert f.follower.table.get(digest).account.limits is None  # type: ignore[union-attr]
        f.write(limit_account, f.account_id, KeyLimits(rate_limit_rpm=7), CLI)
        limits = CallerLimits(requests=Rate(7, 60))
        await until(lambda: f.follower.table.get(digest).account.limits == limits)  # type: ignore[union-attr]
        caller = f.follower.table.get(digest)
        assert caller is not None
        assert scopes_of(caller, ("m",)) == ((f"@{f.account_id}", limits),)

    run(following, scenario)


def test_a_key_without_a_rate_of_its_own_has_the_default_one(following: Following) -> None:
    _, own = following.new_key(limits=KeyLimits(7))
    _, budget = following.new_key(limits=KeyLimits(daily_token_budget=5))
    _, none = following.new_key()
    reader = StoreReader(following.database, following.vault, 60)
    found = reader.read([own, budget, none]).found
    limits = [found[digest].limits for digest in (own, budget, none)]
    assert limits == [
        KeyLimits(7).caller_limits(),
        KeyLimits(60, 5).caller_limits(),
        KeyLimits(60).caller_limits(is_default=True),
    ]


def test_a_database_without_tables_is_down_and_not_fatal(url: str, vault: Vault) -> None:
    database = open_database(url)
    reports: list[str | None] = []
    follower = KeyFollower(StoreReader(database, vault), MIB, reports.append)

    async def main() -> None:
        follower.start()
        await until(lambda: bool(reports))
        with pytest.raises(StoreUnavailableError):
            await follower.search([sha256(b"nobody's").digest()])
        database.upgrade()
        await until(lambda: len(reports) == 2)
        follower.stop()

    asyncio.run(main())
    database.close()
    assert reports[0] is not None
    assert reports[1] is None
