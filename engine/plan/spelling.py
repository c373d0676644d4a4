"""Which names of body fields are one for some reader; see engine/gateway/inbound/spelling.py."""

from unicodedata import normalize

LONGEST = 256  # characters of a name that are compared
_AROUND = "\t\n\v\f\r \x1c\x1d\x1e\x1f\x85\xa0\u200b\u2060\ufeff\"'"
_DOT_ABOVE = "\u0307"  # all that is left of a Turkish capital I beside its i


def fold(name: str, max_length: int = LONGEST) -> str:
    """The same text for all spellings that some reader takes for one name.

    What is longer than `max_length` characters is compared in ASCII alone: to fold it costs a microsecond
    for three letters.
    """
    text = name.partition("\0")[0].strip(_AROUND)[:LONGEST]
    if text.isascii():
        return text.lower()
    if len(text) > max_length:
        return text
    return normalize("NFKC", text.upper()).casefold().replace(_DOT_ABOVE, "")
