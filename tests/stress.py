"""Stops and replacements of workers under load: what is lost, and what does not end.

python -m tests.stress 1000 200         stops, replacements; prints a line for each, exits with 1 on a loss
"""

import asyncio
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.servers import KEY, Server, gateway, mock_upstream, ship

CALLERS = 16
BODY = json.dumps({"model": "text-embedding-3-small", "input": "hello"}).encode()
REQUEST = (
    f"POST /v1/embeddings HTTP/1.1\r\nhost: g\r\nauthorization: Bearer {KEY}\r\n"
    f"content-type: application/json\r\nconnection: close\r\ncontent-length: {len(BODY)}\r\n\r\n"
).encode() + BODY
STOP_SECONDS = 10.0


async def ask(port: int) -> str:
    """One request on a connection of its own: `ok`, or what became of it."""
    try:
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST)
            response = await reader.read()
            writer.close()
    except (OSError, TimeoutError) as error:
        return type(error).__name__
    status, _, _ = response.partition(b"\r\n")
    return "ok" if status.startswith(b"HTTP/1.1 200") and response.endswith(b"}") else repr(status)


async def load(port: int, counts: Counter[str], ended: asyncio.Event) -> None:
    """Callers who ask one request after another until `ended`."""

    async def caller() -> None:
        while not ended.is_set():
            counts[await ask(port)] += 1

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def stop(server: Server, delay: float) -> Counter[str]:
    """A SIGTERM under load. A request is lost when its connection was accepted and then broke."""
    counts: Counter[str] = Counter()
    ended = asyncio.Event()
    loading = asyncio.ensure_future(load(server.port, counts, ended))
    await asyncio.sleep(delay)
    server.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    while server.process.poll() is None and time.monotonic() < started + STOP_SECONDS:  # noqa: ASYNC110 it is a process
        await asyncio.sleep(0.01)
    ended.set()
    await loading
    if server.process.poll() != 0:
        counts["hang"] += 1
        server.process.kill()
    return counts


def stops(number: int, folder: Path, mock: Server) -> Counter[str]:
    """Starts and stops of a server, each stop at another moment of its load."""
    counts: Counter[str] = Counter()
    options = ("--mock-port", str(mock.port), "--workers", "2", "--drain-timeout", "5")
    for index in range(number):
        with gateway(folder, folder.parent / "log", *options) as server:
            counts += asyncio.run(stop(server, 0.002 * (index % 50)))
    return counts


def replacements(number: int, folder: Path, mock: Server) -> Counter[str]:
    """A server whose workers are replaced all the time; nothing may be lost."""
    counts: Counter[str] = Counter()
    options = ("--mock-port", str(mock.port), "--workers", "2", "--worker-memory", "100GiB")
    with gateway(folder, folder.parent / "log", *options, module="tests.restless") as server:

        async def run() -> None:
            ended = asyncio.Event()
            loading = asyncio.ensure_future(load(server.port, counts, ended))
            while server.text.count("too much memory: replaced") < number:  # noqa: ASYNC110 the log
                await asyncio.sleep(0.2)
            ended.set()
            await loading

        asyncio.run(run())
        counts["not replaced"] = server.text.count("could not be replaced")
    return counts


def main() -> None:
    """Run both; refused connections after a stop are no loss, anything else is."""
    wanted = [int(word) for word in sys.argv[1:3]]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "config"
        folder.mkdir()
        ship(folder)
        with mock_upstream(Path(scratch) / "mock.log") as mock:
            stopped = stops(wanted[0], folder, mock)
            print(f"{wanted[0]} stops: {dict(stopped)}", flush=True)  # noqa: T201 a report
            replaced = replacements(wanted[1], folder, mock)
            print(f"{wanted[1]} replacements: {dict(replaced)}", flush=True)  # noqa: T201 a report
    lost = sum(replaced.values()) - replaced["ok"]
    sys.exit(bool(lost or stopped["hang"]))


if __name__ == "__main__":
    main()
