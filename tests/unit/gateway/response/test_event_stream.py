"""What of an event stream leaves, at every byte where a provider may break off.

A parser judges it that follows the WHATWG text line by line; tests/e2e/sdk asks those of the SDKs.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from engine.gateway.errors import GatewayError
from engine.gateway.response.error_events import error_event
from engine.gateway.response.event_stream import MAX_HELD, EventStream
from engine.plan.plan import Dialect
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

Event = tuple[str, str]
ERROR = GatewayError("upstream_truncated", "it broke off")


def whatwg(body: bytes) -> list[Event]:
    """The events that HTML, 9.2.6 dispatches: name and data."""
    text = (
        body.decode(errors="replace")
        .removeprefix("\ufeff")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    found, name, data = [], "", list[str]()
    for line in text.split("\n")[:-1]:  # what no line end has followed is dropped
        if not line:
            if data:
                found.append((name, "\n".join(data)))
            name, data = "", []
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return found


CHAT = b'data: {"n":1}\n\n: ping\n\ndata: {"n":2}\n\ndata: [DONE]\n\n'
NAMED = b'event: a\ndata: {"type":"a"}\n\nevent: b\nid: 7\nretry: 9\ndata: {"type":"b"}\n\n'
RECORDED = {
    "chat": CHAT,
    "named": NAMED,
    "crlf": NAMED.replace(b"\n", b"\r\n") + CHAT.replace(b"\n", b"\r\n"),
    "cr": (NAMED + CHAT).replace(b"\n", b"\r"),
    "mixed": b"data: 1\r\n\ndata: 2\n\r\ndata: 3\r\r\n: c\rdata: 4\n\rdata: 5\r\n\r\n",
    "marked": b"\xef\xbb\xbfevent: x\ndata: 1\n\ndata: 2\n\n",
    "several lines": b"data: {\ndata:   1}\n\ndata\ndata:\n\nunknown: 1\ndata: 2\n\n",
    "blank lines": b"\n\n\r\ndata: 1\n\n\n\r\n\rdata: 2\n\n\n",
    "cr first": b"\rdata: 1\r\rdata: 2\r\r",
    "not events": b'{"n": 1}\n{"n": 2}\n',
}


def left(chunks: Iterable[bytes]) -> tuple[EventStream, bytes]:
    """What has left of a stream that arrives in `chunks`."""
    stream = EventStream((b"[DONE]", b"last"))
    return stream, b"".join(stream.feed(chunk) for chunk in chunks)


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    ends = [0, *sorted(place for place in places if place < len(body)), len(body)]
    return [body[start:end] for start, end in pairwise(ends)]


def splits(body: bytes) -> list[list[bytes]]:
    """In one piece, byte by byte, and in two at every place."""
    bytewise = [body[i : i + 1] for i in range(len(body))]
    return [bytewise, *(cut(body, [place]) for place in range(len(body) + 1))]


def broken_off(chunks: Sequence[bytes], parse: Callable[[bytes], list[Event]]) -> str:
    """Break off behind `chunks`, and check what a client makes of it; how the stream has ended."""
    stream, out = left(chunks)
    arrived = b"".join(chunks)
    assert arrived.startswith(out)
    whole = parse(arrived)
    if stream.is_open:
        assert parse(out) == whole[: len(parse(out))]  # cut: no half of an event
        return "cut"
    own = error_event(ERROR, Dialect.OPENAI, "req_1", stream)
    assert parse(out + own) == [*whole, ("", own.decode()[len("data: ") : -2])]
    return "event"


def check_every_break(body: bytes, parse: Callable[[bytes], list[Event]]) -> None:
    ends = set()
    for place in range(len(body) + 1):
        some = [
            [body[:place]],
            [body[i : i + 1] for i in range(place)],
            cut(body[:place], [place // 2]),
        ]
        ends |= {broken_off([chunk for chunk in chunks if chunk], parse) for chunks in some}
    assert "event" in ends


@each("name", RECORDED)
def test_a_break_at_every_byte_of_every_split(name: str) -> None:
    check_every_break(RECORDED[name], whatwg)


@each("name", ["chat", "named", "crlf", "cr", "cr first"])
def test_only_between_the_lines_of_an_event_is_a_stream_cut(name: str) -> None:
    """Within a line it never is, so nearly every break is told of."""
    body = RECORDED[name]
    for place in range(len(body) + 1):
        if body[:place].endswith((b"\n", b"\r")):
            continue
        stream, _ = left([body[:place]])
        assert not stream.is_open or stream.is_done


LINES = st.sampled_from(
    [b"data: 1", b"data", b"data: [DONE]x", b"event: a", b"id: 3", b"retry: 1", b": c", b":", b"", b"", b"", b"x: 1", b'{"a"', b" data: 1"]
)  # fmt: skip
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r"])


@st.composite
def arriving(draw: st.DrawFn) -> list[bytes]:
    """A stream of any lines, broken off anywhere, in any pieces."""
    lines = draw(st.lists(st.tuples(LINES, ENDS), max_size=14))
    body = b"".join(line + end for line, end in lines)
    body = body[: draw(st.integers(0, len(body)))]
    places = draw(st.lists(st.integers(1, max(1, len(body))), max_size=8))
    return [chunk for chunk in cut(body, places) if chunk]


@given(arriving())
def test_any_stream_may_break_off_anywhere(chunks: list[bytes]) -> None:
    broken_off(chunks, whatwg)


@given(arriving())
def test_every_byte_of_a_stream_that_ends_well_leaves(chunks: list[bytes]) -> None:
    stream, out = left(chunks)
    held = stream.take_held()
    assert out + held == b"".join(chunks)
    assert stream.take_held() == b""


@each("name", RECORDED)
def test_what_is_whole_leaves_at_once(name: str) -> None:
    """Events, comments, and lines of data whose event is not complete: none waits for more."""
    body = RECORDED[name]
    for chunks in splits(body):
        stream, arrived, out = EventStream(()), b"", b""
        for chunk in chunks:
            arrived += chunk
            out += stream.feed(chunk)
            held = arrived[len(out) :]
            assert len(whatwg(out)) == len(whatwg(arrived))
            assert not stream.is_open or held == b""
            assert b"data" not in held.replace(b"\r", b"\n").rpartition(b"\n")[0]


@each("line, end", product([b"event: ping", b"id: 7", b"retry: 500"], [b"\n", b"\r\n", b"\r"]))
def test_an_event_without_data_ends_with_a_blank_line_that_comes_later(
    line: bytes, end: bytes
) -> None:
    """Else a break after it would cut the body, where an error event can follow."""
    stream = EventStream((b"[DONE]",))
    assert stream.feed(line + end) + stream.feed(end) == line + end + end
    assert not stream.is_open


def test_a_chunk_that_ends_an_event_is_handed_on_as_it_is() -> None:
    stream = EventStream((b"[DONE]",))
    chunk = b'data: {"n":1}\n\n'
    assert stream.feed(chunk) is chunk


@each("start", [b"data: ", b"event: image\ndata: ", b""])
def test_a_long_line_flows_and_only_its_beginning_waits(start: bytes) -> None:
    stream, block = EventStream((b"[DONE]",)), b"A" * 8192
    stream.feed(b"data: 1\n\n")
    waiting, longest = len(start), 0
    stream.feed(start)
    for _ in range(400):
        waiting += len(block) - len(stream.feed(block))
        longest = max(longest, waiting)
    assert longest <= MAX_HELD
    assert (waiting, stream.is_open) == (0, True)
    assert stream.feed(b"\n") == b"\n"
    assert stream.is_open
    assert stream.feed(b"\ndata: 2\n\n") == b"\ndata: 2\n\n"
    assert not stream.is_open


@each("line", [b"event: x\n", b"retry: 1\r\n", b"event: " + b"y" * 30_000 + b"\n"])
def test_lines_that_dispatch_nothing_wait_within_the_bound(line: bytes) -> None:
    stream, waiting = EventStream(()), 0
    for _ in range(50):
        waiting += len(line) - len(stream.feed(line))
        assert waiting <= MAX_HELD
    assert stream.is_open


# -- the end -----------------------------------------------------------------------------------

DONE = (b"[DONE]", b"last")
ENDINGS = [
    b"data: [DONE]\n\n",
    b"data:[DONE]\r\n\r\n",
    b"data: [DONE]",
    b"data: [DONE]\n",
    b"event: last\ndata: {}\n\n",
    b"event:last\r\ndata: {}\r\n\r\n",
    b'data: {"type":"last"}\n\n',
    b'data: {"text": "x", "usage": {"type": "y"}, "type" : "last"}\n\n',
    b'event: other\rdata: {"type":"last"}\r\r',
    b'data: {"type":"last",\ndata: "n":1}\n\n',
    b'data: {\r\ndata: "n": 1,\r\ndata: "type": "last"}\r\n\r\n',
    b"event: last\nid: 4\ndata\ndata: {}\n\n",
]
NO_ENDINGS = [
    b'data: {"text":"data: [DONE]\\n\\n"}\n\n',
    b'data: {"text":"[DONE]"}\n\n',
    b"data: [DON",
    b": [DONE]\n\n",
    b"event: last\n",
    b"event: last",
    b"event: last\ndata: {}\n",
    b"event: lasting\ndata: {}\n\n",
    b'data: {"of":{"type":"last"}}\n\n',
    b'data: {"text":"\\"type\\":\\"last\\""}\n\n',
    b'data: {"type":["last"]}\n\n',
    b'data: {"type":"last"\n\n',
    b'data: "last"x\n\n',
    b"id: last\n\n",
    b"xdata: [DONE]\n\n",
    b"event: last\n\n",
    b"event: last\n\ndata: {}\n\n",
    b"event: last\nid: 1\n\n",
    b"data: x\ndata: [DONE]\n\n",
    b'data: {"type":"last","n":\n\n',
    b'data: {"type":7,"type2":"last"}\n\n',
]


@each("ending", ENDINGS)
def test_the_last_event_is_known_in_any_split_and_for_good(ending: bytes) -> None:
    for chunks in splits(b'data: {"n":1}\n\n' + ending):
        stream = EventStream(DONE)
        for chunk in chunks:
            stream.feed(chunk)
        assert stream.is_done
        assert stream.feed(b": ping\n\n") + stream.feed(b"data: more\n\n") != b""
        assert stream.is_done


@each("ending", NO_ENDINGS)
def test_nothing_else_is_taken_for_the_last_event(ending: bytes) -> None:
    for chunks in splits(b'data: {"n":1}\n\n' + ending):
        stream = EventStream(DONE)
        for chunk in chunks:
            stream.feed(chunk)
        assert not stream.is_done


def test_a_line_that_only_begins_like_the_last_one() -> None:
    """It is known by its end; or by a piece that ends with it, as nothing need follow."""
    assert not left([b"data: [DONE]x\n\n"])[0].is_done
    assert not left([b"data: [DON", b"E]x\n\n"])[0].is_done


def test_the_last_event_is_found_among_others_and_when_it_is_long() -> None:
    among, _ = left([b"data: 1\n\ndata: [DONE]\n\n: ping\n\ndata: 2\n\n"])
    assert among.is_done
    line = json.dumps({"text": "A" * 3 * MAX_HELD + "\ndata: [DONE]\n"}).encode()
    long = b"event: last\ndata: " + line
    chunks = [long[i : i + 8192] for i in range(0, len(long), 8192)]
    assert not left(chunks)[0].is_done
    assert not left([*chunks, b"\n"])[0].is_done
    assert left([*chunks, b"\n", b"\n"])[0].is_done
    assert left([*chunks, b"\n\n"])[0].is_done


LONG = "A" * 200_000


@each(
    "data",
    [
        {"type": "last", "text": LONG},
        {"n": 1, "text": LONG, "of": {"type": "x"}, "type": "last"},
        {"of": {"type": "x", "text": LONG}, "type": "last"},
        {"type": "last", "n": 1.5, "is": True, "text": LONG * 10},
        {"n": 'a, " {b', "type": "last", "text": [LONG * 10, {"type": "x"}]},
    ],
)
@each("end", ["\n", "\r\n", "\r"])
@each("size", [1000, 65536])
def test_a_long_last_event_is_known_by_the_type_in_its_data(
    data: dict[str, object], end: str, size: int
) -> None:
    body = f"data: 1{end}{end}data: {json.dumps(data)}{end}{end}".encode()
    stream, out = left(body[i : i + size] for i in range(0, len(body), size))
    assert (out, stream.is_open, stream.is_done) == (body, False, True)


@each(
    "data",
    [
        {"of": {"type": "last"}, "text": LONG},
        {"text": LONG, "of": {"type": "last"}},
        {"text": '"type":"last",' * 20_000},
        {"text": '"type":"last",' * 200_000},
        {"n": [1, {"a": 2}], "type": "last", "text": LONG * 10},  # not read so far
    ],
)
def test_a_long_event_is_not_taken_for_the_last_one_by_what_is_inside(data: object) -> None:
    body = f"data: {json.dumps(data)}\n\ndata: 2\n\n".encode()
    stream, _ = left(body[i : i + 8192] for i in range(0, len(body), 8192))
    assert (stream.is_open, stream.is_done) == (False, False)


def test_a_last_event_whose_type_is_written_with_escapes_is_known_while_it_is_the_newest() -> None:
    stream, _ = left([b'data: {"type":"l\\u0061st"}\n\n', b": ping\n\n", b"\n", b"retry: 1\n\n"])
    assert stream.is_complete()


def test_an_open_event_is_kept_within_a_bound_and_read_at_a_bounded_cost() -> None:
    """Tiny pieces and lines, and deep data, are read once, at the end of their event."""
    stream, started = EventStream(DONE), time.process_time()
    stream.feed(b"data:\n")
    for _ in range(40):
        stream.feed(b"data:[\n" * 9000)
    for _ in range(20_000):
        stream.feed(b"[")
    assert stream.feed(b"\n\n") == b"\n\n"
    assert not stream.is_open
    assert time.process_time() - started < 2


@each(
    ("chunks", "has_failed"),
    [
        ([b'data: {"error":{"message":"x"}}\n\n'], True),
        (
            [b'data: {"id":"1","error":{"code":502},"choices":[]}\r\n\r\n', b": ping\n\n", b"\n"],
            True,
        ),
        ([b'data: {"error":\ndata: {"code":1}}\n\n'], True),
        ([b'event: error\ndata: {"n":1}\n\n', b'data: {"n'], True),
        ([b'data: {"type":"error"}\n\n', b"event: x\n\n"], True),
        ([b'event: error\rdata: {"n":1}\r\r'], True),
        ([b'data: {"error":"overloaded"}\n\n'], True),
        ([b'data: {"error":null,"n":1}\n\n'], False),
        ([b'data: {"error":{}}\n\n'], False),
        ([b'data: {"of":{"error":{"code":1}}}\n\n'], False),
        ([b'data: {"text":"\\"error\\":1"}\n\n'], False),
        ([b'data: {"error":{"code":1}}\n\n', b'data: {"n":1}\n\n'], False),
        ([b'data: {"error":{"code":1}}\n\ndata: {"n":1}\n\n'], False),
        ([b'data: {"error":\n\n'], False),
        ([], False),
    ],
)
def test_an_error_of_the_provider_is_known_while_it_is_the_newest_event(
    chunks: list[bytes], *, has_failed: bool
) -> None:
    assert left(chunks)[0].has_failed() == has_failed


def test_text_inside_a_long_line_is_no_line() -> None:
    """A piece may begin in the middle of a line with what would be one of its own."""
    start = b'data: {"text":"' + b"A" * (MAX_HELD + 1)
    stream, _ = left([start, b"data: [DONE]", b'"}\n\n'])
    assert not stream.is_done
    stream, _ = left([start, b"data: [DONE]\n\n"])
    assert not stream.is_done


@each("name", ["image_generation", "image_edit"])
def test_the_first_of_several_images_is_no_end(name: str) -> None:
    """Each of `n` images ends with an event of its own."""
    path = {"image_generation": b"/v1/images/generations", "image_edit": b"/v1/images/edits"}[name]
    stream = EventStream(shipped_plan().endpoints[path]["POST"].last_events)
    data = json.dumps({"type": f"{name}.completed", "b64_json": "AAAA"})
    stream.feed(f"event: {name}.completed\ndata: {data}\n\n".encode())
    assert not stream.is_done


def test_the_first_event_is_noted_once_and_a_comment_is_none() -> None:
    stream = EventStream(())
    for chunk in (b": processing\n\n", b"event: start\n", b"data: 1"):
        stream.feed(chunk)
        assert stream.first_at is None
    stream.feed(b"\n\n")
    first = stream.first_at
    assert first is not None
    stream.feed(b"data: 2\n\n")
    assert stream.first_at == first
