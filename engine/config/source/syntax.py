"""Which line is wrong when a text is not YAML: the one whose repair lets reading continue.

A YAML reader stops where it cannot continue, often lines below the mistake: a quote that is not
closed swallows everything up to the next one. So common mistakes are repaired one at a time near
that place, and the first after which more can be read says what the mistake was and where.
"""

import re
from collections.abc import Callable, Iterator, Sequence

from engine.config.source.repairs import (
    MAX_NEAR,
    NO_SPACE,
    Repair,
    bare,
    brackets,
    dashes,
    indents,
    quotes,
    typos,
)

MAX_AHEAD = 40
MAX_BACK = 400
MAX_TRIED_CHARACTERS = 2_000_000  # read again in all, which bounds the time for a malicious file

_MARKER = re.compile("(?:<{7}|>{7})(?: |$)|={7}$")


def find_marker(lines: Sequence[str]) -> int | None:
    """The first line that version control put around two sides of a conflict."""
    return next((i for i, line in enumerate(lines) if _MARKER.match(line)), None)


def find_repair(
    lines: Sequence[str], stopped: int, opened: int, error_line: Callable[[str], int | None]
) -> Repair | None:
    """The repair that helps, for an error at line `stopped` in something that began at `opened`.

    `error_line` gives the line at which reading a text stops, None when it reads to its end.
    """
    window = list(lines[: stopped + MAX_AHEAD])
    best, furthest, left = None, stopped + 1, MAX_TRIED_CHARACTERS
    for repair in _repairs(window, min(stopped, len(window) - 1), opened):
        text = "\n".join(repair.apply(window))
        left -= len(text)
        if left < 0:
            break
        reached = error_line(text)
        if reached is None:
            return repair
        if repair.words == NO_SPACE and reached > stopped:
            return repair  # the next entry lacks it as well, so that no repair of one line reaches further
        if reached > furthest:
            best, furthest = repair, reached
    return best


def _repairs(lines: list[str], stopped: int, opened: int) -> Iterator[Repair]:
    code = [i for i, line in enumerate(lines[: stopped + 1]) if bare(line)]
    near = code[-3:][::-1]
    for index in [i for i in code if i >= min(opened, stopped - MAX_BACK)]:
        yield from quotes(index, lines[index])
    for index in dict.fromkeys([*([opened] if opened in code else []), *near]):
        yield from brackets(index, lines[index])
    for index in near:
        yield from typos(index, lines[index])
    for index in code[-MAX_NEAR:][::-1]:
        yield from dashes(index, lines)
    yield from indents(lines, code, stopped)
