"""What the shipped routes.yaml reads of recorded responses, and what is noted when one breaks off."""

import base64
import gzip
import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.gateway.inbound.payload import Upload, json_request_body
from engine.gateway.record import RecordBuilder, Timestamps, lines
from engine.gateway.response.event_stream import EventStream
from engine.gateway.response.usage import MAX_ESTIMATED, MAX_UNPACKED, MAX_WHOLE, UsageMeter
from engine.gateway.response.usage_reader import usage_readers
from engine.plan.usage import COUNTS, TOTAL
from engine.server.hooks.limits import estimate_of
from tests.servers import read_yaml
from tests.tables import each
from tests.unit.gateway.plans import shipped_plan

SHAPES = read_yaml("tests/unit/gateway/usage_shapes.yaml")
READERS = usage_readers(shipped_plan().every_endpoint())
JSON = [(b"content-type", b"application/json; charset=utf-8")]
EVENTS = [(b"content-type", b"text/event-stream")]
NAMES = [f"{number}-{s['endpoint']}-{s['vendor']}" for number, s in enumerate(SHAPES)]


def events(shape: Any) -> list[bytes]:
    return [b"data: %b\n\n" % json.dumps(event).encode() for event in shape["events"]]


def metered(endpoint: str, texts: list[bytes], headers: Any, outcome: str = "ok") -> dict[str, Any]:
    meter, record = UsageMeter(READERS[endpoint]), RecordBuilder(request_id="req_1")
    record.outcome, record.bytes_in, record.bytes_out = outcome, 80, sum(map(len, texts))
    record.provider, record.sent_model = "p", "m"
    assert meter.start(200, dict(headers))
    stream = EventStream((), None, meter)
    for text in texts:
        if headers is EVENTS:
            assert stream.feed(text) == text
        else:
            meter.add(text)
    meter.finish(record, is_priced=False)
    line: dict[str, Any] = json.loads(lines([record.freeze(Timestamps())]))
    assert "exception" not in line
    return line


@each("shape", SHAPES)
def test_each_recorded_shape_is_read(shape: Any) -> None:
    reader = READERS[shape["endpoint"]]
    if "body" in shape:
        found = reader.body(json.dumps(shape["body"]).encode())
    else:
        found = reader.events(events(shape))
    assert found == shape["counts"]


def test_every_endpoint_with_usage_has_a_shape() -> None:
    assert {s["endpoint"] for s in SHAPES} >= READERS.keys()


def test_a_whole_stream_is_reported() -> None:
    shape = next(s for s in SHAPES if "events" in s)
    line = metered("chat_completions", events(shape), EVENTS)
    assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (19, 1, "reported")


def test_a_stream_that_broke_off_is_partial() -> None:
    shape = next(s for s in SHAPES if s["endpoint"] == "messages" and "events" in s)
    line = metered("messages", events(shape)[:2], EVENTS, "client_cancelled")
    assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (30, 2, "partial")


CONTENTS = {
    "chat_completions": {"choices": [{"delta": {"content": "T"}}]},
    "completions": {"choices": [{"text": "T"}]},
    "responses": {"type": "response.output_text.delta", "sequence_number": 4, "delta": "T"},
    "messages": {"type": "content_block_delta", "delta": {"type": "text_delta", "text": "T"}},
    "cohere_chat": {"type": "content-delta", "delta": {"message": {"content": {"text": "T"}}}},
}


TICKS = [(0, 1, True), (0.5, 1, True), (1.1, 1, True), (1.7, 1, True), (2.2, 1, True), (2.3, 2, True), (3.3, 3, True), (4.4, 3, True)]  # fmt: skip


@each(
    ("ticks", "outcome", "silent"),
    [
        (TICKS, "client_cancelled", 3300),
        (TICKS, "ok", None),
        (TICKS[:2], "client_cancelled", None),
        (
            [(at, 1, False) for at, *_ in TICKS],
            "client_cancelled",
            None,
        ),  # the caller does not read
        ([(at, number, True) for number, (at, *_) in enumerate(TICKS)], "client_cancelled", None),
    ],
)
def test_the_time_in_which_a_stream_that_broke_off_stood_still_is_noted(
    ticks: list[tuple[float, int, bool]], outcome: str, silent: float | None
) -> None:
    """A second of it counts, and then each further one; `noted` are events until then."""
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    for at, noted, is_read in ticks:
        while meter.event_chunks < noted:
            meter.observe(b"data: {}\n\n")
        meter.tick(at, is_read=is_read)
    record = RecordBuilder(request_id="req_1", outcome=outcome)
    meter.finish(record, is_priced=False)
    assert json.loads(lines([record.freeze(Timestamps())])).get("ms_silent") == silent


@each("endpoint", CONTENTS)
@each("outcome", ["client_cancelled", "ok"])
@each(("count", "size", "tokens"), [(40, 200, 2000), (40, 2, 40), (3, 90, 67)])
def test_a_stream_without_usage_counts_the_text_of_its_output(
    endpoint: str, outcome: str, count: int, size: int, tokens: int
) -> None:
    event = json.dumps(CONTENTS[endpoint]).replace('"T"', json.dumps("x" * size))
    line = metered(endpoint, [b"data: %b\n\n" % event.encode()] * count, EVENTS, outcome)
    assert line["output_tokens"] == tokens


def test_events_that_arrive_together_count_as_much_and_long_text_has_a_bound() -> None:
    event = b'data: {"choices":[{"delta":{"content":"%b"}}]}\n\n'
    together = metered("chat_completions", [event % (b"x" * 80) * 5] * 4, EVENTS)
    assert together["output_tokens"] == 400
    long = metered("chat_completions", [event % (b"x" * 60_000)] * 50, EVENTS)
    assert long["output_tokens"] == MAX_ESTIMATED // 4


def test_a_response_without_usage_is_estimated() -> None:
    line = metered("chat_completions", [b'data: {"choices":[]}\n\n'] * 7, EVENTS)
    assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (21, 7, "estimated")
    line = metered("rerank", [b'{"results":[]}'], JSON)
    assert (line["input_tokens"], line["usage"]) == (None, None)


IMAGE = base64.b64encode(bytes(range(256)) * 12_000)


@pytest.mark.parametrize("headers", [JSON, EVENTS], ids=["whole", "events"])
@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        (b'{"prompt": "%b"}' % (b"Some words. " * 180_000), 540_004),
        (b'{"image": "%b"}' % IMAGE, 65_540),
        (b'{"image": "%b", "text": "%b"}' % (IMAGE, b"Some words. " * 180_000), 605_543),
        (None, 65_537),  # of a form, or of what is not known
    ],
)
def test_the_input_of_a_large_body_is_estimated_by_its_text_and_a_part_of_its_images(
    body: bytes | None, tokens: int, headers: Any
) -> None:
    texts = [b'data: {"x":1}\n\n'] if headers is EVENTS else [b"{}"]
    size = 3_000_000 if body is None else len(body)
    record = RecordBuilder(request_id="req_1", bytes_in=size, bytes_out=size, outcome="ok")
    meter = UsageMeter(READERS["chat_completions"], None if body is None else Upload(body, size))
    assert meter.start(200, dict(headers))
    for text in texts:
        (meter.observe if headers is EVENTS else meter.add)(text)
    found = meter.metered(record).counts
    assert found["input_tokens"] == tokens
    assert found["output_tokens"] == (1 if headers is EVENTS else 65_536)
    endpoint = next(e for e in shipped_plan().every_endpoint() if e.name == "chat_completions")
    if body is not None:
        reserved, _ = estimate_of(endpoint, json_request_body(body, endpoint), size)
        assert reserved == tokens


def test_units_are_noted_beside_tokens() -> None:
    line = metered("ocr", [b'{"usage_info":{"pages_processed":3}}'], JSON)
    assert (line["units"], line["usage"]) == ({"pages": 3}, "reported")


@each("size", [10, MAX_WHOLE + 1])
def test_usage_at_the_end_of_a_body_in_many_chunks_is_read(size: int) -> None:
    body = b'{"data":[{"b64_json":"%b"}],"usage": {"input_tokens":50,"output_tokens":60}}' % (
        b"A" * size
    )
    whole = [body[at : at + 60_000] for at in range(0, len(body), 60_000)]
    cut_in_usage = [body[:-70_030], body[-70_030:-30], body[-30:]]
    for chunks in (whole, cut_in_usage if size > MAX_WHOLE else [body[:-30], body[-30:]]):
        line = metered("images_generations", chunks, JSON)
        assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (50, 60, "reported")


def test_an_event_in_pieces_is_read_and_a_mention_in_text_is_not() -> None:
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    stream = EventStream((b"[DONE]",), None, meter)
    said = json.dumps({"choices": [{"delta": {"content": '"usage": {"prompt_tokens": 1}'}}]})
    elsewhere = json.dumps({"choices": [{"usage": {"prompt_tokens": 9}}]})
    for piece in (
        f"data: {said}\n\nda",
        'ta: {"us',
        'age":{"prompt_tokens":3}}\n',
        f"\ndata: {elsewhere}\n\n",
    ):
        stream.feed(piece.encode())
    assert meter.counts() == {"input_tokens": 3}


@each("end", ["", "\n", "\r\n", "\n\n"])
def test_a_last_event_without_the_blank_line_after_it_is_read(end: str) -> None:
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    stream = EventStream((b"[DONE]",), None, meter)
    text = b'data: {"x":1}\n\ndata: {"usage":{"prompt_tokens":3}}' + end.encode()
    assert stream.feed(text) + stream.take_held() == text
    assert meter.counts() == {"input_tokens": 3}


@each(
    "event",
    [
        b'data: {"usage": {"prompt_tokens": 3,\ndata: "completion_tokens": 4}}\n\n',
        b'data: {"usage":\ndata: {"prompt_tokens": 3, "completion_tokens": 4}}\n\n',
        b'data: {"usage"\r\ndata:: {\r\ndata: "prompt_tokens": 3, "completion_tokens": 4}}\r\n\r\n',
        b'data: {"usage":\n: a comment\nid: 7\ndata:{"prompt_tokens": 3, "completion_tokens":\ndata: 4}}\n\n',
    ],
)
@each("step", [1, 7, 1000])
def test_usage_over_several_lines_of_one_event_is_read(event: bytes, step: int) -> None:
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    stream = EventStream((), None, meter)
    sent = [stream.feed(event[at : at + step]) for at in range(0, len(event), step)]
    assert b"".join(sent) == event
    assert meter.counts() == {"input_tokens": 3, "output_tokens": 4}


JSON_VALUES = st.recursive(
    st.none()
    | st.integers(-1, 9)
    | st.sampled_from(["usage", '"usage":{"prompt_tokens":7}', "\\"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "prompt_tokens", "prompt_tokens_details", "cached_tokens", 'a"usage']
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(st.sampled_from(["usage", "a", "b", "usage_info"]), JSON_VALUES), st.booleans()
)
@example(body={'a"usage': {"prompt_tokens": 9}}, is_dense=True)
def test_usage_is_found_wherever_it_stands_and_nothing_else_is(body: Any, is_dense: bool) -> None:
    text = json.dumps(body, separators=(",", ":") if is_dense else None).encode()
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    details = usage.get("prompt_tokens_details")
    details = details if isinstance(details, dict) else {}
    numbers = {
        "input_tokens": usage.get("prompt_tokens"),
        "output_tokens": None,
        "cached_tokens": next(
            (n for n in (details.get("cached_tokens"), usage.get("cached_tokens")) if is_count(n)),
            None,
        ),
    }
    expected = {name: number for name, number in numbers.items() if is_count(number)}
    assert READERS["chat_completions"].body(text) == expected
    assert READERS["chat_completions"].body(text + b" ") == expected


def is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def test_a_compressed_response_is_read_and_one_that_is_too_long_is_not() -> None:
    body = b'{"data":"%b","usage":{"prompt_tokens":5,"completion_tokens":6}}'
    packed = [(b"content-type", b"application/json"), (b"content-encoding", b"gzip")]
    line = metered("chat_completions", [gzip.compress(body % b"")], packed)
    assert (line["input_tokens"], line["usage"]) == (5, "reported")
    line = metered("chat_completions", [gzip.compress(body % (b"A" * MAX_UNPACKED))], packed)
    assert (line["input_tokens"], line["usage"]) == (21, "estimated")
    line = metered("chat_completions", [gzip.compress(body % b"")[:-20]], packed, "upstream_error")
    assert line["usage"] == "partial"
    line = metered("chat_completions", [b"no gzip"], packed)
    assert line["usage"] == "estimated"
    for size, usage in (MAX_WHOLE, "reported"), (MAX_WHOLE + 1, "estimated"):
        line = metered("chat_completions", [gzip.compress(body % b"").ljust(size, b"\0")], packed)
        assert line["usage"] == usage


@each(
    ("status", "headers"),
    [
        (429, JSON),
        (200, [*JSON, (b"content-encoding", b"br")]),
        (200, [(b"content-type", b"audio/mpeg")]),
    ],
)
def test_what_cannot_have_usage_is_not_read(status: int, headers: Any) -> None:
    assert not UsageMeter(READERS["chat_completions"]).start(status, dict(headers))


# -- the event that is taken out of a stream -----------------------------------------------------

CHUNK = b'data: {"id":"c","choices":[{"delta":{"content":"a \\"usage\\": {"}}],"usage":null}%b'
EXTRA = b'data: {"id":"c","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}%b'
FINAL = b'data: {"id":"c","choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":3}}%b'
FILTER = b'data: {"id":"","choices":[],"prompt_filter_results":[1]}%b'
ERROR = b'event: error\ndata: {"error":{"usage":{"a":1}}}%b'
BETWEEN = b": keep alive%b"
DONE = b"data: [DONE]%b"
HIDDEN: tuple[tuple[str, Any], ...] = (("choices", []),)
EVENT = st.sampled_from([CHUNK, EXTRA, FINAL, FILTER, ERROR, BETWEEN])


@given(
    st.lists(EVENT, max_size=5),
    st.sampled_from([b"\n\n", b"\r\n\r\n", b"\r\r"]),
    st.booleans(),
    st.lists(st.integers(0, 600), max_size=6),
)
@example([BETWEEN, EXTRA], b"\n\n", False, [13])
def test_the_extra_event_is_taken_out_however_a_stream_is_cut(
    found: list[bytes], end: bytes, is_last: bool, cuts: list[int]
) -> None:
    found = [*found, DONE, *([EXTRA] if is_last else [])]
    whole = b"".join(event % end for event in found)
    without = b"".join(event % end for event in found if event is not EXTRA)
    left = passed(whole, cuts)
    # Of a line end CR LF that is cut in the middle after it, the LF stays: a blank line, which is nothing.
    assert left == without or (end == b"\r\n\r\n" and left.split() == without.split())
    # An event without the blank line after it ends with the stream.
    left = passed(whole.removesuffix(end), cuts)
    assert left.rstrip() == without.rstrip() or left.split() == without.split()


def passed(whole: bytes, cuts: list[int]) -> bytes:
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    stream = EventStream((b"[DONE]",), None, meter, HIDDEN)
    left = b""
    for start, end in pairwise([0, *sorted(cuts), len(whole)]):
        left += stream.feed(whole[start:end])
    left += stream.take_held()
    if EXTRA[:-2] in whole:
        assert meter.counts()["input_tokens"] == 3
    return left


def test_no_event_waits_for_what_comes_after_it() -> None:
    meter = UsageMeter(READERS["chat_completions"])
    assert meter.start(200, dict(EVENTS))
    stream = EventStream((b"[DONE]",), None, meter, HIDDEN)
    for event in (CHUNK, FILTER, FINAL, BETWEEN, DONE):
        assert stream.feed(event % b"\n\n") == event % b"\n\n"
    assert stream.feed(CHUNK % b"\n") == CHUNK % b"\n", (
        "not even the line after it, if it is no usage"
    )
    long = CHUNK % (b" " * 70_000)
    assert stream.feed(b"\n" + long) == b"\n" + long, "what is too long to be held leaves"


def test_the_input_of_the_first_event_outlives_many_counts_of_the_output() -> None:
    start = {
        "type": "message_start",
        "message": {"usage": {"input_tokens": 25, "output_tokens": 1}},
    }
    later = [{"type": "message_delta", "usage": {"output_tokens": n}} for n in range(2, 12)]
    texts = [b"data: %b\n\n" % json.dumps(event).encode() for event in (start, *later)]
    line = metered("messages", texts, EVENTS)
    assert (line["input_tokens"], line["output_tokens"]) == (25, 11)


def usage_event(endpoint: str, counts: Mapping[str, int | None]) -> bytes:
    """An event that has `counts` where the endpoint declares them first."""
    places = READERS[endpoint].places
    event: dict[str, Any] = {}
    for field in places.fields:
        if field.count in counts and field.inside:
            node = event
            *path, last = places.events_at[0] + field.inside[0]
            for name in path:
                node = node.setdefault(name, {})
            node[last] = counts[field.count]
    return b"data: %b\n\n" % json.dumps(event).encode()


@each("endpoint", sorted(name for name, reader in READERS.items() if reader.places.events_at))
@each(
    "latest",
    [
        dict.fromkeys((*COUNTS, TOTAL), 0),
        dict.fromkeys((*COUNTS, TOTAL), None),
        {"input_tokens": 0, "cached_tokens": 0, "seconds": 0},
        {"output_tokens": 0},
    ],
)
def test_a_later_count_of_nothing_is_no_correction_of_what_was_counted_before(
    endpoint: str, latest: Mapping[str, int | None]
) -> None:
    """Some servers end a stream so, or have the input in its first event alone."""
    first = usage_event(endpoint, dict(zip(COUNTS, range(9, 90, 9), strict=False)))
    whole = READERS[endpoint].events([first])
    assert sum(whole.values()) >= 27
    assert READERS[endpoint].events([first, usage_event(endpoint, latest)]) == whole


@each(
    ("later", "counts"),
    [
        ({"input_tokens": 12}, (12 + 5, 7)),  # the first was an estimate
        ({"input_tokens": 30, "cached_tokens": 0}, (30, 7)),
        ({"input_tokens": 0, "cached_tokens": 30}, (30, 7)),
        ({"input_tokens": 0, "cached_tokens": 0, "output_tokens": 9}, (25 + 5, 9)),
        ({"output_tokens": 4}, (25 + 5, 4)),
    ],
)
def test_a_later_count_is_that_of_the_provider_also_where_it_is_lower(
    later: dict[str, int | None], counts: tuple[int, int]
) -> None:
    first = {"input_tokens": 25, "cached_tokens": 5, "output_tokens": 7}
    found = READERS["messages"].events([usage_event("messages", first), usage_event("messages", later)])  # fmt: skip
    assert (found["input_tokens"], found["output_tokens"]) == counts


@each("endpoint", sorted(name for name, reader in READERS.items() if reader.places.estimates))
@each("headers", [JSON, EVENTS])
def test_a_response_without_input_was_not_counted_and_is_estimated(
    endpoint: str, headers: Any
) -> None:
    """A server that reports zeros would have no limit."""
    places = READERS[endpoint].places
    if headers is EVENTS and not places.events_at:
        return
    zeros = {"prompt_tokens": 0, "completion_tokens": 0, "input_tokens": 0, "output_tokens": 0}
    node: Any = zeros
    for name in reversed((places.at if headers is JSON else places.events_at)[0]):
        node = {name: node}
    text = json.dumps(node).encode()
    line = metered(endpoint, [text if headers is JSON else b"data: %b\n\n" % text], headers)
    assert (line["input_tokens"], line["usage"]) == (21, "estimated")
    assert not places.has_output or line["output_tokens"] > 0


TEXT, AUDIO = [(b"content-type", b"text/plain")], [(b"content-type", b"audio/mpeg")]


@each(
    ("endpoint", "texts", "headers", "units"),
    [
        ("audio_transcriptions", [b'{"text": "Hi"}'], JSON, {"seconds": 4801}),
        ("audio_transcriptions", [b'{"text": "Hi", "duration": 8.5}'], JSON, {"seconds": 9}),
        ("audio_transcriptions", [b'{"usage": {"input_tokens": 5, "output_tokens": 1}}'], JSON, None),
        ("audio_transcriptions", [b"Hi", b'"usage": {"seconds": 3}'], TEXT, {"seconds": 4801}),
        ("audio_transcriptions", [b'data: {"delta": "Hi"}\n\n'], EVENTS, {"seconds": 4801}),
        ("audio_translations", [b"\0"], [*JSON, (b"content-encoding", b"br")], {"seconds": 4801}),
        ("audio_speech", [b"\0" * 70_000] * 99, AUDIO, {"characters": 9_600_001}),
        ("ocr", [b"{}"], JSON, {"pages": 961}),
        ("chat_completions", [b"\0"], AUDIO, None),
    ],
)  # fmt: skip
@each("outcome", ["ok", "client_cancelled"])
def test_units_that_a_response_does_not_say_are_estimated_by_the_size_of_the_request(
    endpoint: str, texts: list[bytes], headers: Any, units: dict[str, int] | None, outcome: str
) -> None:
    meter, record = UsageMeter(READERS[endpoint]), RecordBuilder(request_id="req_1")
    record.bytes_in, record.outcome = 9_600_001, outcome
    reads = meter.start(200, dict(headers))
    assert reads == (endpoint != "chat_completions")
    assert not UsageMeter(READERS[endpoint]).start(400, dict(headers))
    for text in texts if reads else ():
        (meter.observe if headers is EVENTS else meter.add)(text)
    assert sum(map(len, meter._chunks)) < 1000, "audio is not kept"
    if reads:
        meter.finish(record, is_priced=False)
    line = json.loads(lines([record.freeze(Timestamps())]))
    assert line.get("units") == units
    is_estimated = units is not None and min(units.values()) > 99
    whole = "estimated" if is_estimated else "reported" if reads else None
    assert line["usage"] == (whole if outcome == "ok" or not reads else "partial")


def test_output_of_nothing_is_a_count_where_there_is_input() -> None:
    body = {"usage": {"prompt_tokens": 3, "completion_tokens": 0}}
    line = metered("chat_completions", [json.dumps(body).encode()], JSON)
    assert (line["input_tokens"], line["output_tokens"], line["usage"]) == (3, 0, "reported")


@each("count", [2**53, 1e300, -1, -0.5, True, "7"])
def test_what_no_count_can_be_is_none(count: Any) -> None:
    body = {"usage": {"prompt_tokens": count, "completion_tokens": 5}}
    assert READERS["chat_completions"].body(json.dumps(body).encode()) == {"output_tokens": 5}
