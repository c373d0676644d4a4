"""Random input for everything that reads input, from a seed, with what must hold after each case.

    make fuzz                     a million cases, with a report
    make fuzz CASES=1000 SEED=7   fewer, or others

A case that breaks something is printed with its seed and number: running it again is
`python -m tests.fuzz 1 SEED NAME NUMBER`.
"""

import asyncio
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import unquote_to_bytes

from engine.config.schema.validation import check_schema
from engine.config.source.document import parse_document
from engine.config.template import compile_template, render_now
from engine.gateway.errors import GatewayError
from engine.gateway.headers import RelayedNames, request_headers, response_headers
from engine.gateway.inbound.auth import authenticate
from engine.gateway.inbound.json_body import JsonBody
from engine.gateway.inbound.paths import match_endpoint
from engine.gateway.outbound.attempts import MAX_WAIT_SECONDS, retry_after
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.facts import ResponseFacts
from engine.plan.plan import Dialect, UnusableValueError
from engine.upstream import Failure
from engine.upstream.http1.response import ExchangeState, HeaderNames, ResponseReader
from tests.servers import ROOT
from tests.unit.gateway.inbound.forms import cut, file, form, form_of, part
from tests.unit.gateway.plans import shipped_plan

Chance = random.Random
Target = Callable[[Chance], Awaitable[None]]
PLAN = shipped_plan()
PATHS = sorted(PLAN.endpoints)
FILES = {n: (ROOT / f"{n}.yaml").read_bytes()[:3000] for n in ("routes", "providers")}
JSON_SEEDS = [
    b'{"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}], "stream": true}',
    b'{"mod\\u0065l": "a", "n": 1e5, "x": {"model": 2}, "y": [null, "\\ud83d\\ude00"]}',
    b'{"api_key": "k", "model": "m"}',
]
FORM_SEEDS = [
    form(part("model", b"whisper-1"), file(b"RIFF\r\n--front" * 3)),
    form(file(b"\x00\xff" * 40), part("model", b"m"), part("x", b"y\r\n")),
]
ANSWER_SEEDS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx: y\r\n\r\n",
    b"HTTP/1.0 404 No\r\nx: y\r\n\r\nto the end",
]
TEMPLATE_SEEDS = [
    "Bearer {{ credentials.api_key }}", "{{ model | segment }}", "{{ request.headers['x'] or 'a' }}",
    "a{{ variables.x | default('b') }}c",
]  # fmt: skip
YAML_WORDS = [b"- ", b": ", b"{", b"}", b"[", b"]", b"\n", b"  ", b"&a", b"*a", b"!!t", b"'", b'"', b"#", b"\t", b"\xff"]  # fmt: skip
HEADER_NAMES = [b"connection", b"authorization", b"x-api-key", b"cookie", b"host", b"te", b"x-a", b"openai-beta", b"keep-alive", b"content-length", b"x-engine-error", b"retry-after"]  # fmt: skip
HOP_BY_HOP = {b"connection", b"keep-alive", b"te", b"transfer-encoding", b"upgrade", b"host"}


def noise(chance: Chance, most: int = 20) -> bytes:
    return chance.randbytes(chance.randint(0, most))


def mutated(chance: Chance, seed: bytes, words: list[bytes] | None = None) -> bytes:
    """`seed` with up to four pieces cut out, doubled, overwritten or put elsewhere."""
    raw = seed
    for _ in range(chance.randint(0, 4)):
        start = chance.randint(0, len(raw))
        end = min(len(raw), start + chance.randint(0, 12))
        middle = chance.choice(
            (b"", raw[start:end] * 2, noise(chance, 6), chance.choice(words or [b"\r\n", b"\0"]))
        )
        raw = raw[:start] + middle + raw[end:]
    return raw


def pieces(chance: Chance, raw: bytes) -> list[bytes]:
    return cut(raw, [chance.randint(0, len(raw)) for _ in range(chance.randint(0, 5))])


async def paths(chance: Chance) -> None:
    """Only the one spelling of a path leads to an endpoint."""
    path = chance.choice((noise(chance), mutated(chance, chance.choice(PATHS).replace(b"{model}", b"m%2F1"), [b"/", b"%2e", b"..", b";"])))  # fmt: skip
    try:
        found = match_endpoint(PLAN, chance.choice(("GET", "POST", "BREW")), path, hint=False)
    except GatewayError:
        return
    parts = path.split(b"/")
    if found.model is not None:
        names = [
            i for i, part in enumerate(parts) if unquote_to_bytes(part) == found.model.encode()
        ]
        parts = next(p for i in names if b"/".join(p := [*parts[:i], b"{model}", *parts[i + 1:]]) in PATHS)  # fmt: skip
    assert PLAN.endpoints[b"/".join(parts)][found.endpoint.method] is found.endpoint


def pairs(chance: Chance) -> list[tuple[bytes, bytes]]:
    return [
        (
            chance.choice(HEADER_NAMES),
            chance.choice((noise(chance), b"x-a, Authorization", b"close")),
        )
        for _ in range(chance.randint(0, 6))
    ]


async def headers_up(chance: Chance) -> None:
    """Nothing of the connection, no key and no cookie goes up."""
    received = pairs(chance)
    sent = {name for name, _ in request_headers(received, PLAN.providers["openai"])}
    assert sent.isdisjoint(HOP_BY_HOP | {b"authorization", b"x-api-key", b"cookie"})


async def headers_down(chance: Chance) -> None:
    """Nothing of the connection, and no header of ours, comes down."""
    received = pairs(chance)
    names = {name for name, _ in response_headers(received, dict(received), RelayedNames())}
    assert names.isdisjoint(HOP_BY_HOP - {b"host"} | {b"content-length", b"x-engine-error"})


async def keys(chance: Chance) -> None:
    """No noise is a key."""
    try:
        authenticate(pairs(chance), {b"\0" * 32: None}, 0.0)  # type: ignore[dict-item]
    except GatewayError as error:
        assert error.kind.status == 401
        return
    raise AssertionError("let in")


async def json_bodies(chance: Chance) -> None:
    """What we read is what a plain parser reads, or the body is refused."""
    raw = mutated(chance, chance.choice(JSON_SEEDS), [b'"', b"\\", b"{", b"}", b",", b'"model": "x",'])  # fmt: skip
    try:
        model = JsonBody(raw).text("model")
    except GatewayError as error:
        assert error.kind.status == 400
        return
    plain: Any = json.loads(raw)
    assert isinstance(plain, dict)
    assert plain.get("model") == model


async def forms(chance: Chance) -> None:
    """However a form is cut, the same is found in it, or the same refusal."""
    raw = mutated(chance, chance.choice(FORM_SEEDS), [b"\r\n", b"--frontier", b"--", b'"', b";"])
    found = [await _read_form(cutting) for cutting in ([raw], pieces(chance, raw))]
    assert found[0] == found[1]


async def _read_form(cutting: list[bytes]) -> object:
    body = form_of(cutting)
    try:
        await body.read_head()
        passed = b"".join([piece async for piece in body.stream([], frozenset())])
        return {n: f.value for n, f in body.fields.items()}, passed
    except GatewayError:
        return "refused"
    finally:
        body.close()


async def answers(chance: Chance) -> None:
    """Whatever a provider sends, an answer is whole only if it ends, and nothing is raised."""
    raw = mutated(chance, chance.choice(ANSWER_SEEDS), [b"\r\n", b"0", b"\n", b":", b"HTTP/1.1 200 OK\r\n"])  # fmt: skip
    answer = ResponseReader(HeaderNames())
    answer.send_request()
    for piece in pieces(chance, raw):
        answer.feed(piece)
    if answer.state in (ExchangeState.BODY, ExchangeState.DONE):
        assert 200 <= answer.status <= 599
    answer.closed(cleanly=bool(chance.getrandbits(1)))
    assert answer.is_complete or isinstance(answer.failure, Failure)


async def events(chance: Chance) -> None:
    """An error is one event, whatever its words are."""
    error = GatewayError("internal_error", noise(chance, 40).decode("latin-1"))
    stream = EventStream((b"[DONE]",), ResponseFacts())
    for piece in pieces(chance, noise(chance, 400)):
        stream.feed(piece)
    for dialect in Dialect:
        event = error_event(error, dialect, "req_1", stream, "m")
        lines = event.strip(b"\n").split(b"\n")
        assert json.loads(lines[-1].removeprefix(b"data: "))
        assert len(lines) == (1 if dialect is Dialect.OPENAI else 2)
        assert event.endswith(b"\n\n")


async def waits(chance: Chance) -> None:
    """A wait is a bounded number, or none."""
    value = chance.choice((noise(chance), mutated(chance, b"Wed, 21 Oct 2026 07:28:10 GMT"), b"%d" % chance.getrandbits(80)))  # fmt: skip
    seconds = retry_after(value, 1_790_000_000.0)
    assert seconds is None or 0 <= seconds <= MAX_WAIT_SECONDS


async def documents(chance: Chance) -> None:
    """A file is a document, or findings; and its schema never raises."""
    name = chance.choice(("routes", "providers"))
    whole = FILES[name]
    start = chance.randint(0, len(whole) - 200)
    raw = mutated(chance, whole[start : start + chance.randint(0, 200)], YAML_WORDS)
    document, found = parse_document(f"{name}.yaml", raw)
    if document is not None:
        check_schema(document, name)
    assert document is not None or found


async def templates(chance: Chance) -> None:
    """A template is refused at load, or makes one line of visible ASCII, or says that it cannot."""
    words = [b"{{", b"}}", b"{%", b"|", b"()", b"__class__", b"model", b"'"]
    source = mutated(chance, chance.choice(TEMPLATE_SEEDS).encode(), words).decode("latin-1")
    template, problems = compile_template(source)
    if template is None:
        assert problems
        return
    context = {"credentials": {"api_key": "k"}, "variables": {"x": "v"}, "model": source[:30]}
    try:
        text = render_now(template, {**context, "endpoint": "e", "request": {"headers": {}}})
    except UnusableValueError:
        return
    assert text is None or (text.isascii() and text.isprintable() and len(text) <= 8192)


# Each with its share of the cases, which is smaller where a case costs more.
TARGETS: dict[str, tuple[Target, int]] = {
    "paths": (paths, 12), "headers_up": (headers_up, 12), "headers_down": (headers_down, 12),
    "keys": (keys, 10), "json_bodies": (json_bodies, 14), "forms": (forms, 6),
    "answers": (answers, 14), "events": (events, 8), "waits": (waits, 8),
    "documents": (documents, 2), "templates": (templates, 2),
}  # fmt: skip


async def fuzz(cases: int, seed: int) -> dict[str, tuple[int, float]]:
    """Run `cases` in all; for each target how many there were and the seconds they took.

    Raises:
        AssertionError: with the name and number of the case that broke something.
    """
    whole = sum(share for _, share in TARGETS.values())
    done: dict[str, tuple[int, float]] = {}
    for name, (target, share) in TARGETS.items():
        started = time.perf_counter()
        count = max(1, cases * share // whole)
        for number in range(count):
            await _case(target, seed, name, number)
        done[name] = (count, time.perf_counter() - started)
    return done


async def _case(target: Target, seed: int, name: str, number: int) -> None:
    try:
        await target(random.Random(f"{seed}/{name}/{number}"))
    except Exception as broken:
        raise AssertionError(f"case {number} of {name}, seed {seed}, broke it") from broken


def main(cases: int, seed: int, *only: str) -> None:
    if only:
        asyncio.run(_case(TARGETS[only[0]][0], seed, only[0], int(only[1])))
        return
    done = asyncio.run(fuzz(cases, seed))
    for name, (count, seconds) in done.items():
        sys.stdout.write(f"{name:<14} {count:>8} cases  {seconds:7.1f} s\n")
    sys.stdout.write(f"{sum(count for count, _ in done.values())} cases, nothing broke\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1, *sys.argv[3:])
