"""Quotes in a plain value that YAML reads as part of the text."""

import re
from dataclasses import dataclass

CURLY = set("\u201c\u201d\u201e\u201f\u2018\u2019\u201a\u201b\xab\xbb")
# A last quote that is the only one, and no apostrophe.
_LONE = re.compile("[^\"]+\"|[^']*[^'A-Za-z]'|[^' ]+'")


@dataclass(frozen=True, slots=True)
class StrayQuote:
    """A quote of a plain value that YAML reads as text; `missing` is what would open it."""

    code: str
    words: str
    fix_hint: str
    missing: str = ""


def odd_quote(text: str) -> StrayQuote | None:
    """What is odd about the quotes of a plain value, if anything is."""
    if text[:1] in CURLY:
        words = "the quotes around this are typographic ones, which are part of the text"
        return StrayQuote("Y009", words, "write \" or ' instead")
    if text[-1:] in ("'", '"') and _LONE.fullmatch(text):
        words = (
            f"this ends with a {text[-1]} and does not begin with one, so it is part of the text"
        )
        return StrayQuote("Y010", words, "add the first quote, or remove the last", text[-1])
    return None
