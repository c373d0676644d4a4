"""The event that ends a broken stream, in the dialect of its endpoint."""

import json
import time

from engine.gateway.errors import GatewayError, envelope
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.plan.plan import Dialect


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
        facts = stream.facts or ResponseFacts()
        body = {
            "type": "response.failed",
            "sequence_number": facts.next_number(),
            "response": _failed(error, request_id, facts, model or ""),
            **body,
        }
    return name + b"data: " + json.dumps(body, ensure_ascii=False).encode() + b"\n\n"


def _failed(
    error: GatewayError, request_id: str, facts: ResponseFacts, model: str
) -> dict[str, object]:
    """The response that fails: as its first event has it, as far as that is known."""
    return {
        "id": facts.id or request_id.replace("req", "resp", 1),
        "object": "response",
        "created_at": int(time.time()) if facts.created_at is None else facts.created_at,
        "model": facts.model or model,
        "output": [],
        "status": "failed",
        "error": {"code": error.code, "message": error.message},
    }
