"""Which texts are vault keys, and that settings do not show their secrets."""

import base64
import os

import pytest

from engine.plan.accounts import (
    Accounts,
    Oidc,
    VaultKeyError,
    parse_vault_key,
)
from tests.tables import each

SECRET = bytes.fromhex("8f3a61c09d52e7b4183fac06d94e7b25c1e8705af29b3d64178eb5c3092fd64a")


@each(
    "text",
    [
        SECRET.hex(),
        SECRET.hex().upper(),
        f"  {SECRET.hex()}\r\n",
        base64.b64encode(SECRET).decode(),
        base64.urlsafe_b64encode(SECRET).decode().rstrip("="),
    ],
)
def test_a_key_is_the_same_however_it_is_written(text: str) -> None:
    assert parse_vault_key(text) == parse_vault_key(SECRET.hex())
    assert parse_vault_key(text).secret == SECRET


@each(
    "text",
    [
        "",
        "secret",
        SECRET.hex()[:-1],
        SECRET.hex() + "00",
        base64.b64encode(SECRET[:31]).decode(),
        "00" * 32,
        "deadbeef" * 8,
        bytes(range(32)).hex(),
        base64.b64encode(b"a passphrase of 32 bytes, made up").decode(),
        base64.b64encode(b"this is a passphrase of 32 bytes").decode(),
    ],
)
def test_a_weak_or_broken_key_is_refused_without_quoting_it(text: str) -> None:
    with pytest.raises(VaultKeyError) as refused:
        parse_vault_key(text)
    assert not text or text not in str(refused.value)


def test_random_keys_are_accepted() -> None:
    keys = [parse_vault_key(os.urandom(32).hex()) for _ in range(500)]
    assert len({key.id for key in keys}) == len(keys)


def test_no_secret_is_in_a_repr() -> None:
    key = parse_vault_key(SECRET.hex())
    shown = repr(Accounts("postgresql://user:hunter2@host/db", (key,)))
    shown += repr(Oidc("https://issuer", "client", "client-secret-value"))
    assert not {word for word in ("hunter2", "client-secret-value", repr(SECRET)) if word in shown}
    assert key.id in shown
