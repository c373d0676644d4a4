"""Values of the store: ids, times, names, and lists of names as JSON."""

import json
import os
import time
import uuid
from collections.abc import Sequence

from engine.accounts.errors import InvalidValueError

MAX_NAME = 100  # characters
MAX_ENTRIES, MAX_ENTRY = 200, 200  # of a list of models or endpoints; characters of one
SCOPES = ("use", "manage")  # of a gateway key
LAST_SECOND = 253402300799  # the end of the year 9999, the last that `datetime` knows


def new_id() -> str:
    """A UUID of version 7: 48 bits of time in ms, 12 of what is left of it (RFC 9562, 6.2, method 3), then random bits.

    So newer ids are greater, also of two in a millisecond.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    value = milliseconds << 80 | 7 << 76 | (rest * 4096 // 1_000_000) << 64 | 2 << 62
    return str(uuid.UUID(int=value | int.from_bytes(os.urandom(8)) >> 2))


def second(now: float | None = None) -> int:
    """`now`, or the present, in whole seconds since 1970."""
    return int(time.time() if now is None else now)


def checked_text(text: str, field: str, max_length: int = MAX_NAME) -> str:
    """`text` without spaces at its ends.

    Raises:
        InvalidValueError: it is empty, has more than `max_length` characters or one that does not print.
    """
    text = text.strip()
    if not 1 <= len(text) <= max_length:
        raise InvalidValueError(field, f"must have 1 to {max_length} characters")
    if not text.isprintable():
        raise InvalidValueError(field, "must not have control characters")
    return text


def checked_names(names: Sequence[str] | None, field: str) -> tuple[str, ...] | None:
    """Names of models or endpoints, each once; None for all of them.

    Raises:
        InvalidValueError: there are none or too many, or one is unusable.
    """
    if names is None:
        return None
    unique = tuple(dict.fromkeys(checked_text(name, field, MAX_ENTRY) for name in names))
    if not 1 <= len(unique) <= MAX_ENTRIES:
        raise InvalidValueError(field, f"must have 1 to {MAX_ENTRIES} entries")
    return unique


def checked_scopes(scopes: Sequence[str]) -> tuple[str, ...]:
    """The scopes in their order, each once.

    Raises:
        InvalidValueError: there is none, or an unknown one.
    """
    if not scopes or not set(scopes) <= set(SCOPES):
        raise InvalidValueError("scopes", f"must be one or more of {', '.join(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in scopes)


def checked_expiry(expires_at: int | None, now: int) -> int | None:
    if expires_at is not None and not now < expires_at <= LAST_SECOND:
        raise InvalidValueError("expires_at", "must be in the future")
    return expires_at


def dump(names: Sequence[str] | None) -> str | None:
    return None if names is None else json.dumps(list(names), ensure_ascii=True)


def parse(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(json.loads(text))
