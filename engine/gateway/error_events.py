"""The event that ends a broken stream, in the dialect of its endpoint."""

import json
import re
import time

from engine.gateway.errors import GatewayError, envelope
from engine.gateway.event_stream import EventStream
from engine.plan import Dialect

# In the JSON of an event. Inside a string the quotes would be escaped.
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]{1,256})"')
_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,256})"')
_CREATED = re.compile(rb'"created_at"\s*:\s*(\d{1,15})')
_NUMBER = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


def error_event(
    error: GatewayError,
    dialect: Dialect,
    request_id: str,
    stream: EventStream,
    model: str | None = None,
) -> bytes:
    """`error` as an event that may follow what has left of `stream`.

    `model` is what the caller asked for.
    """
    body = envelope(error, dialect, request_id)
    name = b"event: error\n" if dialect is Dialect.ANTHROPIC else b""
    if dialect is Dialect.RESPONSES:
        name = b"event: response.failed\n"
        failed = _failed(error, request_id, stream.first, model or "")
        number = _NUMBER.findall(stream.latest)
        body = {
            "type": "response.failed",
            "sequence_number": int(number[-1]) + 1 if number else 0,
            "response": failed,
            **body,
        }
    return name + b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _failed(error: GatewayError, request_id: str, first: bytes, model: str) -> dict[str, object]:
    """The response that fails: as its first event told, as far as that is known."""
    known, named, created = _ID.search(first), _MODEL.search(first), _CREATED.search(first)
    return {
        "id": known[1].decode(errors="replace") if known else request_id.replace("req", "resp", 1),
        "object": "response",
        "created_at": int(created[1]) if created else int(time.time()),
        "model": named[1].decode(errors="replace") if named else model,
        "output": [],
        "status": "failed",
        "error": {"code": error.code, "message": error.message},
    }
