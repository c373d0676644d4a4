"""A gateway key of an account, as people see it."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Row

from engine.accounts.key_limits import NO_LIMITS, KeyLimits
from engine.accounts.values import parse


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A key as people see it. None for `models` or `endpoints` means all of them.

    `preview` are its last characters; `replaced_by` is the key that a rotation made in its place.
    """

    id: str
    account_id: str
    name: str
    preview: str
    scopes: tuple[str, ...]
    models: tuple[str, ...] | None
    endpoints: tuple[str, ...] | None
    expires_at: int | None
    created_at: int
    revoked_at: int | None
    replaced_by: str | None
    limits: KeyLimits = NO_LIMITS


def key_of(row: Row[Any]) -> GatewayKey:
    """The key in a row of the store."""
    return GatewayKey(
        id=row.id,
        account_id=row.account_id,
        name=row.name,
        preview=row.preview,
        scopes=cast("tuple[str, ...]", parse(row.scopes)),
        models=parse(row.models),
        endpoints=parse(row.endpoints),
        expires_at=row.expires_at,
        created_at=row.created_at,
        revoked_at=row.revoked_at,
        replaced_by=row.replaced_by,
        limits=KeyLimits.of(row),
    )


def key_settings(key: GatewayKey) -> dict[str, Any]:
    """What the audit log says of a key."""
    names = ("id", "scopes", "models", "endpoints", "expires_at")
    limits = {n: v for n, v in key.limits.columns().items() if v is not None}
    return {name: getattr(key, name) for name in names} | limits
