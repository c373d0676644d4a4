"""The settings of accounts in server.yaml: their store, its vault, and the admin listener.

Fixed while the server runs; a Plan has nothing of them. Secrets are never in a repr.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum

KEY_BYTES = 32
MIN_VARIETY = 16  # different bytes of a vault key; 32 random ones practically never have fewer
DEFAULT_KEY_CACHE = 64 * 1024 * 1024
DEFAULT_ADMIN_PORT = 8081

# Keys of examples and tests, by the start of their SHA-256: anybody knows them.
_SAMPLES = frozenset(
    {
        "630dcd2966c43366",  # the bytes 0 to 31
        "ae216c2ef5247a37",  # 1 to 32
        "69c55c9002eb8c7a",  # 31 to 0
    }
)


class VaultKeyError(ValueError):
    """A text is no vault key; the message says why and quotes nothing of it."""


class ProviderKeyPolicy(StrEnum):
    """Whose provider keys the requests of an account use, after those sent with the request."""

    ACCOUNT = "account"
    OPERATOR = "operator"
    ACCOUNT_THEN_OPERATOR = "account_then_operator"


@dataclass(frozen=True, slots=True)
class VaultKey:
    """A master key of the vault. `id` is derived from it, so it names the same key wherever it is kept."""

    id: str
    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Accounts:
    """The store of accounts.

    `database` is a URL (`sqlite:////absolute/path` or `postgresql://`) and may hold a password. The
    first of `vault_keys` encrypts, all of them decrypt. `key_cache` is the memory in bytes that a worker uses for
    gateway keys. `default_rate_limit_rpm` is that of keys which have none of their own.
    """

    database: str = field(repr=False)
    vault_keys: tuple[VaultKey, ...]
    provider_keys: ProviderKeyPolicy = ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR
    key_cache: int = DEFAULT_KEY_CACHE
    default_rate_limit_rpm: int | None = None


@dataclass(frozen=True, slots=True)
class Oidc:
    """An OpenID Connect provider for signing in; `name` is what the button says."""

    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    name: str = "single sign-on"


@dataclass(frozen=True, slots=True)
class Admin:
    """The listener of the dashboard and of the account API.

    `public_url` is the origin by which browsers reach it, without a slash at its end; None: http at `host` and `port`.
    """

    host: str = "127.0.0.1"
    port: int = DEFAULT_ADMIN_PORT
    public_url: str | None = None
    oidc: Oidc | None = None


@dataclass(frozen=True, slots=True)
class AccountsSettings:
    """The store and its listener. Without `admin` nothing but the command line manages accounts."""

    accounts: Accounts
    admin: Admin | None


def parse_vault_key(text: str) -> VaultKey:
    """The key in `text`: 32 random bytes as 64 hex digits or as base64, of either alphabet.

    Raises:
        VaultKeyError: it is no such text, or a key that can be guessed.
    """
    secret = _decoded(text.strip())
    if len(secret) != KEY_BYTES:
        raise VaultKeyError("is not 32 bytes as 64 hex digits or base64")
    digest = hashlib.sha256(secret).hexdigest()
    if digest[:16] in _SAMPLES:
        raise VaultKeyError("is a key of an example, which anybody knows")
    if len(set(secret)) < MIN_VARIETY or _is_text(secret):
        raise VaultKeyError("is not random, so it can be guessed")
    return VaultKey(hashlib.sha256(b"orqen vault key id\0" + secret).hexdigest()[:16], secret)


def _decoded(text: str) -> bytes:
    if re.fullmatch(r"[0-9A-Fa-f]{64}", text):
        return bytes.fromhex(text)
    if not re.fullmatch(r"[A-Za-z0-9+/_-]{43}=?", text):
        return b""
    padded = text.rstrip("=").replace("-", "+").replace("_", "/") + "="
    try:
        return base64.b64decode(padded, validate=True)
    except binascii.Error:
        return b""


def _is_text(secret: bytes) -> bool:
    """Whether all of it is visible ASCII: a phrase, not random bytes (once in 10^13 keys)."""
    return all(0x20 <= byte < 0x7F for byte in secret)
