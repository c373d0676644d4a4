"""Gateway keys as the gateway looks them up: by digest, many at once, and only those that are valid; and names by ids."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Select, or_, select

from engine.accounts.key_limits import MAX_COUNTS, NO_LIMITS, KeyLimits
from engine.accounts.tables import accounts, gateway_keys
from engine.accounts.values import parse, second

BATCH = 500  # digests in one statement; SQLite takes 32,766 parameters, older versions 999
_KEYS = gateway_keys.c


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A valid key. None for `models` or `endpoints` means all; a model may end in `*`.

    `expires_at` is checked again at each use, since an entry may be kept.
    """

    digest: bytes
    key_id: str
    account_id: str
    name: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    endpoints: tuple[str, ...] | None
    expires_at: int | None
    limits: KeyLimits = NO_LIMITS


def find_keys(
    connection: Connection, digests: Collection[bytes], now: float | None = None
) -> dict[bytes, KeyEntry]:
    """The valid keys among `digests` (SHA-256, 32 bytes each)."""
    wanted = list(digests)
    batches = (wanted[start : start + BATCH] for start in range(0, len(wanted), BATCH))
    found = (
        entry
        for batch in batches
        for entry in _entries(connection, _valid(now).where(_KEYS.digest.in_(batch)))
    )
    return {entry.digest: entry for entry in found}


def all_keys(
    connection: Connection, limit: int, after: str | None = None, now: float | None = None
) -> list[KeyEntry]:
    """Valid keys, newest first; `after` is the `key_id` of the last one seen."""
    wanted = _valid(now).order_by(_KEYS.id.desc()).limit(limit)
    if after is not None:
        wanted = wanted.where(_KEYS.id < after)
    return list(_entries(connection, wanted))


def key_names(connection: Connection, account_id: str, key_ids: Sequence[str]) -> dict[str, str]:
    """The names of keys of an account by their ids; of unknown ones nothing."""
    names: dict[str, str] = {}
    for start in range(0, len(key_ids), BATCH):
        batch = key_ids[start : start + BATCH]
        wanted = select(_KEYS.id, _KEYS.name).where(_KEYS.account_id == account_id, _KEYS.id.in_(batch))  # fmt: skip
        names.update((row.id, row.name) for row in connection.execute(wanted))
    return names


def _valid(now: float | None) -> Select[Any]:
    columns = (
        _KEYS.digest, _KEYS.id, _KEYS.account_id, _KEYS.name, _KEYS.scopes, _KEYS.models,
        _KEYS.endpoints, _KEYS.expires_at, *(_KEYS[name] for name in MAX_COUNTS),
    )  # fmt: skip
    is_current = or_(_KEYS.expires_at.is_(None), _KEYS.expires_at > second(now))
    where = (_KEYS.revoked_at.is_(None), is_current, accounts.c.is_disabled.is_(False))
    return select(*columns).join_from(gateway_keys, accounts).where(*where)


def _entries(connection: Connection, wanted: Select[Any]) -> Iterable[KeyEntry]:
    return (_entry(row) for row in connection.execute(wanted))


def _entry(row: Any) -> KeyEntry:
    digest, key_id, account_id, name, scopes, models, endpoints, expires_at, *limits = row
    parsed = cast("tuple[str, ...]", parse(scopes))
    return KeyEntry(digest, key_id, account_id, name, parsed, parse(models), parse(endpoints), expires_at, KeyLimits(*limits))  # fmt: skip
