"""Secrets written into a file, recognised by shape and place: a value is never compared or printed."""

import re
from collections.abc import Iterator
from functools import lru_cache

from engine.config.checks.registry import PROVIDERS, ROUTES, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.config.schema.places import describe
from engine.config.source.document import Data, Document, Path
from engine.config.source.secret_shapes import has_key, has_random_token, has_token, names_secret

# Where a value goes into a request as it stands.
_SENT = {"headers", "default_headers", "variables", "query", "base_url", "endpoints", "sign"}
_NAMES = {"env", "file"}
_USER = re.compile(r"(?<=://)[^\s/?#\"']+@")  # reported as a URL with a user
_TEMPLATE = re.compile(r"\{\{.*?\}\}")
_HELP = (
    "declare it under `credentials:` as {env: NAME} and use {{ credentials.… }}; "
    "if it is no secret, add `# engine: ignore[X218] REASON` above the line"
)


@check("X218")
def secret_in_file(context: CheckContext) -> Iterator[Diagnostic]:
    """Every value that looks like a secret, in all files but keys.yaml, which holds digests."""
    return (
        context.at(
            "X218",
            f"{describe(context.documents[file].data, path)} looks like a secret",
            file,
            path,
            EntryPart.VALUE,
            help=_HELP,
        )
        for file in (PROVIDERS, ROUTES)
        if file in context.documents
        for path in secret_paths(context.documents[file])
    )


@lru_cache(maxsize=8)  # as files are
def secret_paths(document: Document) -> tuple[Path, ...]:
    """Where a value of `document` looks like a secret."""
    return tuple(path for path, text in _texts(document.data, ()) if _is_secret(path, text))


def _is_secret(path: Path, text: str) -> bool:
    if not path or path[-1] in _NAMES:
        return False
    text = _TEMPLATE.sub(" ", _USER.sub("", text) if path[-1] in ("base_url", "proxy") else text)
    if has_key(text):
        return True
    if path[0] != "providers" or "caller_credentials" in path or not _SENT & set(path[2:]):
        return False
    if names_secret(_name(path)):
        return has_token(text)
    return "body" not in path and has_random_token(text)


def _name(path: Path) -> str:
    """What the value at `path` is called: a header, a variable, a parameter, a field."""
    if "variables" in path[:-1]:
        return str(path[path.index("variables") + 1])
    return str(path[-1])


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
