"""Render response templates: JSON values with ``${name}`` holes and ``{"$": generator}`` calls.

Knows shapes of values (text, vectors, pictures, sound), never a path or a field of any API: those
are in the data. Never does I/O; the same template and values give the same result.

    render({"said": "${body.text|=nothing}"}, {"body": {"text": "hi"}})  ->  {"said": "hi"}
"""

import base64
import hashlib
import io
import json
import math
import re
import struct
import wave
import zlib
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, TypeAlias

from engine.mock.tools import reply, slices, turn

Values: TypeAlias = Mapping[str, object]

_HOLE = re.compile(r"\$\{([^}]*)\}")


def render(template: object, values: Values) -> Any:
    """Fill a template; a text that is one hole keeps the type of what it names."""
    if isinstance(template, str):
        return _fill(template, values)
    if isinstance(template, list):
        return [render(item, values) for item in template]
    if not isinstance(template, dict):
        return template
    if template.get("$") == "each":
        inner = scopes(render(template["of"], values), values)
        return [render(template["do"], each) for each in inner]
    filled = {key: render(value, values) for key, value in template.items() if key != "$"}
    if "$" in template:
        return GENERATORS[template["$"]](filled.pop("of", None), **filled)
    return filled


def look_up(names: str, values: Values) -> object:
    """Find the first of ``a.b|c|=literal`` that is there and not null."""
    for name in names.split("|"):
        found = _literal(name[1:]) if name.startswith("=") else _walk(name, values)
        if found is not None:
            return found
    return None


def scopes(items: object, values: Values, name: str = "item") -> Iterator[Values]:
    """Give the values once for each item, with the item, under a name, and its index added."""
    at = "index" if name == "item" else f"{name}_index"
    for index, item in enumerate(as_list(items)):
        yield {**values, name: item, at: index}


def as_list(of: object) -> list[Any]:
    """Make a list of one thing or many; a list of bare numbers is one thing."""
    if not isinstance(of, list):
        return [] if of is None else [of]
    return [of] if of and all(isinstance(item, int) for item in of) else of


def _fill(text: str, values: Values) -> object:
    whole = _HOLE.fullmatch(text)
    if whole:
        return look_up(whole[1], values)
    return _HOLE.sub(lambda hole: str(look_up(hole[1], values)), text)


def _walk(name: str, values: Values) -> object:
    found: object = values
    for step in name.split("."):
        found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _literal(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _int(value: object) -> int:
    return min(int(str(value)), 100_000) if re.fullmatch("[0-9]{1,9}", str(value)) else 1


def _last_text(of: object, keys: list[str], role: str = "user") -> str:
    if isinstance(of, str):
        return of[:200]
    if isinstance(of, dict):
        if of.get("type") == "tool_result":
            return ""
        of = [of.get(key) for key in reversed(keys)] if of.get("role", role) == role else []
    found = (_last_text(item, keys, role) for item in reversed(of if isinstance(of, list) else []))
    return next(filter(None, found), "")


def _text_chunks(of: str, count: object = None) -> list[str]:
    words = of.split() or ["."]
    total = len(words) if count is None else _int(count)
    spaced = [f"{words[number % len(words)]} " for number in range(total)]
    return [*spaced[:-1], *(word.rstrip() for word in spaced[-1:])]


def _byte_chunks(of: bytes, count: object) -> list[bytes]:
    step = max(1, math.ceil(len(of) / max(1, _int(count))))
    return [of[start : start + step] for start in range(0, len(of), step)]


def _vector(of: object, size: object, most: int, encoding: str = "float") -> list[float] | str:
    length = max(1, min(_int(size), most))
    drawn = struct.unpack(f"<{length}h", hashlib.shake_256(repr(of).encode()).digest(2 * length))
    norm = math.hypot(*drawn) or 1.0
    unit = [round(number / norm, 6) for number in drawn]
    return _base64(struct.pack(f"<{length}f", *unit)) if encoding == "base64" else unit


def _ranking(of: object, query: object, top: object = None) -> list[dict[str, object]]:
    asked = set(str(query).lower().split())
    scores = {index: _score(asked, str(item).lower()) for index, item in enumerate(as_list(of))}
    best = sorted(scores, key=lambda index: -scores[index])[: None if top is None else _int(top)]
    return [{"index": at, "item": as_list(of)[at], "score": scores[at]} for at in best]


def _score(asked: set[str], text: str) -> float:
    common = len(asked & set(re.findall(r"\w+", text)))
    jitter = hashlib.sha256(text.encode(errors="replace")).digest()[0] / 256
    return round((common + jitter) / (len(asked) + 1), 6)


def _png(of: object, side: int = 16) -> bytes:
    colour = hashlib.sha256(str(of).encode(errors="replace")).digest()[:3]
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + colour * side) * side)
    chunks = (b"IHDR" + head, b"IDAT" + rows, b"IEND")
    framed = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(framed)


@cache
def _wav(of: float, rate: int = 8000) -> bytes:
    total = int(rate * of)
    tone = [int(8000 * math.sin(math.tau * 440 * step / rate)) for step in range(total)]
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setparams((1, 2, rate, total, "NONE", ""))
        sound.writeframes(struct.pack(f"<{total}h", *tone))
    return file.getvalue()


def _base64(of: bytes) -> str:
    return base64.b64encode(of).decode("ascii")


GENERATORS: Mapping[str, Callable[..., object]] = {
    "base64": _base64,
    "byte_chunks": _byte_chunks,
    "count": lambda of: 1 + len(str(of)) // 4,
    "if": lambda of, then, other: then if of else other,
    "join": "".join,
    "last_text": _last_text,
    "list": as_list,
    "merge": lambda of, over: {**of, **over},
    "numbers": lambda of: [str(number) for number in range(_int(of))],
    "png": _png,
    "ranking": _ranking,
    "reply": reply,
    "slices": lambda of: None if of is None else slices(of),
    "sum": sum,
    "text_chunks": _text_chunks,
    "turn": turn,
    "vector": _vector,
    "wav": _wav,
}
