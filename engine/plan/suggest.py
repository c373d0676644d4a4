"""Nearest known word, for "did you mean": shared by diagnostics and by the gateway's own errors."""

import sys
from collections.abc import Iterable


def distance(left: str, right: str, limit: int = sys.maxsize) -> int:
    """Restricted Damerau-Levenshtein distance: insert, delete, replace, swap of neighbours.

    Some number above `limit`, where the distance is above it.
    """
    before: list[int] = []
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, 1):
        older, before, row = before, row, [i]
        for j, b in enumerate(right, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if i > 1 and j > 1 and a == right[j - 2] and left[i - 2] == b:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > limit:
            break
    return max(row[-1], min(row))


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word closest to `word`, or None if none is within a third of its length.

    Case and the choice between `-` and `_` do not count as differences.
    """
    folded = _fold(word)
    best: str | None = None
    least = max(1, len(folded) // 3)  # the distance beyond which a name need not be compared
    for name in known:
        if abs(len(name) - len(folded)) > least:
            continue
        found = distance(folded, _fold(name), least)
        if found < least or (found == least and (best is None or name < best)):
            least, best = found, name
    return best


def _fold(word: str) -> str:
    return word.casefold().replace("-", "_")
