"""Finding an entry of the catalogue by what a person types: a code, a name, or the start of codes."""

import re

from engine.config.diagnostics.codes import RETIRED, RULES, FindingKind
from engine.plan.suggest import nearest

_PREFIX = re.compile("[A-Z][0-9]{0,2}")


class UnknownRuleError(Exception):
    """A word names no entry; the message offers the nearest."""


def find_rule(word: str) -> FindingKind:
    """The entry whose code or name is `word`, in any case. Raises `UnknownRuleError`."""
    rule = RULES.get(word.upper()) or _by_name().get(word.lower())
    if rule is not None:
        return rule
    if word.upper() in RETIRED:
        raise UnknownRuleError(f"`{word.upper()}` is no longer found; a code is never used again")
    hint = nearest(word, [*RULES, *_by_name()])
    offer = f"did you mean `{hint}`?" if hint else "`engine explain --list` has all of them"
    raise UnknownRuleError(f"there is no finding `{word}`; {offer}")


def find_rules(word: str) -> list[FindingKind]:
    """The entry called `word`, or all whose code starts with it (`X2`). Raises `UnknownRuleError`."""
    start = word.upper()
    if _PREFIX.fullmatch(start):
        rules = [rule for code, rule in RULES.items() if code.startswith(start)]
        if rules:
            return rules
    return [find_rule(word)]


def _by_name() -> dict[str, FindingKind]:
    return {rule.name: rule for rule in RULES.values()}
