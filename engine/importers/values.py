"""What a value of another program's configuration is: a length of time, a number, off, or a secret."""

import math
import re
from typing import Any

from engine.config.source.secret_shapes import has_key, has_random_token, names_secret


def duration(seconds: Any) -> str | None:
    """Seconds as the configuration writes them; None for what is no positive number."""
    try:
        number = float(seconds)
    except (TypeError, ValueError):
        return None
    if not math.isfinite(number) or number < 0.001 or number > 86400 * 30:
        return None
    return f"{int(number)}s" if number == int(number) else f"{max(1, round(number * 1000))}ms"


def number_of(value: Any) -> int | None:
    """A whole number of 0 or more; None for anything else."""
    try:
        return int(value) if not isinstance(value, bool) and float(value) >= 0 else None
    except (TypeError, ValueError, OverflowError):
        return None


def is_unset(value: Any) -> bool:
    """Whether a value asks for nothing."""
    return value is None or value is False or value in ("", [], {})


def is_on(value: Any) -> bool:
    """Whether a value is true, or the text of it."""
    return value is True or (isinstance(value, str) and value.strip().lower() == "true")


def has_credential(text: str) -> bool:
    """Whether a text holds a key, or the password of a URL."""
    return has_key(text) or re.search(r"://[^/\s]*@", text) is not None


def is_secret(name: str, value: Any) -> bool:
    """Whether a value, or one within it, may be a secret."""
    if isinstance(value, dict):
        return any(is_secret(key, inner) for key, inner in value.items())
    if isinstance(value, list):
        return any(is_secret(name, inner) for inner in value)
    return isinstance(value, str) and (
        names_secret(name) or has_key(value) or has_random_token(value)
    )


def attempts_note(number: int) -> str:
    most = "; 5 is the most" if number + 1 > 5 else ""
    return f"attempts: {min(number + 1, 5)}{most}; only what a provider refused or never got is sent again"
