"""What is shown of a configured value that may be a secret."""

import re

from engine.config.source.secret_shapes import SECRET

MASK = "***"
_KEY = re.compile(r"\b(?:sk|pk|rk|gsk|hf|ghp|AKIA|AIza|eyJ)[-_A-Za-z0-9.]{12,}")
_REVEALING = re.compile(r"auth|key|token|secret|cookie|password", re.IGNORECASE)


def masked(name: str, text: str) -> str:
    """`text` of the header, variable or parameter `name`, without anything that may be a secret.

    A template only names its credential and is shown; a literal under a name that suggests a secret is not.
    """
    if _REVEALING.search(name) and "{{" not in text:
        return MASK
    return SECRET.sub(MASK, text)


def masked_text(text: str) -> str:
    """`text` without keys of a well-known shape."""
    return _KEY.sub(MASK, text)


def masked_url(url: str) -> str:
    """`url` without keys of a well-known shape, and without parameters that may be secrets."""
    path, mark, query = url.partition("?")
    pairs = (pair.partition("=") for pair in query.split("&"))
    return masked_text(path) + mark + "&".join(f"{n}{m}{masked(n, v)}" for n, m, v in pairs)
