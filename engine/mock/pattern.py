r"""A text that matches a regular expression, for the usual parts of the syntax.

    example("^[A-Z]{2}-\d{3}$")  ->  "AA-000"

Look-arounds and back references are ignored, so a caller has to try the text against the pattern.
"""

import re

_CLASSES = {"d": "0", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a", "b": "", "B": "", "A": ""}
_CLASSES |= {"Z": "", "z": "", "n": "\n", "t": "\t", "r": "\r"}
_HEX = {"x": 2, "u": 4}
_COUNT = re.compile(r"\{(\d+)(?:,\d*)?\}")
_GROUP = re.compile(r"\?(?:P?<\w+>|:|[imsx-]+:)")
_LOOK = re.compile(r"\?<?[=!]")
_ANY = "aA0 -_./:@"
_MAX_LENGTH = 1000


def example(pattern: str) -> str | None:
    """A short text in which `pattern` is found; None where this module knows none."""
    try:
        text, _ = _choices(pattern, 0)
        return text if re.search(pattern, text) else None
    except (re.error, IndexError, ValueError, RecursionError, OverflowError):
        return None


def _choices(of: str, at: int) -> tuple[str, int]:
    """The first of `a|b|c`, and where the group ends."""
    first, at = _sequence(of, at)
    while at < len(of) and of[at] == "|":
        _, at = _sequence(of, at + 1)
    return first, at


def _sequence(of: str, at: int) -> tuple[str, int]:
    text = ""
    while at < len(of) and of[at] not in "|)":
        chunk, at = _atom(of, at)
        times, at = _times(of, at)
        text += chunk * times
        if len(text) > _MAX_LENGTH:
            raise ValueError("too long")
    return text, at


def _times(of: str, at: int) -> tuple[int, int]:
    times = 1
    if found := _COUNT.match(of, at):
        times, at = min(int(found[1]), _MAX_LENGTH), found.end()
    elif at < len(of) and of[at] in "*?+":
        times, at = int(of[at] == "+"), at + 1
    else:
        return 1, at
    return times, at + 1 if at < len(of) and of[at] in "?+" else at


def _atom(of: str, at: int) -> tuple[str, int]:
    match of[at]:
        case "^" | "$":
            return "", at + 1
        case ".":
            return "a", at + 1
        case "\\":
            return _escaped(of, at + 1)
        case "[":
            return _set(of, at + 1)
        case "(":
            return _group(of, at + 1)
    return of[at], at + 1


def _group(of: str, at: int) -> tuple[str, int]:
    passed = _LOOK.match(of, at)
    if found := passed or _GROUP.match(of, at):
        at = found.end()
    text, at = _choices(of, at)
    return "" if passed else text, at + 1


def _escaped(of: str, at: int) -> tuple[str, int]:
    letter = of[at]
    if size := _HEX.get(letter):
        return chr(int(of[at + 1 : at + 1 + size], 16)), at + 1 + size
    if letter in "pP" and of[at + 1 : at + 2] == "{":
        return "a", of.index("}", at) + 1
    return _CLASSES.get(letter, letter), at + 1


def _set(of: str, at: int) -> tuple[str, int]:
    """The first character of a set; of a negated one, the first that it lets in."""
    end = at + 1 + (of[at] == "^")
    while of[end] != "]":
        end += 1 + (of[end] == "\\")
    if of[at] == "^":
        allowed = re.compile(f"[{of[at:end]}]")
        return next(filter(allowed.match, _ANY)), end + 1
    text = _escaped(of, at + 1)[0] if of[at] == "\\" else of[at]
    return text, end + 1
