"""Gateway keys: `sk-orq-` and 64 hex characters from the system's randomness, kept as a digest."""

import hashlib
import json
import secrets

from engine.config.model import Key

PREFIX = "sk-orq-"


def new_key() -> str:
    """A fresh key; it is shown once and never stored."""
    return PREFIX + secrets.token_hex(32)


def digest(key: str) -> str:
    """What keys.yaml holds: the SHA-256 of the whole key, in hex. 256 random bits need no salt."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()


def one_off(key: str, name: str) -> Key:
    """An entry for a key that no file declares."""
    return Key(name, (), digest(key), None, None, None, None)


def with_entry(text: str, name: str, key: str) -> str:
    """The text of keys.yaml with one more entry, everything else as it was."""
    entry = f"  - name: {json.dumps(name)}\n    sha256: {digest(key)}\n"
    if not text.strip():
        return f"version: 1\nkeys:\n{entry}"
    return text + ("" if text.endswith("\n") else "\n") + entry
