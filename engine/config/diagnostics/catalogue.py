"""Finding an entry of the catalogue by what a person types: a code, a name, or the start of codes."""

import re

from engine.config.diagnostics.codes import FINDING_KINDS, RETIRED, FindingKind
from engine.plan.suggest import nearest

_PREFIX = re.compile("[A-Z][0-9]{0,2}")


class UnknownFindingError(Exception):
    """A word names no entry; the message offers the nearest."""


def find_kind(word: str) -> FindingKind:
    """The entry whose code or name is `word`, in any case. Raises `UnknownFindingError`."""
    kind = FINDING_KINDS.get(word.upper()) or _by_name().get(word.lower())
    if kind is not None:
        return kind
    if word.upper() in RETIRED:
        raise UnknownFindingError(
            f"`{word.upper()}` is no longer found; a code is never used again"
        )
    hint = nearest(word, [*FINDING_KINDS, *_by_name()])
    offer = f"did you mean `{hint}`?" if hint else "`engine explain --list` has all of them"
    raise UnknownFindingError(f"there is no finding `{word}`; {offer}")


def find_kinds(word: str) -> list[FindingKind]:
    """The entry called `word`, or all whose code starts with it (`X2`). Raises `UnknownFindingError`."""
    start = word.upper()
    if _PREFIX.fullmatch(start):
        kinds = [kind for code, kind in FINDING_KINDS.items() if code.startswith(start)]
        if kinds:
            return kinds
    return [find_kind(word)]


def _by_name() -> dict[str, FindingKind]:
    return {kind.name: kind for kind in FINDING_KINDS.values()}
