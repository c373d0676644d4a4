"""What a worker reads of the store: what has changed, and the keys that it is asked about."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any

from sqlalchemy import Connection, Row, select

from engine.accounts.changes import Changes, ReadPosition, read_changes
from engine.accounts.database import Database
from engine.accounts.key_limits import NO_LIMITS, KeyLimits
from engine.accounts.lookup import KeyEntry, all_keys, find_keys
from engine.accounts.provider_keys import DamagedSecret, read_provider_keys
from engine.accounts.tables import accounts
from engine.accounts.vault import Vault
from engine.plan.plan import Account, Caller

MAX_CHANGES = 5_000  # changes at once, after which it is cheaper to forget everything
PAGE = 250  # keys that are read at once at the start
MAX_DAMAGED = 100
Values = Mapping[str, Mapping[str, Mapping[str, str]]]  # by account, provider and name
_NOTHING: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class StoreChanges:
    """What a reading found, to be applied in its order.

    `keys` has what became of keys that have changed, `accounts` the same of accounts; None is gone.
    `found` has the keys that were asked for, or read ahead. `forget`: nothing known holds any more.
    """

    forget: bool = False
    keys: Mapping[bytes, Caller | None] = field(default_factory=dict)
    accounts: Mapping[str, Account | None] = field(default_factory=dict)
    found: Mapping[bytes, Caller] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.forget or self.keys or self.accounts or self.found)


class StoreReader:
    """Reads one database; for one thread. `default_rpm` are requests in a minute for keys without such a limit."""

    def __init__(self, database: Database, vault: Vault, default_rpm: int | None = None) -> None:
        self._defaults = KeyLimits(default_rpm)
        self._database = database
        self._vault = vault
        self._damaged: set[DamagedSecret] = set()  # what was reported, MAX_DAMAGED at most
        self._new_damage: list[DamagedSecret] = []
        self._position: ReadPosition | None = None
        self._after: str | None = None

    def read(self, digests: Collection[bytes]) -> StoreChanges:
        """What has changed since the last call, and the keys with these digests.

        Raises:
            StoreError: the database cannot be used now; nothing is lost, the next call reads it.
        """
        with self._database.read() as connection:
            is_first = self._position is None
            changes = read_changes(connection, self._position)
            news = self._changed(connection, changes, is_first=is_first)
            found = {**news.found, **self._callers(connection, find_keys(connection, digests))}
        self._position = changes.position
        return StoreChanges(news.forget, news.keys, news.accounts, found)

    def read_ahead(self) -> Mapping[bytes, Caller]:
        """The next PAGE of valid keys, the newest first; nothing after the last.

        Raises:
            StoreError: as `read`.
        """
        with self._database.read() as connection:
            entries = all_keys(connection, PAGE, self._after)
            if not entries:
                return {}
            self._after = entries[-1].key_id
            return self._callers(connection, {entry.digest: entry for entry in entries})

    def restart(self) -> None:
        """Let `read_ahead` begin anew."""
        self._after = None

    def take_damaged(self) -> list[DamagedSecret]:
        """The values that could not be decrypted, each of them once."""
        found, self._new_damage = self._new_damage, []
        return found

    def _note_damage(self, damage: DamagedSecret) -> None:
        if damage not in self._damaged and len(self._damaged) < MAX_DAMAGED:
            self._damaged.add(damage)
            self._new_damage.append(damage)

    def _values(self, connection: Connection, ids: Collection[str]) -> Values:
        return read_provider_keys(connection, self._vault, ids, self._note_damage)

    def _changed(self, connection: Connection, changes: Changes, *, is_first: bool) -> StoreChanges:
        if changes.entries is None or len(changes.entries) > MAX_CHANGES:
            return StoreChanges(forget=not is_first)
        if any(change.account_id is None for change in changes.entries):
            return StoreChanges(forget=True)
        digests = {c.key_digest for c in changes.entries if c.key_digest is not None}
        ids = {c.account_id for c in changes.entries if c.key_digest is None and c.account_id}
        if not digests and not ids:
            return StoreChanges()
        found = self._callers(connection, find_keys(connection, digests))
        states = self._accounts(connection, ids)
        return StoreChanges(
            keys={d: found.get(d) for d in digests}, accounts={i: states.get(i) for i in ids}
        )

    def _callers(
        self, connection: Connection, entries: Mapping[bytes, KeyEntry]
    ) -> dict[bytes, Caller]:
        if not entries:
            return {}
        ids = {entry.account_id for entry in entries.values()}
        values = self._values(connection, ids)
        limits = {row.id: KeyLimits.of(row) for row in self._rows(connection, ids)}
        states = {one: _account(one, values, limits.get(one, NO_LIMITS)) for one in ids}
        return {
            d: caller_of(entry, states[entry.account_id], self._defaults)
            for d, entry in entries.items()
        }

    def _accounts(self, connection: Connection, ids: Collection[str]) -> dict[str, Account]:
        """The accounts whose keys are accepted."""
        found: dict[str, Account] = {}
        for batch in _batches(ids):
            limits = {row.id: KeyLimits.of(row) for row in self._rows(connection, batch)}
            values = self._values(connection, limits)
            found |= {one: _account(one, values, limits[one]) for one in limits}
        return found

    def _rows(self, connection: Connection, ids: Collection[str]) -> Iterator[Row[Any]]:
        """The rows of accounts whose keys are accepted."""
        for batch in _batches(ids):
            wanted = select(accounts).where(
                accounts.c.id.in_(batch), accounts.c.is_disabled.is_(False)
            )
            yield from connection.execute(wanted)


def _account(account_id: str, values: Values, limits: KeyLimits) -> Account:
    return Account(account_id, values.get(account_id, {}), limits.caller_limits())


def caller_of(entry: KeyEntry, account: Account, defaults: KeyLimits = NO_LIMITS) -> Caller:
    """The holder of a key, with `defaults` for limits that it has not. A key that may only manage may use no endpoint.

    Its name cannot be that of a key of keys.yaml, nor fit a pattern of one, whatever people call it.
    """
    models = entry.models
    endpoints = None if entry.endpoints is None else frozenset(entry.endpoints)
    return Caller(
        name=f"@{entry.account_id}/{entry.key_id}",
        endpoints=endpoints if "use" in entry.scopes else _NOTHING,
        models=None if models is None else frozenset(m for m in models if m[-1:] != "*"),
        model_prefixes=tuple(m[:-1] for m in models or () if m[-1:] == "*"),
        expires=inf if entry.expires_at is None else float(entry.expires_at),
        account=account,
        digest=entry.digest,
        limits=defaults.with_changes(entry.limits).caller_limits(
            is_default=entry.limits == NO_LIMITS
        ),
    )


def _batches(ids: Collection[str], size: int = 500) -> Iterator[list[str]]:
    wanted = list(ids)
    return (wanted[start : start + size] for start in range(0, len(wanted), size))
