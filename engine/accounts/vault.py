"""The vault: encrypts provider keys so that the database alone does not give them away.

Envelope encryption. A secret is encrypted by a random data key of its own, and that by a vault key
from server.yaml; both with AES-256-GCM (NIST SP 800-38D) and 96 random bits of nonce. What is encrypted is bound
to its place (account, provider, field, version) as associated data, so a row that was moved to
another place cannot be decrypted. A new vault key needs no more than the data keys encrypted again.

A whole row that is replaced by an older state of itself is not noticed: its version came with it.
"""

import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from engine.accounts.errors import VaultError
from engine.plan.accounts import VaultKey

NONCE_BYTES = 12
PREVIEW_LENGTH, PREVIEW_MIN = (
    4,
    12,
)  # characters of a preview; and how long a secret must be to have one


@dataclass(frozen=True, slots=True)
class SecretPlace:
    """The place that a secret belongs to."""

    account_id: str
    provider: str
    field: str
    version: int

    def data(self, purpose: bytes) -> bytes:
        """Associated data; each part has its length, so no two places have the same."""
        parts = [self.account_id, self.provider, self.field, str(self.version)]
        encoded = [purpose, *(part.encode() for part in parts)]
        return b"".join(len(part).to_bytes(4) + part for part in encoded)


@dataclass(frozen=True, slots=True)
class Sealed:
    """An encrypted secret, as a row has it."""

    vault_key_id: str
    wrap_nonce: bytes = field(repr=False)
    wrapped_key: bytes = field(repr=False)
    nonce: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)


class Vault:
    """Encrypts with the first of its keys, decrypts with any. For any number of threads."""

    def __init__(self, keys: Sequence[VaultKey]) -> None:
        if not keys:
            raise VaultError("there is no vault key")
        self._primary = keys[0].id
        self._wrapping = {key.id: AESGCM(_derived(key, b"orqen vault wrap")) for key in keys}
        self._fingerprint_key = _derived(keys[0], b"orqen vault fingerprint")

    @property
    def key_ids(self) -> frozenset[str]:
        return frozenset(self._wrapping)

    @property
    def primary_key_id(self) -> str:
        return self._primary

    def seal(self, secret: str, place: SecretPlace) -> Sealed:
        """Encrypt `secret` for its place."""
        data_key, nonce = AESGCM.generate_key(256), os.urandom(NONCE_BYTES)
        ciphertext = AESGCM(data_key).encrypt(nonce, secret.encode(), place.data(b"secret"))
        return self._wrapped(data_key, nonce, ciphertext, place)

    def open(self, sealed: Sealed, place: SecretPlace) -> str:
        """The secret in `sealed`.

        Raises:
            VaultError: its vault key is missing, or it was changed or belongs to another place.
        """
        data_key = self._unwrapped(sealed, place)
        try:
            data = AESGCM(data_key).decrypt(sealed.nonce, sealed.ciphertext, place.data(b"secret"))
        except (InvalidTag, ValueError):
            raise VaultError("a provider key was changed or moved in the database") from None
        return data.decode()

    def rewrap(self, sealed: Sealed, place: SecretPlace) -> Sealed:
        """The same secret under the first vault key.

        Raises:
            VaultError: as `open`.
        """
        return self._wrapped(self._unwrapped(sealed, place), sealed.nonce, sealed.ciphertext, place)

    def fingerprint(self, secret: str) -> str:
        """16 hex digits by which equal secrets are recognized; useless without the first vault key."""
        return hmac.digest(self._fingerprint_key, secret.encode(), hashlib.sha256).hex()[:16]

    def _wrapped(
        self, data_key: bytes, nonce: bytes, ciphertext: bytes, place: SecretPlace
    ) -> Sealed:
        wrap_nonce = os.urandom(NONCE_BYTES)
        cipher = self._wrapping[self._primary]
        wrapped = cipher.encrypt(wrap_nonce, data_key, place.data(b"key"))
        return Sealed(self._primary, wrap_nonce, wrapped, nonce, ciphertext)

    def _unwrapped(self, sealed: Sealed, place: SecretPlace) -> bytes:
        cipher = self._wrapping.get(sealed.vault_key_id)
        if cipher is None:
            raise VaultError(f"the vault key `{sealed.vault_key_id}` is missing in server.yaml")
        try:
            return cipher.decrypt(sealed.wrap_nonce, sealed.wrapped_key, place.data(b"key"))
        except (InvalidTag, ValueError):
            raise VaultError("a provider key was changed or moved in the database") from None


def preview(secret: str) -> str:
    """The last characters of a secret; none of a short one, of which they would be too large a part."""
    return secret[-PREVIEW_LENGTH:] if len(secret) >= PREVIEW_MIN else ""


def _derived(key: VaultKey, purpose: bytes) -> bytes:
    """A key for one purpose (RFC 5869)."""
    return HKDF(SHA256(), 32, salt=None, info=purpose).derive(key.secret)
