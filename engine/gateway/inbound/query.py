"""Takes parameters out of a query, as whoever reads it may spell them; the rest keeps its bytes."""

from collections.abc import Set
from urllib.parse import unquote_plus

from engine.plan.spelling import fold


def without(query: bytes, names: Set[bytes]) -> bytes:
    """`query` without the parameters called `names`, which are in lower case.

    Providers differ: some take names in any case, part pairs at `;`, or end a name at `[` or NUL.
    """
    pairs = (_left(pair, names) for pair in query.split(b"&"))
    return b"&".join(pair for pair in pairs if pair is not None)


def _left(pair: bytes, names: Set[bytes]) -> bytes | None:
    parts = pair.split(b";")
    kept = [part for part in parts if _name(part) not in names]
    return b";".join(kept) if kept else None


def _name(pair: bytes) -> bytes:
    name = unquote_plus(pair.partition(b"=")[0].decode("latin-1"))
    return fold(name.partition("[")[0]).encode(errors="replace")
