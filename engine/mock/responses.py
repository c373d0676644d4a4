"""What is sent: finds the rule for a path in responses.json and turns it into chunks of a body.

Every path, header, body and stream script is data; this module matches, renders and applies the
faults a caller asks for by the model's name (``mock-status-429``, ``mock-slow-250`` ...). It never
sends anything itself.
"""

import json
import re
import secrets
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeAlias
from urllib.parse import unquote

from engine.mock.recording import Fields, RecordedExchange
from engine.mock.template import Values, look_up, render, scopes

Faults: TypeAlias = dict[str, list[int]]

_FAULT = re.compile(r"mock-(status|slow|hang|cut|stall|events|size|gzip)((?:-\d{1,9})*)")
_TOKEN = re.compile(r"\*\*|\{(\w+)\}|[^*{]+")
_JSON = "application/json"
_SSE = "text/event-stream; charset=utf-8"
_BLOCK = 65536
_REFUSALS = (4, 5)


@dataclass(frozen=True, slots=True)
class MockResponse:
    """A response ready to be sent; times in seconds, None where nothing is prescribed."""

    type: str
    chunks: Iterable[bytes]
    length: int | None = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    wait: float = 0.0
    gap: float | None = None
    ending: Literal["whole", "cut", "stall", "hang"] = "whole"


def parse_faults(name: object) -> Faults:
    """Read ``mock-events-50-20`` as ``{"events": [50, 20]}``; a name may carry several."""
    found = _FAULT.finditer(name) if isinstance(name, str) else ()
    return {each[1]: [int(number) for number in each[2].split("-")[1:]] for each in found}


class ResponseTable:
    """The responses of one mock: rules are tried in the order of the file, the first match wins."""

    def __init__(self, data: dict[str, Any], fault: str | None, *, auth: bool) -> None:
        self._data = data
        self._faults = parse_faults(f"mock-{fault}")
        self._auth = auth
        self._refused = [re.compile(pattern) for pattern in data["refused"]]
        self._rules = [(compile_path(rule["path"]), rule) for rule in data["rules"]]
        self._families = [(compile_path(each["path"]), each) for each in data["families"]]

    def response(self, record: RecordedExchange, fields: Fields | None) -> MockResponse:
        """The response to one request; ``fields`` is None when its body could not be understood."""
        path = record.target.partition("?")[0]
        rule, caught = self._match(path, record.method)
        model = caught.get("model") or (fields or {}).get("model")
        record.model = model if isinstance(model, str) else None
        faults = self._faults | parse_faults(model)
        values = _values(record, fields or {}, faults) | caught
        family = next(each for pattern, each in self._families if pattern.fullmatch(path))
        status, text = self._refusal(record, rule, fields, faults)
        if status or rule is None:
            response = _error(family["error"], status, text, values)
        else:
            response = self._render(rule, values)
        headers = self._headers(family, response.status, values)
        return apply_faults(replace(response, headers=headers), faults)

    def _match(self, path: str, method: str) -> tuple[dict[str, Any] | None, dict[str, str]]:
        refused = any(pattern.search(path) for pattern in self._refused)
        for pattern, rule in () if refused else self._rules:
            found = pattern.fullmatch(path)
            if found and method == rule.get("method", "POST"):
                return rule, {name: unquote(text) for name, text in found.groupdict().items()}
        return None, {}

    def _refusal(
        self, record: RecordedExchange, rule: object, fields: Fields | None, faults: Faults
    ) -> tuple[int, str]:
        if rule is None:
            return 404, f"Unknown request URL: {record.method} {record.target}"
        if self._auth and not any(map(record.header, self._data["credentials"])):
            return 401, "You didn't provide an API key."
        if fields is None:
            return 400, "We could not parse the body of your request."
        forced = sum(faults.get("status", []))
        known = forced // 100 in _REFUSALS
        return (forced, "The name of the model asked for this.") if known else (0, "")

    def _render(self, rule: dict[str, Any], values: dict[str, object]) -> MockResponse:
        response = self._data["bodies"][rule["response"]]
        values |= render(rule.get("with", {}), values)
        for name, template in response.get("let", {}).items():
            values[name] = render(template, values)
        fitting = (each for each in response["variants"] if _holds(each, values))
        return render_variant(next(fitting), values)

    def _headers(self, family: dict[str, Any], status: int, values: Values) -> dict[str, str]:
        extra = self._data["status_headers"].get(str(status), {})
        templates = self._data["headers"] | family["headers"] | extra
        return {name: str(render(text, values)) for name, text in templates.items()}


def load_responses(fault: str | None, *, auth: bool) -> ResponseTable:
    """Read the responses beside this module."""
    text = Path(__file__).with_name("responses.json").read_text(encoding="utf-8")
    return ResponseTable(json.loads(text), fault, auth=auth)


def compile_path(pattern: str) -> re.Pattern[str]:
    """Compile a pattern: ``{name}`` stands for one segment, ``**`` for anything."""
    return re.compile("".join(_token(found) for found in _TOKEN.finditer(pattern)))


def _token(found: re.Match[str]) -> str:
    if found[0] == "**":
        return ".*"
    return f"(?P<{found[1]}>[^/]+)" if found[1] else re.escape(found[0])


def _values(record: RecordedExchange, body: Fields, faults: Faults) -> dict[str, object]:
    now = time.time()
    return {
        "id": secrets.token_hex(12),
        "now": int(now),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now)),
        "body": body,
        "empty": {},
        "model": record.model,
        "count": next(iter(faults.get("events", [])), None),
        "n": record.id,
        "target": record.target,
        "sha256": record.body_sha256,
        "bytes": record.body_bytes,
    }


def _holds(entry: Mapping[str, Any], values: Values) -> bool:
    """Whether the fields of the body are as in `when`, and `if` is something."""
    fields = entry.get("when", {}).items()
    fits = all(_fits(want, look_up(f"body.{name}", values)) for name, want in fields)
    return fits and bool(render(entry.get("if", True), values))


def _fits(want: object, value: object) -> bool:
    if isinstance(want, bool):
        return value in (want, str(want).lower())
    return value is not None and fnmatchcase(str(value), str(want))


def render_variant(variant: dict[str, Any], values: Values) -> MockResponse:
    """Render the body a variant describes: ``events``, ``lines``, ``bytes``, ``text`` or ``json``."""
    if "events" in variant:
        return MockResponse(_SSE, _events(variant, values))
    if "lines" in variant:
        steps = _steps(variant["lines"], values)
        return MockResponse(variant["type"], (_dump(render(*each)) + b"\n" for each in steps))
    if "bytes" in variant:
        return MockResponse(variant["type"], render(variant["bytes"], values))
    if "text" in variant:
        body = str(render(variant["text"], values)).encode()
        return MockResponse(variant["type"], [body], len(body))
    body = _dump(render(variant["json"], values))
    return MockResponse(_JSON, [body], len(body))


def _error(shape: dict[str, Any], status: int, text: str, values: Values) -> MockResponse:
    kind = shape["kinds"].get(str(status)) or shape["kinds"][f"{status // 100}xx"]
    said = {**values, "status": status, "kind": kind, "text": text}
    return replace(render_variant({"json": shape["body"]}, said), status=status)


def _dump(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def _events(variant: dict[str, Any], values: Values) -> Iterator[bytes]:
    for number, (step, inner) in enumerate(_steps(variant["events"], values)):
        data = render(step, {**inner, "seq": number})
        line = data.encode() if isinstance(data, str) else _dump(data)
        name = b"event: %s\n" % data["type"].encode() if "named" in variant else b""
        yield name + b"data: %s\n\n" % line


def _steps(script: list[Any], values: Values) -> Iterator[tuple[object, Values]]:
    for step in script:
        if not isinstance(step, dict) or "send" not in step:
            yield step, values
        elif _holds(step, values):
            each = render(step.get("each", "once"), values)
            for inner in scopes(each, values, step.get("as", "item")):
                yield from _steps(step["send"], inner)


def apply_faults(response: MockResponse, faults: Faults) -> MockResponse:
    """Pad, compress, slow, silence or shorten a response as the faults say."""
    if "size" in faults and response.type != _SSE:
        response = _padded(response, *faults["size"][:1])
    if "gzip" in faults:
        headers = response.headers | {"content-encoding": "gzip"}
        response = replace(response, chunks=_gzipped(response.chunks), length=None, headers=headers)
    response = replace(response, wait=sum(faults.get("slow", [])) / 1000)
    if len(faults.get("events", [])) > 1:
        response = replace(response, gap=faults["events"][1] / 1000)
    return _shortened(response, faults)


def _shortened(response: MockResponse, faults: Faults) -> MockResponse:
    if "hang" in faults:
        return replace(response, ending="hang")
    if "stall" in faults:
        return replace(response, ending="stall", chunks=_start(list(islice(response.chunks, 2)), 1))
    if "cut" in faults:
        whole = list(response.chunks)
        return replace(response, ending="cut", chunks=_start(whole, len(whole) // 2))
    return response


def _start(chunks: list[bytes], keep: int) -> list[bytes]:
    return chunks[:keep] if len(chunks) > 1 else [chunk[: len(chunk) // 2] for chunk in chunks]


def _padded(response: MockResponse, size: int = 0) -> MockResponse:
    whole, tail = b"".join(response.chunks), b""
    if response.type == _JSON:
        whole, tail = whole[:-1] + b',"padding":"', b'"}'
    missing = max(0, size - len(whole) - len(tail))
    chunks = _filled(whole, missing, tail)
    return replace(response, chunks=chunks, length=len(whole) + missing + len(tail), gap=0.0)


def _filled(whole: bytes, missing: int, tail: bytes) -> Iterator[bytes]:
    yield whole
    block = b"x" * _BLOCK
    for start in range(0, missing, _BLOCK):
        yield block[: missing - start]
    yield tail


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(wbits=31)
    for chunk in chunks:
        yield packer.compress(chunk) + packer.flush(zlib.Z_SYNC_FLUSH)
    yield packer.flush()
