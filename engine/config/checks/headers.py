"""Typos around a credential in a header: text beside it is sent with it."""

import re
from collections.abc import Iterator

from engine.config.checks.registry import PROVIDERS, CheckContext, check
from engine.config.diagnostics.diagnostic import Diagnostic, EntryPart
from engine.plan.suggest import distance

_INSERTED = re.compile(r"\{\{.*?\}\}")
# Patterns of a header value with `*` for everything that is inserted, and what is wrong with each.
_TYPOS = {
    re.compile(pattern, re.IGNORECASE): words
    for pattern, words in (
        (r"(?:proxy-)?authorization\s*[:=]", "repeats the name of the header in its value"),
        (r"(?:bearer|basic|token|apikey|api-key|bot)\*", "has no space after the scheme"),
        (r"[\"'`].*\*|.*[^=:]\s?[\"'`]\*", "has quotes, which are sent with the credential"),
        (r"(?:bearer|basic)\s*[^\sa-z*$#%]", "has a character after the scheme where only a space belongs"),
        (r"(?:bearer|basic|token)\s+(?:bearer|basic|token)\s", "has a scheme twice"),
        (r"[^=(\[{]*\*[}\]),;]$", "has a character after `}}`, which is sent with the credential"),
    )
}  # fmt: skip
_RIGHT = 'write it as `"Bearer {{ credentials.NAME }}"` or `"{{ credentials.NAME }}"`, as the provider requires'
_LONG_NAMES = ("authorization", "x-goog-api-key")  # other names are a letter away from real ones
_TYPO = 2  # letters


@check("X271")
def header_typos(context: CheckContext) -> Iterator[Diagnostic]:
    """The headers that carry a credential, with something wrong in their value or name."""
    for provider in context.config.providers:
        for name, text in provider.headers.items():
            path = (*provider.at, "headers", name)
            template = context.templates.get(path)
            if template is None or not any(used[0] == "credentials" for used in template.names):
                continue
            where = f"`headers.{name}` of provider `{provider.name}`"
            if problem := header_problem(text):
                message = f"{where} {problem}"
                yield context.at("X271", message, PROVIDERS, path, EntryPart.VALUE, help=_RIGHT)
            if intended := _intended(name):
                message = f"{where} carries a credential, and its name is almost `{intended}`"
                yield context.at("X271", message, PROVIDERS, path, help=f"write `{intended}`")


def _intended(name: str) -> str | None:
    """The header that `name` is a typo of, if it is one."""
    alike = (
        known
        for known in _LONG_NAMES
        if known.count("-") == name.count("-") and abs(len(known) - len(name)) <= _TYPO
    )
    return next(
        (known for known in alike if known != name and distance(name, known) <= _TYPO), None
    )


def header_problem(text: str) -> str:
    """What is wrong around the credential that `text` inserts, "" when nothing is."""
    bare = _INSERTED.sub("*", text)
    return next((words for pattern, words in _TYPOS.items() if pattern.match(bare)), "")
