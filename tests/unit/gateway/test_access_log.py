"""Access records leave in batches, off the path of requests, and a stuck reader costs only lines."""

import asyncio
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, TextIO

import pytest

from engine.gateway import access_log
from engine.gateway.access_log import PIPE_BYTES, AccessLog
from engine.gateway.record import Record, RequestIds, location_of
from tests.servers import WAIT

PIPE_BYTES_TOTAL = 64 * 1024


@pytest.fixture
def pipe() -> Iterator[tuple[int, TextIO]]:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        yield reading, stream
    os.close(reading)


def write(log: AccessLog, count: int) -> None:
    records = [Record(request_id=f"req_{number}") for number in range(count)]
    for start in range(0, count, 50):
        log.write(records[start : start + 50])


def test_records_come_out_in_order_and_whole(tmp_path: Path) -> None:
    before = threading.enumerate()

    async def main() -> None:
        with (tmp_path / "log").open("w") as stream:
            log = AccessLog(stream)
            write(log, 1000)
            await asyncio.sleep(access_log.FLUSH_SECONDS * 2)
            write(log, 500)
            log.close()
            assert log.dropped == 0

    asyncio.run(main())
    (thread,) = set(threading.enumerate()) - {*before}
    assert thread.daemon  # else the process would never end
    ids = [json.loads(line)["request_id"] for line in (tmp_path / "log").read_text().splitlines()]
    assert ids == [f"req_{number}" for number in (*range(1000), *range(500))]


def test_nothing_waits_for_a_reader_who_does_not_read(pipe: tuple[int, TextIO]) -> None:
    """Lines beyond the bound are lost, counted, and told once somebody reads again."""
    reading, stream = pipe
    seen: list[bytes] = []

    def drain() -> None:
        while (chunk := os.read(reading, PIPE_BYTES_TOTAL)) and not chunk.endswith(b"lost\n"):
            seen.append(chunk)
        seen.append(chunk)

    async def main() -> int:
        log = AccessLog(stream)
        write(log, 2000)  # more than a pipe holds
        await asyncio.sleep(access_log.FLUSH_SECONDS * 2)
        write(log, access_log.MAX_WAITING + 7)
        assert log.dropped == 7
        held = len(vars(log)["_lines"])
        log.write([Record()] * 3)
        assert len(vars(log)["_lines"]) == held, "what is lost takes no memory"
        reader = threading.Thread(target=drain)
        reader.start()
        await asyncio.to_thread(reader.join)
        return log.dropped

    assert asyncio.run(main()) == 10
    lines = b"".join(seen).splitlines()
    assert len(lines) == 2000 + access_log.MAX_WAITING + 1
    assert lines[-1] == b"engine: 10 lines were lost"
    assert all(json.loads(line)["outcome"] == "refused" for line in lines[:-1])


def test_one_lost_line_is_reported_too(pipe: tuple[int, TextIO]) -> None:
    reading, stream = pipe

    async def main() -> bytes:
        log = AccessLog(stream)
        write(log, access_log.MAX_WAITING + 1)
        seen = b""
        async with asyncio.timeout(10):
            while not seen.endswith(b"lost\n"):
                seen += await asyncio.to_thread(os.read, reading, PIPE_BYTES_TOTAL)
        return seen

    assert asyncio.run(main()).endswith(b"engine: 1 line was lost\n")


def test_messages_of_the_worker_are_bounded_and_counted_as_records_are(
    pipe: tuple[int, TextIO],
) -> None:
    """A hook that fails for each request says so for each, whether somebody reads or not."""
    reading, stream = pipe
    seen = b""

    async def main() -> int:
        nonlocal seen
        log = AccessLog(stream)
        write(log, access_log.MAX_WAITING - 5)
        for _ in range(25):
            log.write_message("a hook failed")
        assert log.dropped == 20
        write(log, 1)
        assert log.dropped == 21
        closing = asyncio.create_task(asyncio.to_thread(log.close))
        while not seen.endswith(b"lost\n"):
            seen += await asyncio.to_thread(os.read, reading, PIPE_BYTES_TOTAL)
        await closing
        return log.dropped

    assert asyncio.run(main()) == 21
    lines = seen.splitlines()
    assert len(lines) == access_log.MAX_WAITING + 1
    assert lines[-6:] == [*[b"engine: a hook failed"] * 5, b"engine: 21 lines were lost"]


def test_a_log_that_cannot_be_written_fails_nobody(pipe: tuple[int, TextIO]) -> None:
    async def main() -> int:
        stream = pipe[1]
        log = AccessLog(stream)
        os.dup2(pipe[0], stream.fileno())  # the end that only reads
        write(log, 5)
        await asyncio.sleep(access_log.FLUSH_SECONDS * 2)
        log.close()
        return log.dropped

    assert asyncio.run(main()) == 5


def test_lines_for_a_stream_that_is_closed_are_counted_as_lost(tmp_path: Path) -> None:
    async def main(log: AccessLog) -> None:
        for _ in range(2):
            write(log, 3)
            log.close()

    with (tmp_path / "log").open("w") as file:
        log = AccessLog(file)
    asyncio.run(main(log))
    assert log.dropped == 6


def test_lines_are_written_whole() -> None:
    """What a pipe takes in one piece is not torn apart by another worker's lines; a longer line stands alone."""
    lines = [b"%d\n" % number * (number % 90 + 1) for number in range(3000)]
    lines[7:7] = lines[2000:2000] = [b"x" * PIPE_BYTES + b"\n"]
    chunks = list(vars(access_log)["_chunks"](b"".join(lines), PIPE_BYTES))
    assert b"".join(chunks) == b"".join(lines)
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert [chunk for chunk in chunks if len(chunk) > PIPE_BYTES] == [b"x" * PIPE_BYTES + b"\n"] * 2
    assert len(chunks) < sum(map(len, lines)) / PIPE_BYTES + 200


def test_a_batch_is_written_to_a_file_at_once_and_to_a_pipe_in_pieces(
    pipe: tuple[int, TextIO], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    real = os.write

    def writing(descriptor: int, data: bytes) -> int:
        sizes.append(len(data))
        return real(descriptor, data)

    async def main(stream: TextIO) -> None:
        log = AccessLog(stream)
        write(log, 60)
        log.close()

    monkeypatch.setattr("os.write", writing)
    with (tmp_path / "log").open("w") as file:
        asyncio.run(main(file))
    (whole,) = sizes
    sizes.clear()
    asyncio.run(main(pipe[1]))
    assert sum(sizes) == whole
    assert max(sizes) <= PIPE_BYTES < whole


def test_ids_are_all_different() -> None:
    made = RequestIds()
    ids = {made.next() for _ in range(2000)}
    assert len(ids) == 2000
    assert all(len(one) == 28 for one in ids)


def test_a_message_of_the_worker_stands_among_the_records_and_quotes_nothing() -> None:
    async def write(stream: TextIO) -> None:
        log = AccessLog(stream)
        try:
            raise RuntimeError("a secret")
        except RuntimeError as error:
            log.write_message(location_of(error))
        log.close()

    with tempfile.TemporaryFile("w+") as stream:
        asyncio.run(write(stream))
        stream.seek(0)
        assert re.fullmatch(r"engine: RuntimeError at test_access_log\.py:\d+\n", stream.read())


def test_after_a_full_disk_no_line_is_torn_and_each_lost_one_is_counted(tmp_path: Path) -> None:
    """A disk takes part of a batch and then nothing, as this pipe does; the message is lost as well, and comes again."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    kept = tmp_path / "log"

    async def run() -> int:
        with os.fdopen(writing, "w") as pipe, open("/dev/full", "w") as full:  # noqa: ASYNC230 a moment
            stream = Swapped(pipe)
            log = AccessLog(stream)  # type: ignore[arg-type]
            for number in range(100):  # more than the pipe takes, each more than it takes at once
                log.write([Record(request_id=f"req_{number}".ljust(10_000))])
            await until(lambda: log.dropped > 0 and log.is_idle)
            begun = log.dropped
            stream.stream = full
            for _ in range(2):
                log.write([Record(request_id="req_full")])
                before = log.dropped
                await until(lambda: log.dropped > before and log.is_idle)  # noqa: B023 used in this round
            received = os.read(reading, 1 << 20)
            with open(kept, "wb") as back:  # noqa: ASYNC230 a moment
                back.write(received)
                back.flush()
                stream.stream = back
                log.write([Record(request_id="req_last")])
                await until(lambda: b" lost\n" in kept.read_bytes())
            log.close()
            return begun

    begun = asyncio.run(run())
    os.close(reading)
    *lines, torn, last, message = kept.read_text().splitlines()
    assert 0 < len(torn) < len(lines[0])
    assert [int(json.loads(line)["request_id"][4:]) for line in lines] == [*range(len(lines))]
    assert json.loads(last)["request_id"] == "req_last"
    assert (begun, message) == (100 - len(lines), f"engine: {begun + 2} lines were lost")


class Swapped:
    """A stream whose file can be another one."""

    def __init__(self, stream: IO[Any]) -> None:
        self.stream = stream

    def fileno(self) -> int:
        return self.stream.fileno()


async def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT
    while not holds() and time.monotonic() < end:  # noqa: ASYNC110 there is no event for it
        await asyncio.sleep(0.01)
    assert holds()
