"""What it costs to read a body, whatever its shape: so much a byte, or it is refused."""

import json
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.json_body import JsonBody
from engine.plan.spelling import fold
from tests.unit.gateway.inbound.forms import BOUNDARY, file, form, form_of, part, passed_on, run

SIZE = 128 * 1024
CHUNK_BYTES = 64 * 1024
PARTS = 30  # of nearly the longest head that is read
FACTOR = (
    40  # of CPU, over the plainest body of the same size; what grows with the square is far above
)
FORM_FACTOR = 500  # a file is only searched, at the speed of memory; the number of parts is bounded
NAMES = frozenset({"model", "api_key", "stream"})
MESSAGE = json.dumps({"role": "user", "content": [{"type": "text", "text": "How is the weather in Rome?"}]})  # fmt: skip
NAMED = part("model", b"whisper-1")
WIDE = "\u0130"  # two letters once it is folded
EDGE = b"\r\n--" + BOUNDARY.encode()


def listed(item: str, between: str = ",") -> bytes:
    """A body of about `SIZE` bytes that has `item` again and again."""
    count = SIZE // (len(item.encode()) + len(between))
    return ('{"model": "m", "x": [' + between.join([item] * count) + "]}").encode()


def keyed(make: Callable[[int], str]) -> bytes:
    """A body of about `SIZE` bytes of members at its top level."""
    size = len(make(10_000))
    return ("{" + ",".join(map(make, range(SIZE // size))) + "}").encode()


def written(text: str) -> bytes:
    return ('{"model": "m", "x": "' + text * (SIZE // len(text.encode())) + '"}').encode()


def filled(raw: bytes) -> bytes:
    """A form whose file has `raw` again and again."""
    return form(NAMED, file(raw * (SIZE // len(raw))))


JSON = {
    "keys at the top": keyed(lambda n: f'"k{n}":1'),
    "one key at the top": keyed(lambda _: '"k":1'),
    "one model at the top": keyed(lambda _: '"model":"m"'),
    "escaped keys at the top": keyed(lambda n: f'"\\u006d{n}":1'),
    "long keys at the top": keyed(lambda n: f'"{n}{WIDE * 300}":1'),
    "keys below": listed('{"a":1,"b":2,"c":3}'),
    "keys of one object below": b'{"x": ' + keyed(lambda n: f'"k{n}":1') + b"}",
    "arrays": listed("[]"),
    "objects": listed("{}"),
    "chains of arrays": listed("[" * 500 + "]" * 500),
    "chains of objects": listed('{"":' * 500 + "1" + "}" * 500),
    "chains in one chain": listed("[" * 400 + "[]," * 20_000 + "1" + "]" * 400),
    "too deep": b'{"x": ' + b"[" * (SIZE // 2) + b"]" * (SIZE // 2) + b"}",
    "never closed": b'{"x": ' + b"[" * SIZE,
    "objects never closed": b'{"x":' * (SIZE // 5),
    "empty strings": listed('""'),
    "strings of brackets": listed('"[{"'),
    "strings of escaped quotes": listed('"\\""'),
    "strings of backslashes": listed('"\\\\"'),
    "escaped quotes": written('\\"'),
    "backslashes": written("\\\\"),
    "escapes": written("\\u00e9"),
    "escapes and brackets": written("\\n[{"),
    "surrogate pairs": written("\\ud83d\\ude00"),
    "halves of pairs": written("\\ud83d"),
    "letters of two bytes": written("\u00e9"),
    "brackets in a string": written("[{"),
    "numbers": listed("1"),
    "a long number": b'{"x": ' + b"9" * SIZE + b"}",
    "long fractions": listed("1." + "7" * 400 + "e-300"),
    "huge exponents": listed("1e999999999"),
    "blanks": b'{"model": "m"' + b" " * SIZE + b"}",
    "line ends": b'{"x": [' + b"\r\n" * (SIZE // 2) + b"1]}",
    "nothing but quotes": b'{"' + b'""' * (SIZE // 2),
    "nothing but backslashes": b'{"x": "' + b"\\" * SIZE,
    "quotes 64 KiB apart": b'{"x": "' + (b"q" * 65_600 + b'", "') * 8 + b'"}',
}
FORMS = {
    "many parts": form(NAMED, *[part("x", b"y")] * 999),
    "too many parts": form(NAMED, *[part("x", b"")] * (SIZE // 60)),
    "parts with long heads": form(NAMED, *[part("x", b"", 'y="' + "z" * 8_000 + '"')] * PARTS),
    "quoted pairs": form(NAMED, *[part("x", b"", 'y="' + "\\z" * 4_000 + '"')] * PARTS),
    "quoted pairs in a file's name": form(
        NAMED, *[part("x", b"", 'filename="' + '\\"' * 4_000 + '"')] * PARTS
    ),
    "parameters": form(NAMED, *[part("x", b"", *[f"y{n}=1" for n in range(30)])] * PARTS * 30),
    "too many parameters": form(NAMED, *[part("x", b"", *[f"y{n}=1" for n in range(800)])] * PARTS),
    "semicolons": form(NAMED, *[part("x", b"", ";" * 8_000)] * PARTS),
    "quotes": form(NAMED, *[part("x", b"", 'y="' * 2_000)] * PARTS),
    "header lines": form(
        *[b"".join(b"x%d: y\r\n" % n for n in range(31)) + part("x", b"")] * PARTS * 8
    ),
    "too many header lines": form(*[b"x: y\r\n" * 1_000 + NAMED] * PARTS),
    "long names": form(NAMED, *[part(WIDE * 3_900, b"")] * PARTS),
    "percent signs": form(NAMED, *[part("%6d" * 2_600, b"")] * PARTS),
    "brackets in names": form(NAMED, *[part("[" * 7_900, b"")] * PARTS),
    "almost boundaries": filled(EDGE[:-1]),
    "begun boundaries": filled(b"\r\n--"),
    "boundaries in a line": filled(EDGE[2:] + b"x"),
    "line ends": filled(b"\r\n"),
    "returns": filled(b"\r"),
    "line feeds": filled(b"\n"),
    "hyphens": filled(b"-"),
    "a preamble": b"p" * SIZE + form(NAMED),
    "an epilogue": form(NAMED) + b"\r\n" * (SIZE // 2),
    "an endless head": b"--" + BOUNDARY.encode() + b"\r\nx: " + b"y" * SIZE,
}


def read_json(raw: bytes) -> None:
    body = JsonBody(raw)
    body.refuse_ambiguous(NAMES)
    body.text("model")
    body.flag("stream")


def read_form(raw: bytes, boundary: str = BOUNDARY, chunk: int = CHUNK_BYTES) -> None:
    chunks = [raw[at : at + chunk] for at in range(0, len(raw), chunk)]
    body = form_of(chunks, boundary)
    try:
        run(passed_on(body, {}))
    finally:
        body.close()


def cost(read: Callable[[bytes], None], raw: bytes) -> float:
    """Seconds of CPU."""
    started = time.process_time()
    with suppress(GatewayError):
        read(raw)
    return time.process_time() - started


def costs_less(read: Callable[[bytes], None], raw: bytes, most: float) -> bool:
    """In one of some tries, since the others may wait for memory; mostly it is the first."""
    return any(cost(read, raw) < most for _ in range(5))


@pytest.fixture(scope="module")
def plain_json() -> float:
    return min(cost(read_json, listed(MESSAGE)) for _ in range(3))


@pytest.fixture(scope="module")
def plain_form() -> float:
    return min(cost(read_form, filled(bytes(range(256)))) for _ in range(3))


@pytest.mark.parametrize("shape", JSON)
def test_no_shape_of_json_costs_much_more_than_a_conversation(
    shape: str, plain_json: float
) -> None:
    assert costs_less(read_json, JSON[shape], FACTOR * plain_json)


@pytest.mark.parametrize("shape", FORMS)
def test_no_shape_of_a_form_costs_much_more_than_a_file(shape: str, plain_form: float) -> None:
    assert costs_less(read_form, FORMS[shape], FORM_FACTOR * plain_form)


def test_a_long_boundary_costs_no_more(plain_form: float) -> None:
    mark = "b" * 70
    raw = form(NAMED, file((b"\r\n--" + b"b" * 69) * (SIZE // 73)), boundary=mark)
    assert costs_less(lambda raw: read_form(raw, mark), raw, FORM_FACTOR * plain_form)


def test_small_pieces_cost_no_more_than_their_number(plain_form: float) -> None:
    raw = filled(EDGE[:-1])
    for chunk in (64, 1_000):
        read = partial(read_form, chunk=chunk)
        assert costs_less(read, raw, FORM_FACTOR * plain_form)


def test_what_costs_more_would_be_seen(plain_json: float) -> None:
    """Some steps of Python for each key, as a body of 400,000 keys once took."""

    def slow(raw: bytes) -> None:
        for key in json.loads(raw):
            for _ in range(50):
                fold(key)

    assert cost(slow, keyed(lambda n: f'"k{n}":1')) > FACTOR * plain_json


def test_a_head_has_so_many_lines_and_parameters() -> None:
    lines = [b"".join(b"x%d: y\r\n" % n for n in range(count)) + NAMED for count in (31, 32)]
    named = [part("x", b"", *[f"y{n}=1" for n in range(count)]) for count in (31, 32)]
    for good, bad in (lines, named):
        read_form(form(good, file(b"RIFF")))
        with pytest.raises(GatewayError, match="more than 32"):
            read_form(form(bad, file(b"RIFF")))
