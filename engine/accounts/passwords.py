"""Passwords: argon2id (RFC 9106), slow on purpose. For threads, of which few hash at the same time."""

import secrets
from functools import cache
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from engine.accounts.errors import InvalidValueError

MIN_PASSWORD, MAX_PASSWORD = 12, 256  # characters
_AT_ONCE = BoundedSemaphore(2)  # each takes 64 MiB and a core for a tenth of a second
_HASHER = PasswordHasher()


def checked_password(password: str) -> str:
    """The password, if it may be one.

    Raises:
        InvalidValueError: it is too short or too long, or one character repeated.
    """
    if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
        raise InvalidValueError(
            "password", f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters"
        )
    if len(set(password)) < MIN_PASSWORD // 3:
        raise InvalidValueError("password", "has too few different characters")
    return password


def hash_password(password: str) -> str:
    """What is stored of a password: a salted hash with its parameters."""
    with _AT_ONCE:
        return _HASHER.hash(_encoded(password))


def is_password_of(password_hash: str | None, password: str) -> bool:
    """Whether it is the password of `password_hash`; takes as long when there is none to compare."""
    with _AT_ONCE:
        try:
            is_right = _HASHER.verify(password_hash or _dummy(), _encoded(password))
        except (VerificationError, InvalidHashError):
            return False
    return is_right and password_hash is not None


def needs_rehash(password_hash: str) -> bool:
    """Whether a hash was made with weaker parameters than those of today."""
    return _HASHER.check_needs_rehash(password_hash)


@cache
def _dummy() -> str:
    return _HASHER.hash(secrets.token_hex(32))


def _encoded(password: str) -> bytes:
    """As UTF-8; what is no text of Unicode hashes too, and matches nothing that is."""
    return password[:MAX_PASSWORD].encode("utf-8", "surrogatepass")
