"""Slips around a credential in a header: what stands beside it goes up with it."""

import re
from collections.abc import Iterator

from engine.config.checks.registry import CheckContext
from engine.config.diagnostics.diagnostic import Diagnostic, Place
from engine.config.model import Provider
from engine.plan.suggest import distance

_INSERTED = re.compile(r"\{\{.*?\}\}")
# What a header says with `*` in place of all that is inserted, and what is wrong with it then.
_TYPOS = {
    re.compile(pattern, re.IGNORECASE): words
    for pattern, words in (
        (r"(?:proxy-)?authorization\s*[:=]", "repeats the name of the header in its value"),
        (r"(?:bearer|basic|token|apikey|api-key|bot)\*", "has no space behind the scheme"),
        (r"[\"'`].*\*|.*[^=:]\s?[\"'`]\*", "holds quotes, which are sent with the credential"),
        (r"(?:bearer|basic)\s*[^\sa-z*$#%]", "holds a sign behind the scheme, where a space is enough"),
        (r"(?:bearer|basic|token)\s+(?:bearer|basic|token)\s", "holds a scheme twice"),
        (r"[^=(\[{]*\*[}\]),;]$", "holds a sign behind `}}`, which is sent with the credential"),
    )
}  # fmt: skip
_RIGHT = 'write it as `"Bearer {{ credentials.NAME }}"` or `"{{ credentials.NAME }}"`, as the provider wants'
_LONG_NAMES = ("authorization", "x-goog-api-key")  # a letter away from others there are real ones
_TYPO = 2  # letters


def header_typos(context: CheckContext, provider: Provider) -> Iterator[Diagnostic]:
    """The findings about the headers that carry a credential."""
    for name, text in provider.headers.items():
        path = (*provider.at, "headers", name)
        template = context.templates.get(path)
        if template is None or not any(used[0] == "credentials" for used in template.names):
            continue
        if words := header_problem(text):
            message = f"`headers.{name}` of provider `{provider.name}` {words}"
            yield context.at("X271", message, "providers.yaml", path, Place.VALUE, help=_RIGHT)
        if meant := _meant(name):
            message = f"`headers.{name}` of provider `{provider.name}` carries a credential, and its name is almost `{meant}`"
            yield context.at("X271", message, "providers.yaml", path, help=f"write `{meant}`")


def _meant(name: str) -> str | None:
    """The header that `name` is a slip of, if it is one."""
    alike = (known for known in _LONG_NAMES if known.count("-") == name.count("-"))
    return next((known for known in alike if 0 < distance(name, known) <= _TYPO), None)


def header_problem(text: str) -> str:
    """What is wrong around the credential that `text` inserts, "" when nothing is."""
    bare = _INSERTED.sub("*", text)
    return next((words for pattern, words in _TYPOS.items() if pattern.match(bare)), "")
