"""Names of body fields that another reader may take for each other.

Go matches keys in any case, with the Kelvin sign for k and the long s for s; Java has a dotless i
besides; readers in C end a name at a NUL; readers of forms trim names, or decode what is escaped.
"""

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from urllib.parse import unquote

from engine.gateway.errors import GatewayError
from engine.plan.spelling import LONGEST, fold

_INDEX = re.compile(r"\[.*", re.DOTALL)
_SEPARATOR = re.compile(r"[ .]")


def fold_in_form(name: str) -> str:
    """As `fold`, for the name of a form's part: percent signs, brackets and dots mean something."""
    return _SEPARATOR.sub("_", _INDEX.sub("", fold(unquote(name[: 4 * LONGEST]))))


# The three caches are keyed by names of fields that the configuration watches. What a caller sends is
# compared with them and is never a key, so callers can neither fill them nor see each other in them.
@lru_cache(maxsize=256)
def folded(names: frozenset[str]) -> Mapping[str, str]:
    """`names`, which come from configuration, by their folded text; of two alike the last of the alphabet.

    `engine check` refuses two alike (X246). In every process the same one is known all the same.
    """
    return {fold(name): name for name in sorted(names)}


@lru_cache(maxsize=256)
def longest(names: frozenset[str]) -> int:
    """Characters of the longest spelling of one of `names`: no letter has more than a mark beside it."""
    return 2 * max(map(len, names), default=0)


@lru_cache(maxsize=256)
def are_folded(names: frozenset[str]) -> bool:
    """Whether `names`, which come from configuration, fold to themselves."""
    return all(fold(name) == name for name in names)


def refuse_ambiguous(keys: Iterable[str], names: frozenset[str]) -> None:
    """Refuse `keys` that hold one of `names` twice, or in another spelling.

    Raises:
        GatewayError: `duplicate_field`.
    """
    known, most = folded(names), longest(names)
    seen = set()
    for key in map(str, keys):
        name = known.get(fold(key, most))
        if name is None:
            continue
        if key != name:
            raise other_spelling(key, name)
        if name in seen:
            words = f"`{name}` is written more than once at the top level of the body"
            raise GatewayError("duplicate_field", words, param=name)
        seen.add(name)


def other_spelling(key: str, name: str) -> GatewayError:
    """The refusal of a field that is not written as it must be."""
    shown = key[:LONGEST].encode("ascii", "backslashreplace").decode()
    words = f"`{shown}` may be read as `{name}` by others; write it once, as `{name}`"
    return GatewayError("duplicate_field", words, param=name)
