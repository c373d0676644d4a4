"""More than the gateway can take, and callers who hold on to it: good requests go on."""

import asyncio
import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import httpx2
import pytest

from tests import loopback
from tests.listening import listening
from tests.servers import KEY, WAIT, Rest, Server, gateway, unharmed, write_keys

ROUTES = """
version: 1
defaults:
  timeouts: {caller_idle: 1s}
endpoints:
  talk: {path: /talk}
  claude: {path: /claude, errors: anthropic}
models:
  - {prefix: "", provider: slow}
"""
PROVIDERS = """
version: 1
providers:
  slow: {base_url: "http://127.0.0.1:PORT", endpoints: {talk: /talk, claude: /claude},
    limits: {in_flight: 8, queue: 8, wait: 60s}}
"""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
SECONDS = 0.2
HELD = ("crowd", "held")
BLOCK = b"x" * 65536


class Slow:
    """Answers after SECONDS, once its model is in `released` if that is HELD, or for ever and as much as is taken.

    `seen` counts models.
    """

    def __init__(self) -> None:
        self.seen: Counter[str] = Counter()
        self.open = 0
        self.released: set[str] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                size = int(head.partition("content-length: ")[2].split("\r\n")[0])
                model = json.loads(await reader.readexactly(size))["model"]
                self.seen[model] += 1
                if model == "endless":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 9999999999\r\n\r\n")
                    while True:
                        writer.write(BLOCK)
                        await writer.drain()
                if model == "silent":
                    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
                    writer.write(b"transfer-encoding: chunked\r\n\r\n5\r\n: hi\n\r\n")
                    await reader.read()
                    return
                await asyncio.sleep(SECONDS)
                while model in HELD and model not in self.released:  # noqa: ASYNC110 set by another thread
                    await asyncio.sleep(SECONDS / 10)
                writer.write(ANSWER)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()


@pytest.fixture(scope="module")
def slow() -> Slow:
    return Slow()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, slow: Slow) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("overload")
    with listening(slow.serve) as port:
        (folder / "routes.yaml").write_text(ROUTES)
        (folder / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
        write_keys(folder)
        with unharmed(folder, folder / "log") as running:
            yield running


@pytest.fixture(scope="module")
def rest(server: Server) -> Rest:
    """What the worker holds with as many connections to the provider as it may have."""
    headers = {"x-api-key": KEY}

    async def run() -> None:
        async with loopback.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            await asyncio.gather(*(post(client, "warm") for _ in range(8)))

    asyncio.run(run())
    return server.rest()


@pytest.fixture(autouse=True)
def nothing_left(server: Server, rest: Rest) -> Iterator[None]:
    """Whatever callers do, the worker is as it was before."""
    yield
    server.comes_to(rest)


def raw(model: str, path: str = "/talk", *lines: str) -> bytes:
    body = json.dumps({"model": model}).encode()
    head = [f"POST {path} HTTP/1.1", "host: g", f"x-api-key: {KEY}", *lines]
    head += ["content-type: application/json", f"content-length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


async def post(client: httpx2.AsyncClient, model: str) -> tuple[int, httpx2.Headers]:
    answer = await client.post("/talk", json={"model": model})
    return answer.status_code, answer.headers


def until(found: object) -> None:
    end = time.monotonic() + WAIT
    while not found() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.02)
    assert found()  # type: ignore[operator]


def test_twice_the_capacity_is_shed_at_once_and_the_rest_is_served(
    server: Server, slow: Slow
) -> None:
    """Eight run, eight wait, sixteen are told to come back."""

    async def run() -> list[tuple[int, httpx2.Headers]]:
        headers = {"x-api-key": KEY}
        async with loopback.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            await post(client, "warm")
            crowd = [asyncio.ensure_future(post(client, "crowd")) for _ in range(32)]
            shed = [await next_one for next_one in islice(asyncio.as_completed(crowd), 16)]
            assert {status for status, _ in shed} == {503}
            slow.released.add("crowd")
            return list(await asyncio.gather(*crowd))

    answers = asyncio.run(run())
    shed = [headers for status, headers in answers if status == 503]
    taken = [status for status, _ in answers if status == 200]
    assert (len(taken), len(shed), slow.seen["crowd"]) == (16, 16, 16)
    for headers in shed:
        assert (headers["x-engine-error"], headers["retry-after"]) == ("overloaded", "1")


def test_a_caller_who_leaves_the_queue_reaches_no_provider(server: Server, slow: Slow) -> None:
    """Case C1: its place is free again, and nothing was asked for."""

    async def run() -> None:
        headers = {"x-api-key": KEY}
        async with loopback.AsyncClient(base_url=server.url, headers=headers, timeout=60) as client:
            busy = [asyncio.ensure_future(post(client, "held")) for _ in range(8)]
            await asyncio.to_thread(until, lambda: slow.seen["held"] == 8)
            _, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw("left-the-queue"))
            await asyncio.to_thread(until, lambda: server.rest().calls == 9)
            writer.transport.abort()
            await asyncio.to_thread(until, lambda: server.rest().calls == 8)
            slow.released.add("held")
            await asyncio.gather(*busy)
            assert (await post(client, "after"))[0] == 200

    asyncio.run(run())
    assert slow.seen["left-the-queue"] == 0
    until(lambda: any(r["model"] == "left-the-queue" for r in server.records))
    (record,) = [r for r in server.records if r["model"] == "left-the-queue"]
    assert record["outcome"] == "client_cancelled"


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
def test_a_caller_who_leaves_a_silent_stream_closes_it(
    server: Server, slow: Slow, how: str
) -> None:
    """Case C3: in a gap between events nothing but the connection tells."""
    before = slow.open
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(raw("silent"))
        assert b"200 OK" in caller.recv(65536)
        until(lambda: slow.open > before or slow.seen["silent"])
        if how == "reset":
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        if how == "half-close":
            caller.shutdown(socket.SHUT_WR)
            started = time.monotonic()
            while caller.recv(65536):
                pass
            assert time.monotonic() - started < WAIT
    until(lambda: slow.open <= before)


def test_a_reader_who_stops_is_given_up(server: Server, slow: Slow) -> None:
    """Case C6: after `caller_idle` both sides are closed, and memory is back."""
    with socket.create_connection(("127.0.0.1", server.port)) as caller:
        caller.sendall(raw("endless"))
        assert b"200 OK" in caller.recv(1000)
        until(lambda: any(r["outcome"] == "client_stalled" for r in server.records))
    until(lambda: not [r for r in server.records if r["outcome"] == "internal_error"])


def test_silent_and_slow_callers_starve_nobody(server: Server) -> None:
    """Cases C7 and C8: 300 connections that say nothing, half a head or half a body."""
    holders = []
    for number in range(300):
        holder = socket.create_connection(("127.0.0.1", server.port))
        holder.sendall((b"", b"POST /talk HT", raw("held")[:-1])[number % 3])
        holders.append(holder)
    try:
        for _ in range(5):
            answer = loopback.post(
                server.url + "/talk", json={"model": "good"}, headers={"x-api-key": KEY}
            )
            assert answer.status_code == 200
        holders[2].settimeout(WAIT)
        assert b" 408 " in holders[2].recv(65536), "half a body is given up after `caller_idle`"
    finally:
        for holder in holders:
            holder.close()


def test_the_dialect_of_the_endpoint_is_kept(server: Server) -> None:
    async def run() -> list[bytes]:
        async def one() -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(raw("claude", "/claude", "connection: close"))
            answer = await reader.read()
            writer.close()
            return answer

        return list(await asyncio.gather(*(one() for _ in range(20))))

    shed = [a for a in asyncio.run(run()) if a.startswith(b"HTTP/1.1 503")]
    assert shed
    assert all(b'"type": "overloaded_error"' in answer for answer in shed)


def test_one_blocked_worker_does_not_stop_the_other(tmp_path: Path, slow: Slow) -> None:
    """Case P7: half of the connections wait for it, the others are served."""
    with listening(slow.serve) as port:
        (tmp_path / "routes.yaml").write_text(ROUTES)
        (tmp_path / "providers.yaml").write_text(PROVIDERS.replace("PORT", str(port)))
        write_keys(tmp_path)
        with gateway(tmp_path, tmp_path / "log", "--workers", "2") as server:
            until(lambda: len(server.worker_pids()) == 2)
            time.sleep(0.5)
            blocked = server.worker_pids()[0]
            os.kill(blocked, signal.SIGSTOP)

            async def one(seconds: float) -> bool:
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(b"GET /healthz HTTP/1.1\r\nhost: g\r\nconnection: close\r\n\r\n")
                try:
                    async with asyncio.timeout(seconds):
                        return (await reader.read()).startswith(b"HTTP/1.1 200")
                except TimeoutError:
                    return False
                finally:
                    writer.close()

            async def some() -> bool:
                asked = [asyncio.ensure_future(one(WAIT)) for _ in range(24)]
                is_served = await next(asyncio.as_completed(asked))
                for task in asked:
                    task.cancel()
                await asyncio.wait(asked)
                return is_served

            async def everyone() -> bool:
                return all(await asyncio.gather(*(one(0.5) for _ in range(24))))

            try:
                assert asyncio.run(some())
            finally:
                os.kill(blocked, signal.SIGCONT)
            until(lambda: asyncio.run(everyone()))
