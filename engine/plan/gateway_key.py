"""Gateway keys: `sk-orq-` and 64 hex characters from the system's random source, stored as a digest."""

import hashlib
import secrets

PREFIX = "sk-orq-"


def new_key() -> str:
    """A fresh key; it is shown once and never stored."""
    return PREFIX + secrets.token_hex(32)


def digest(key: str) -> str:
    """What keys.yaml holds: the SHA-256 of the whole key, in hex. 256 random bits need no salt."""
    return hashlib.sha256(key.encode("ascii")).hexdigest()
