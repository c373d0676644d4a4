"""Every row of `abuse` is refused as it says, with nothing changed, and nothing told."""

import asyncio
import re
import sqlite3
import time
from collections.abc import Iterable, Iterator

import pytest

from engine.accounts import people, sessions
from engine.accounts.accounts import create_account, set_account_disabled
from engine.accounts.audit import SYSTEM
from engine.accounts.keys import create_key, revoke_key
from engine.accounts.members import Role, create_invite
from engine.accounts.tokens import token_digest
from engine.admin.security import HEADERS
from engine.admin.session import csrf_token
from engine.config.load import Loaded
from tests.integration.admin.in_process.abuse import ROWS, TABLES, Row
from tests.integration.admin.in_process.conftest import PASSWORD_HASH, Furnished, House, open_house
from tests.integration.admin.in_process.listener import call, exchange

DAY = 86400


@pytest.fixture(scope="module")
def attacked(
    furnished: Furnished, shipped_configuration: Loaded, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """A listener for all rows, since none changes anything; `ids` has all that a row can name."""
    made = open_house(furnished, shipped_configuration, tmp_path_factory.mktemp("attacked"))
    _prepare(made)
    yield made
    made.database.close()


@pytest.fixture(scope="module")
def watch(attacked: House) -> Iterator["Watch"]:
    made = Watch(attacked)
    yield made
    made.close()


def _prepare(house: House) -> None:
    ids, keys = house.ids, house.keys
    with house.database.write() as c:
        for name in ("loner", "disabled"):
            person = people.create_person(c, name=name, email=f"{name}@example.com", actor=SYSTEM)
            ids[name] = person.id
        c.exec_driver_sql("UPDATE people SET password_hash = ? WHERE id = ?", (PASSWORD_HASH, ids["disabled"]))  # fmt: skip
        for who in ("operator", "loner", "disabled", *(f"{side}-{role}" for side in ("ours", "theirs") for role in Role)):  # fmt: skip
            session, ids[f"cookie {who}"] = sessions.create_session(c, ids[who])
            ids[f"session {who}"] = session.id
        c.exec_driver_sql(
            "UPDATE sessions SET seen_at = seen_at + 36000"
        )  # so that none is touched
        session, ids["cookie signed-out"] = sessions.create_session(c, ids["ours-owner"])
        sessions.revoke_session(c, ids["ours-owner"], session.id)
        for name, age in (("too-old", 8 * DAY), ("idle", DAY)):
            _, ids[f"cookie {name}"] = sessions.create_session(c, ids["ours-owner"], now=_now() - age)  # fmt: skip
        ids["link used"] = sessions.create_sign_in_link(c, ids["ours-owner"], SYSTEM)
        sessions.use_sign_in_link(c, ids["link used"])
        ids["link old"] = sessions.create_sign_in_link(c, ids["ours-owner"], SYSTEM, now=_now() - DAY)  # fmt: skip
        invite, ids["invite-token theirs"] = create_invite(c, ids["theirs"], "new@example.com", Role.OWNER, SYSTEM)  # fmt: skip
        ids["invite theirs"] = invite.id
        _, ids["invite-token known"] = create_invite(c, ids["ours"], "theirs-owner@example.com", Role.OWNER, SYSTEM)  # fmt: skip
        key, keys["revoked"] = create_key(c, ids["ours"], name="revoked", scopes=("use", "manage"), actor=SYSTEM)  # fmt: skip
        revoke_key(c, ids["ours"], key.id, SYSTEM)
        _, keys["expired"] = create_key(c, ids["ours"], name="expired", actor=SYSTEM, expires_at=int(_now()) - DAY, now=_now() - 2 * DAY)  # fmt: skip
        closed = create_account(c, "closed", SYSTEM)
        _, keys["disabled"] = create_key(c, closed.id, name="closed", actor=SYSTEM)
        set_account_disabled(c, closed.id, SYSTEM, is_disabled=True)
        c.exec_driver_sql("UPDATE people SET is_disabled = 1 WHERE name = 'disabled'")


def _now() -> float:
    return time.time()


def filled(text: str, row: Row, house: House) -> str:
    """`text` with each `<kind name>` replaced; `<csrf>` and `<cookie>` are of the row's session."""

    def value(found: re.Match[str]) -> str:
        kind, name = found[1], found[2] or row.who or ""
        if kind == "id":
            return house.ids[name]
        if kind in ("key", "KEY"):
            return house.keys[name].upper() if kind == "KEY" else house.keys[name]
        if kind == "keydigest":
            return token_digest(house.keys[name]).hex()
        token = house.ids[f"cookie {name}"] if kind in ("csrf", "cookie", "digest") else ""
        if kind == "csrf":
            side, dash, _ = name.partition("-")
            return csrf_token(token, house.ids[side] if dash else None)
        if kind == "digest":
            return token_digest(token).hex()
        return token or house.ids[f"{kind} {name}"]

    return re.sub(r"<([a-zA-Z-]+)(?: ([a-z-]+))?>", value, text)


class Watch:
    """Sees whether anything was committed, which costs less than to read it all; and then what."""

    def __init__(self, house: House) -> None:
        path = house.context.settings.accounts.database.removeprefix("sqlite:///")
        self._house, self._connection = house, sqlite3.connect(path, check_same_thread=False)
        self.version, self.contents = self._version(), contents(house)

    def close(self) -> None:
        self._connection.close()

    def _version(self) -> int:
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def has_changed(self) -> bool:
        """Whether the rows are others than at the last call."""
        if self._version() == self.version:
            return False
        before, self.version, self.contents = self.contents, self._version(), contents(self._house)
        return self.contents != before


def contents(house: House) -> list[object]:
    """All rows of the store."""
    with house.database.read() as c:
        tables = [row[0] for row in c.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]  # fmt: skip
        return [(t, [tuple(r) for r in c.exec_driver_sql(f"SELECT * FROM {t}")]) for t in tables]  # fmt: skip


def test_there_are_200_rows_and_more() -> None:
    assert len(ROWS) > 200
    kinds = {row.why.partition(":")[0] for row in ROWS}
    assert kinds >= {"csrf", "idor", "host", "oversize", "method", "cookie", "key", "json", "role"}


def test_the_watch_notices_a_change(house: House) -> None:
    watch = Watch(house)
    assert call(house.app, "GET", "/v1/account/keys", house.keys["ours-manage"]).status == 200
    assert not watch.has_changed()
    assert (
        call(house.app, "POST", "/v1/keys", house.keys["ours-manage"], {"name": "x"}).status == 201
    )
    assert watch.has_changed()
    watch.close()


@pytest.mark.parametrize("table", TABLES)
def test_each_row_is_refused_and_changes_nothing(attacked: House, watch: Watch, table: str) -> None:
    """One event loop for a table, since a loop and a thread a row cost more than the rows."""
    failed = asyncio.run(_failing(attacked, watch, TABLES[table]))
    assert not failed, "\n".join(failed)


async def _failing(house: House, watch: Watch, rows: Iterable[Row]) -> list[str]:
    failed = []
    for row in rows:
        try:
            await _is_refused(house, watch, row)
        except AssertionError as error:
            failed.append(f"{row.why} {row.method} {row.target}: {error}")
    return failed


async def _is_refused(house: House, watch: Watch, row: Row) -> None:
    headers = [] if row.host is None else [("host", row.host)]
    headers += [(name, filled(value, row, house)) for name, value in row.headers]
    if row.who is not None:
        headers.append(("cookie", f"orqen_session={house.ids[f'cookie {row.who}']}"))
    body = row.body if isinstance(row.body, bytes) else filled(row.body, row, house).encode()
    size = -(-len(body) // row.chunks) or 1
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    target = filled(row.target, row, house)
    reply = await exchange(house.app, row.method, target, headers, chunks, client="192.0.2.1")
    assert reply.status == row.status, reply.body[:300]
    assert not watch.has_changed()
    assert reply.header("set-cookie") is None
    if reply.status == 303:
        assert (reply.header("location") or "").startswith("/signin")
    present = {name for name, _ in reply.headers}
    assert {name.decode() for name, _ in HEADERS} | {"cache-control"} <= present
    text = reply.text.replace(target, "")
    for secret in (*house.keys.values(), "canary"):
        assert secret not in text
