"""A gateway key that no file declares."""

from engine.config.model import Key
from engine.plan.gateway_key import digest, new_key

__all__ = ["digest", "new_key", "temporary_key"]


def temporary_key(key: str, name: str) -> Key:
    """An entry for a key that no file declares."""
    return Key(name, (), digest(key), None, None, None, None)
