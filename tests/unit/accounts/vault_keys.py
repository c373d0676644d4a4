"""Vault keys that no file holds."""

import secrets

from engine.plan.accounts import VaultKey, parse_vault_key


def vault_key() -> VaultKey:
    return parse_vault_key(secrets.token_hex(32))
