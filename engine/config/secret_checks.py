"""Secrets written into a file, told by their shape alone: a value is never compared or printed."""

import re
from collections.abc import Iterator

from engine.config.checks import Subject
from engine.config.diagnostic import SECRET, Diagnostic, Place
from engine.config.document import Data, Path
from engine.config.schema import describe

# Keys that say what they are. Looser shapes would take the names of models for secrets.
_KEY = re.compile(
    r"\b(?:sk|pk|rk|gsk|hf|ghp|xai)[-_](?:[A-Za-z0-9]+[-_])*[A-Za-z0-9]{16,}"
    r"|\bAKIA[A-Z0-9]{12,}|\bAIza[-_A-Za-z0-9]{30,}|\beyJ[-_A-Za-z0-9]{10,}\.[-_A-Za-z0-9]+"
)
_GUID = re.compile(r"\b[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}\b")
# Where a value goes into a request as it stands, so that anything long and mixed is suspect.
_SENT = {"headers", "default_headers", "variables", "query", "base_url", "sign"}
_NAMES = {"env", "file"}
_USER = re.compile(r"(?<=://)[^\s/?#\"']+@")  # told as a URL that must not have one


def check_secrets(subject: Subject) -> Iterator[Diagnostic]:
    """Every value that looks like a secret, in all files but keys.yaml, which holds digests."""
    return (
        subject.at(
            "X218",
            f"{describe(subject.documents[file].data, path)} looks like a secret",
            file,
            path,
            Place.VALUE,
            help="declare it under `credentials:` as {env: NAME} and use {{ credentials.… }}",
        )
        for file in ("providers.yaml", "routes.yaml")
        if file in subject.documents
        for path, text in _texts(subject.documents[file].data, ())
        if _is_secret(path, text)
    )


def _is_secret(path: Path, text: str) -> bool:
    if not path or path[-1] in _NAMES:
        return False
    if path[0] == "providers" and "caller_credentials" not in path and _SENT & set(path[2:]):
        text = _USER.sub("", text) if path[-1] == "base_url" else text
        return SECRET.search(_GUID.sub("", text)) is not None  # an account's id is no secret
    return _KEY.search(text) is not None


def _texts(data: Data, path: Path) -> Iterator[tuple[Path, str]]:
    match data:
        case str():
            yield path, data
        case dict():
            for key, value in data.items():
                yield from _texts(value, (*path, key))
        case list():
            for index, value in enumerate(data):
                yield from _texts(value, (*path, index))
