"""The answer machine without a socket: every step of its table, and every cut of its input."""

from collections.abc import Iterator
from itertools import pairwise, product

from hypothesis import given
from hypothesis import strategies as st

from engine.upstream import Failure
from engine.upstream.http1.response import (
    MAX_FIELDS,
    MAX_HEAD,
    MAX_HEADS,
    MAX_NAME,
    MAX_NAMES_BYTES,
    STEP,
    ExchangeState,
    HeaderNames,
    ResponseReader,
)
from tests.tables import each

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
ANSWERS = {
    "length": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello"),
    "chunked": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    "interim": (b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" * 3 + HEAD + b"content-length: 2\r\n\r\nhi", b"hi"),
    "none": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "empty": (HEAD + b"content-length: 0\r\n\r\n", b""),
}  # fmt: skip


def asked() -> ResponseReader:
    answer = ResponseReader(HeaderNames())
    answer.send_request()
    return answer


def fed(*chunks: bytes) -> ResponseReader:
    answer = asked()
    for chunk in chunks:
        answer.feed(chunk)
    return answer


# From each state, where a byte leads; every other end of the use is MUST_CLOSE.
STEPS = {
    ExchangeState.IDLE: set(),
    ExchangeState.HEAD: {ExchangeState.HEAD, ExchangeState.BODY, ExchangeState.DONE},
    ExchangeState.BODY: {ExchangeState.BODY, ExchangeState.DONE},
    ExchangeState.DONE: set(),
    ExchangeState.MUST_CLOSE: set(),
}


def test_only_steps_of_the_table_are_taken() -> None:
    """Whatever is fed in whatever state leads where the table says, or ends the use."""
    inputs = [raw for raw, _ in ANSWERS.values()] + [b"\0garbage\r\n\r\n", b"H"]
    for start, first, second in product((True, False), inputs, inputs):
        answer = asked() if start else ResponseReader(HeaderNames())
        for at in range(len(first + second)):
            was = answer.state
            answer.feed((first + second)[at : at + 1])
            assert answer.state in STEPS[was] | {ExchangeState.MUST_CLOSE}
        assert (answer.failure is None) or answer.state is ExchangeState.MUST_CLOSE


@given(
    st.lists(
        st.sampled_from(["send_request", "release", "close", "HTTP/1.1 204 Fine\r\n\r\n", "x"]),
        max_size=6,
    )
)
def test_an_exchange_begins_and_ends_at_rest(steps: list[str]) -> None:
    answer, model = ResponseReader(HeaderNames()), ExchangeState.IDLE
    for step in steps:
        was, model = model, ExchangeState.MUST_CLOSE
        if step == "send_request":
            answer.send_request()
            model = ExchangeState.HEAD if was is ExchangeState.IDLE else model
        elif step == "release":
            model = ExchangeState.IDLE if was is ExchangeState.DONE else model
            assert answer.release() is (was is ExchangeState.DONE)
        elif step == "close":
            answer.closed(cleanly=True)
        else:
            answer.feed(step.encode())
            model = ExchangeState.DONE if was is ExchangeState.HEAD and step != "x" else model
        assert answer.state is model


@given(st.sampled_from(sorted(ANSWERS)), st.data())
def test_an_answer_is_the_same_however_it_is_cut(name: str, data: st.DataObject) -> None:
    raw, body = ANSWERS[name]
    places = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=6)) | {0, len(raw)})
    answer = fed(*(raw[a:b] for a, b in pairwise(places)))
    assert (answer.status, answer.is_complete, answer.pop_chunks()) == (int(raw[9:12]) if name != "interim" else 200, True, body)  # fmt: skip
    assert answer.release()
    assert answer.state is ExchangeState.IDLE


@each("surplus", [ANSWERS["none"][0], b"x" * STEP, b"\0"])
def test_what_follows_an_answer_that_ends_with_a_step_is_not_lost(surplus: bytes) -> None:
    interim = b"HTTP/1.1 103 Early\r\nlink: LINK\r\n\r\n"
    final = ANSWERS["none"][0]
    pad = b"x" * (STEP - len(interim) - len(final) + len(b"LINK"))
    answer = fed(interim.replace(b"LINK", pad) + final + surplus)
    assert answer.is_complete
    assert not answer.release()


@each("name", ANSWERS)
def test_a_connection_carries_one_answer_after_another(name: str) -> None:
    answer = ResponseReader(HeaderNames())
    for _ in range(3):
        answer.send_request()
        answer.feed(ANSWERS[name][0])
        assert (answer.is_complete, answer.pop_chunks()) == (True, ANSWERS[name][1])
        assert answer.release()


def cuts() -> Iterator[tuple[str, int]]:
    """Places inside the answers whose length is known, but for their ends."""
    for name in ("length", "chunked", "interim"):
        yield from ((name, place) for place in range(len(ANSWERS[name][0])))


def test_an_answer_that_is_cut_is_never_complete() -> None:
    for name, place in cuts():
        answer = fed(ANSWERS[name][0][:place])
        answer.closed(cleanly=True)
        assert not answer.is_complete
        assert answer.failure is (Failure.TRUNCATED if answer.status else Failure.CLOSED)
        assert not answer.release()


@each(("is_clean", "failure"), [(True, None), (False, Failure.TRUNCATED)])
def test_an_end_of_input_completes_only_what_it_frames(
    failure: Failure | None, *, is_clean: bool
) -> None:
    answer = fed(HEAD + b"\r\nhello")
    answer.closed(cleanly=is_clean)
    assert (answer.is_complete, answer.failure, answer.pop_chunks()) == (
        is_clean,
        failure,
        b"hello",
    )
    assert not answer.release()


@each("surplus", [b"x", ANSWERS["length"][0], b"\r\n\0"])
def test_bytes_behind_an_answer_end_the_connection_and_not_the_answer(surplus: bytes) -> None:
    for chunks in ([ANSWERS["length"][0] + surplus], [ANSWERS["length"][0], surplus]):
        answer = fed(*chunks)
        assert (answer.is_complete, answer.pop_chunks()) == (True, b"hello")
        assert not answer.release()


def test_bytes_for_nobody_end_the_connection() -> None:
    answer = ResponseReader(HeaderNames())
    answer.feed(ANSWERS["length"][0])
    assert answer.state is ExchangeState.MUST_CLOSE


@each(
    "raw",
    [
        b"\0\1\2 not http\r\n\r\n",
        b"HTTP/1.1 099 No\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nupgrade: x\r\n\r\n",
        HEAD + b"content-length: 2\r\ncontent-length: 3\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\n\r\n",
        HEAD + b"transfer-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n",
        HEAD + b"x: 1\r\n" * MAX_FIELDS + b"content-length: 0\r\n\r\n",
        HEAD + b"x: " + b"y" * 200_000,
    ],
)
def test_what_is_not_http_is_refused(raw: bytes) -> None:
    answer = fed(raw)
    assert (answer.state, answer.failure, answer.status) == (
        ExchangeState.MUST_CLOSE,
        Failure.BAD_RESPONSE,
        0,
    )


def test_names_are_in_lower_case_and_values_as_they_came() -> None:
    answer = fed(HEAD + b"X-Name: Caf\xc3\xa9\r\nX-NAME: 2\r\nContent-Length: 0\r\n\r\n")
    assert answer.headers[1:3] == [(b"x-name", b"Caf\xc3\xa9"), (b"x-name", b"2")]


def test_pieces_stay_as_they_came() -> None:
    answer = fed(
        HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\na\r\n1\r\nb\r\n", b"1\r\nc\r\n"
    )
    assert [*answer.chunks] == [b"a", b"b", b"c"]
    assert [answer.pop_chunks(), answer.pop_chunks()] == [b"abc", b""]
    assert answer.buffered == 0


CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
READ = 256 * 1024  # what a loop reads at a time
# By name: how an answer begins, and what then comes without end.
ENDLESS = {
    "a trailer's value": (CHUNKED + b"0\r\nx: ", b"y"),
    "a trailer's name": (CHUNKED + b"0\r\n", b"y"),
    "trailers": (CHUNKED + b"0\r\n", b"x:\r\n"),
    "a chunk's extension": (CHUNKED + b"1;", b"y"),
    "a chunk's extensions": (CHUNKED + b"1", b";a=b"),
    "a chunk's size": (CHUNKED, b"0"),
    "a header's value": (HEAD + b"x: ", b"y"),
    "a header's name": (HEAD, b"y"),
    "headers": (HEAD, b"x:\r\n"),
    "a reason": (b"HTTP/1.1 200 ", b"y"),
    "interim answers": (b"", b"HTTP/1.1 102 Processing\r\n\r\n"),
    "interim names": (b"", b"HTTP/1.1 103 Early\r\n" + b"y" * 100_000 + b": x\r\n\r\n"),
    "blank lines": (b"", b"\r\n"),
}


@each("name", ENDLESS)
@each("size", [1000, READ])
def test_what_is_swallowed_is_bounded_wherever_it_stands(name: str, size: int) -> None:
    begin, more = ENDLESS[name]
    answer = fed(begin)
    block = more * (READ // len(more) + 1)
    spent = 0
    while answer.failure is None:
        chunk = block[spent % len(more) :][:size]
        answer.feed(chunk)
        spent += len(chunk)
        assert spent <= (MAX_HEADS if name.startswith("interim") else MAX_HEAD) + 2 * size
    assert answer.failure is (
        Failure.TRUNCATED if begin.startswith(CHUNKED) else Failure.BAD_RESPONSE
    )
    assert len(answer.headers) <= MAX_FIELDS + STEP // 4


def test_a_body_of_any_size_may_come_between() -> None:
    """What is handed on starts the count again: only what is swallowed is counted."""
    answer = fed(CHUNKED)
    for _ in range(5):
        answer.feed(b"1;" + b"y" * (MAX_HEAD - 1000) + b"\r\na\r\n")
    answer.feed(b"%x\r\n%b\r\n" % (2 * MAX_HEAD, b"b" * 2 * MAX_HEAD))
    assert (answer.state, len(answer.pop_chunks())) == (ExchangeState.BODY, 5 + 2 * MAX_HEAD)


@each("more", [0, 1])
def test_the_bounds_are_where_they_are_said_to_be(more: int) -> None:
    fields = b"x:1\r\n" * (MAX_FIELDS + more)
    head = fed(b"HTTP/1.1 200 OK\r\n" + fields + b"\r\n")
    assert (head.status == 200) is not bool(more)
    trailers = fed(CHUNKED + b"0\r\n" + fields + b"\r\n")
    assert (trailers.is_complete, len(trailers.headers), trailers.release()) == (True, 2, True)
    begin = b"HTTP/1.1 200 OK\r\nx: "
    pieces = (b"y" * min(100, n) for n in range(MAX_HEAD - len(begin) + more, 0, -100))
    long = fed(begin, *pieces)
    assert (long.state is ExchangeState.HEAD) is not bool(more)
    interim = b"HTTP/1.1 102 Processing\r\n\r\n"
    after = fed(interim, begin + b"y" * (MAX_HEAD - len(begin) + more))
    assert (after.state is ExchangeState.HEAD) is not bool(more)
    extension = b"\r\n1;"
    behind = fed(CHUNKED, b"1\r\nb", extension + b"y" * (MAX_HEAD - len(extension) + more))
    assert (behind.state is ExchangeState.BODY) is not bool(more)
    assert (MAX_HEAD, MAX_HEADS, MAX_FIELDS) == (128 * 1024, 4 * 1024 * 1024, 1000)


def test_twenty_thousand_interim_answers_are_nothing_odd() -> None:
    answer = fed(b"HTTP/1.1 102 Processing\r\n\r\n" * 20_000 + ANSWERS["length"][0])
    assert (answer.status, answer.pop_chunks()) == (200, b"hello")


def test_few_and_short_names_are_remembered() -> None:
    names = HeaderNames()
    for n in range(6000):
        for length in (MAX_NAME, MAX_NAME + 1):
            name = b"X%d" % n + b"y" * (length - len(b"X%d" % n))
            assert names[name] == name.lower()
    assert 0 < len(names) <= MAX_NAMES_BYTES // MAX_NAME
    assert all(len(name) <= MAX_NAME for name in names)


@each(("status", "length"), [(200, 2), (204, None), (205, 2), (304, None)])
def test_the_declared_length_is_that_of_a_body(status: int, length: int | None) -> None:
    answer = fed(b"HTTP/1.1 %d Some\r\ncontent-length: 2\r\n\r\n" % status)
    assert (answer.status, answer.length, answer.is_complete) == (status, length, length is None)
