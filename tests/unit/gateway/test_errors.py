"""Every error of the catalogue in both envelopes, and what its headers promise."""

import json
import time

import pytest

from engine.gateway.errors import (
    CATALOGUE,
    GatewayError,
    error_body,
    error_headers,
)
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.plan.plan import Dialect
from engine.upstream import Failure
from tests.tables import each

ID = "req_1"
MESSAGE = 'it said "no" to ü\n'
EVERY = sorted(CATALOGUE)

# The contract, written down a second time: statuses, and the codes that forbid another try.
STATUSES = {
    400: "invalid_request invalid_json invalid_form invalid_model model_required duplicate_field "
    "bad_chunking",
    401: "missing_api_key invalid_api_key expired_api_key provider_key_missing",
    403: "not_allowed not_local",
    404: "unknown_path not_exposed model_not_found endpoint_not_supported",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    415: "unsupported_media_type",
    426: "upgrade_not_offered",
    429: "rate_limited budget_exceeded",
    500: "internal_error",
    502: "upstream_connect_failed upstream_dns_failed upstream_tls_failed upstream_closed "
    "upstream_bad_response upstream_truncated upstream_sign_in_failed",
    503: "accounts_unavailable limits_unavailable overloaded upstream_unavailable server_shutting_down",
    504: "upstream_connect_timeout upstream_timeout upstream_idle_timeout",
}
TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    429: "rate_limit_error",
}
ANTHROPIC_TYPES = TYPES | {
    413: "request_too_large",
    503: "overloaded_error",
    504: "timeout_error",
}
SENT = {
    "server_shutting_down",
    "upstream_closed",
    "upstream_bad_response",
    "upstream_truncated",
    "upstream_timeout",
    "upstream_idle_timeout",
}
AGAIN = {
    "accounts_unavailable",
    "limits_unavailable",
    "request_timeout",
    "overloaded",
    "rate_limited",
    "upstream_unavailable",
    "upstream_connect_failed",
    "upstream_connect_timeout",
    "upstream_dns_failed",
    "upstream_tls_failed",
    "upstream_sign_in_failed",
}


def error(code: str) -> GatewayError:
    return GatewayError(code, MESSAGE, param="model")


def headers(code: str, dialect: Dialect) -> dict[bytes, bytes]:
    pairs = error_headers(error(code), dialect, ID.encode())
    assert len({name for name, _ in pairs}) == len(pairs)
    return dict(pairs)


def test_statuses() -> None:
    listed = {code: status for status, codes in STATUSES.items() for code in codes.split()}
    assert {code: kind.status for code, kind in CATALOGUE.items()} == listed


def type_of(code: str, types: dict[int, str]) -> str:
    status = CATALOGUE[code].status
    return types.get(status, "api_error" if status >= 500 else "invalid_request_error")


@each("code", EVERY)
def test_openai(code: str) -> None:
    body = json.loads(error_body(error(code), Dialect.OPENAI, ID))
    inner = {"message": MESSAGE, "type": type_of(code, TYPES), "param": "model", "code": code}
    assert body == {"error": inner}


@each("code", EVERY)
def test_anthropic(code: str) -> None:
    body = json.loads(error_body(error(code), Dialect.ANTHROPIC, ID))
    assert body == {
        "type": "error",
        "error": {"type": type_of(code, ANTHROPIC_TYPES), "message": f"{MESSAGE} ({code})"},
        "request_id": ID,
    }


@each("dialect", Dialect)
@each("code", EVERY)
def test_headers(code: str, dialect: Dialect) -> None:
    found = headers(code, dialect)
    assert found[b"x-engine-error"] == code.encode()
    assert found[b"x-engine-request-id"] == found[b"x-request-id"] == ID.encode()
    assert found.get(b"request-id") == (ID.encode() if dialect is Dialect.ANTHROPIC else None)
    assert found.get(b"x-should-retry") == (None if code in AGAIN else b"false")
    assert (b"www-authenticate" in found) == (CATALOGUE[code].status == 401)


def test_what_may_have_been_billed_is_never_asked_for_again() -> None:
    assert {code for code, kind in CATALOGUE.items() if kind.sent} == SENT
    assert not SENT & AGAIN


@each("code", EVERY)
def test_retry_after_exactly_where_waiting_helps(code: str) -> None:
    wanted = CATALOGUE[code].status in (429, 503)
    value = headers(code, Dialect.OPENAI).get(b"retry-after")
    assert (value is not None) == wanted
    assert value is None or int(value) >= 1


@each("failure", Failure)
def test_every_failure_has_a_code_that_says_whether_it_was_sent(failure: Failure) -> None:
    assert CATALOGUE[failure.code].sent == failure.sent


def event(code: str, dialect: Dialect, *chunks: bytes) -> list[str]:
    """The lines of the event that ends a stream of `chunks`."""
    stream = EventStream((b"[DONE]",), ResponseFacts())
    for chunk in chunks:
        stream.feed(chunk)
    text = error_event(error(code), dialect, ID, stream, "asked").decode()
    assert text.endswith("\n\n")
    assert not text.startswith(("\n", "\r"))
    return text.removesuffix("\n\n").split("\n")


@each("code", EVERY)
def test_event_openai(code: str) -> None:
    (line,) = event(code, Dialect.OPENAI)
    assert json.loads(line.removeprefix("data: "))["error"]["code"] == code


@each("code", EVERY)
def test_event_anthropic(code: str) -> None:
    name, data = event(code, Dialect.ANTHROPIC)
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["type"] == "error"


@each("code", EVERY)
def test_event_responses(code: str) -> None:
    """A stream of which nothing is known: the number is the first, the id is ours."""
    name, data = event(code, Dialect.RESPONSES)
    told = json.loads(data.removeprefix("data: "))
    assert name == "event: response.failed"
    assert (told["type"], told["sequence_number"]) == ("response.failed", 0)
    assert told["error"] == json.loads(error_body(error(code), Dialect.OPENAI, ID))["error"]
    response = told["response"]
    assert response["error"] == {"code": code, "message": told["error"]["message"]}
    assert (response["object"], response["status"], response["output"]) == (
        "response",
        "failed",
        [],
    )
    assert (response["id"], response["model"]) == (ID.replace("req", "resp"), "asked")
    assert abs(response["created_at"] - time.time()) < 60


@each("end", ["\n", "\r\n", "\r"])
def test_a_response_that_fails_is_the_one_that_was_under_way(end: str) -> None:
    def told(kind: str, number: int, rest: str) -> bytes:
        data = f'{{"type": "{kind}", "sequence_number": {number}, {rest}}}'
        return f"event: {kind}{end}data: {data}{end}{end}".encode()

    known = '"response": {"id": "resp_7", "object": "response", "created_at": 17, "model": "gpt-9"}'
    quoted = json.dumps('"sequence_number": 99, "id": "no"')
    chunks = [
        b": hello\n\n",
        told("response.created", 4, known),
        told("response.x", 5, '"d": 1') + told("response.output_text.delta", 6, f'"d": {quoted}'),
        b": still here\n\n",
        b'event: response.output_text.delta\ndata: {"sequence_number": 7',
    ]
    body = json.loads(event("upstream_closed", Dialect.RESPONSES, *chunks)[1][6:])
    found = [body["response"][name] for name in ("id", "created_at", "model")]
    assert (body["sequence_number"], *found) == (7, "resp_7", 17, "gpt-9")


def reported(**fields: object) -> bytes:
    return f"event: x\ndata: {json.dumps(fields)}\n\n".encode()


KNOWN = {"id": "resp_7", "created_at": 17, "model": "gpt-9"}
NESTED = {"id": "no", "created_at": 1, "model": "no", "sequence_number": 99}
CREATED = reported(type="response.created", sequence_number=0, response=KNOWN)
COMMENT = b": OPENROUTER PROCESSING\n\n"
LONG = reported(type="response.output_item.done", sequence_number=7, item={"result": "A" * 300_000})


@each(
    ("chunks", "number"),
    [
        ([COMMENT + CREATED, COMMENT + reported(sequence_number=41)], 42),
        ([COMMENT, b"\n", CREATED, reported(sequence_number=41), b"\n", COMMENT, b"retry: 1\n\n"], 42),
        ([CREATED + reported(sequence_number=3, part=NESTED, z=[NESTED])], 4),
        ([reported(response={"metadata": NESTED, **KNOWN, "text": NESTED}, sequence_number=2)], 3),
        ([reported(response={"instructions": "You are. " * 40_000, **KNOWN}, sequence_number=2)], 3),
        ([reported(metadata=NESTED), reported(response="x"), reported(response=KNOWN), reported(response=NESTED)], 0),
        ([CREATED, LONG[:9000], LONG[9000:]], 8),
        ([CREATED, LONG], 8),
        ([CREATED, LONG, reported(sequence_number=8)], 9),
        ([CREATED, reported(sequence_number=5), reported(part=NESTED), reported(sequence_number="6")], 6),
        ([CREATED, reported(sequence_number=5), reported(type="keepalive"), reported(n=1)], 6),
        ([CREATED, reported(sequence_number=5), b'data: {"sequence_number": 6, "x"\n\n', b"data: 7\n\n"], 6),
        ([CREATED, b'data: {"delta":"x",\ndata: "sequence_number":\ndata: 8}\n\n'], 9),
        ([CREATED, reported(sequence_number=5), reported(sequence_number=-3), reported(sequence_number=None)], 6),
        ([CREATED, *(b"%c" % byte for byte in reported(sequence_number=5))], 6),
        ([CREATED, reported(sequence_number=6, b64="A" * 3_000_000)], 7),
    ],
)  # fmt: skip
@each("size", [None, 30_000])
def test_only_the_top_level_tells_which_response_it_was_and_the_number(
    chunks: list[bytes], number: int, size: int | None
) -> None:
    cut = [p[i : i + (size or len(p))] for p in chunks for i in range(0, len(p), size or len(p))]
    body = json.loads(event("upstream_closed", Dialect.RESPONSES, *cut)[1][6:])
    assert body["sequence_number"] == number
    assert {name: body["response"][name] for name in KNOWN} == KNOWN


def test_what_the_first_response_does_not_tell_is_made() -> None:
    odd = reported(response={"id": 7, "created_at": "x", "model": ["no"]})
    later = reported(response=KNOWN)
    body = json.loads(event("upstream_closed", Dialect.RESPONSES, odd, later)[1][6:])["response"]
    assert (body["id"], body["model"]) == (ID.replace("req", "resp"), "asked")
    assert abs(body["created_at"] - time.time()) < 60


def test_headers_of_an_error_come_along() -> None:
    refused = GatewayError("method_not_allowed", "no", headers=((b"allow", b"POST"),))
    assert (b"allow", b"POST") in error_headers(refused, Dialect.OPENAI, b"req_1")


def test_an_unlisted_code_cannot_be_made() -> None:
    with pytest.raises(KeyError):
        GatewayError("no_such_code", "x")
