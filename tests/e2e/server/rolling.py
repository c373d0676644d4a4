"""Two instances restarted in turn behind a balancer that goes by `/readyz`; part of `make soak`."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import httpx2

from engine.server.ports import wait_until_ready
from tests import loopback
from tests.ports import free_port
from tests.servers import KEY, ROOT, Server, ship

BODY = {"model": "gpt-m", "messages": []}


class Pair:
    """Two instances, a balancer and its callers; `failed` is what was not answered with 200."""

    def __init__(self, folder: Path, mock_port: int) -> None:
        self.folder = folder
        self.mock_port = mock_port
        self.ports = [free_port(), free_port()]
        self.ready = set(self.ports)
        self.running = {port: self.start(port) for port in self.ports}
        self.failed: list[str] = []
        self.answered = 0
        self.has_ended = False

    def start(self, port: int) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "engine", "serve", str(self.folder), "--port", str(port)]
        command += ["--mock-port", str(self.mock_port)]
        command += ["--drain-delay", "0.5", "--drain-timeout", "5"]
        process = subprocess.Popen(
            command, cwd=ROOT, env={"PATH": os.environ["PATH"]},
            stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        assert wait_until_ready(process, port, "/readyz")
        return process

    async def balance(self, client: httpx2.AsyncClient) -> None:
        while not self.has_ended:
            for port in self.ports:
                try:
                    answer = await client.get(f"http://127.0.0.1:{port}/readyz")
                    is_ready = answer.status_code == 200
                except httpx2.TransportError:
                    is_ready = False
                (self.ready.add if is_ready else self.ready.discard)(port)
            await asyncio.sleep(0.1)

    async def call(self, client: httpx2.AsyncClient) -> None:
        while not self.has_ended:
            url = f"http://127.0.0.1:{next(iter(self.ready))}/v1/chat/completions"
            try:
                answer = await client.post(url, json=BODY, headers={"x-api-key": KEY})
                self.failed += [] if answer.status_code == 200 else [answer.text]
            except httpx2.TransportError as error:
                self.failed.append(repr(error))
            self.answered += 1
            await asyncio.sleep(0.02)

    async def restart(self) -> None:
        for port in self.ports:
            await asyncio.sleep(0.3)
            self.running[port].terminate()
            assert await asyncio.to_thread(self.running[port].wait, 10) == 0
            self.running[port] = await asyncio.to_thread(self.start, port)
        await asyncio.sleep(0.3)
        self.has_ended = True

    async def run(self) -> None:
        fresh = httpx2.Limits(max_keepalive_connections=0)
        async with loopback.AsyncClient(timeout=60, limits=fresh) as client:
            calls = [self.call(client) for _ in range(4)]
            await asyncio.gather(self.restart(), self.balance(client), *calls)

    def stop(self) -> None:
        for process in self.running.values():
            process.terminate()
            process.wait(timeout=60)


def test_a_rolling_restart_behind_a_balancer_loses_nothing(tmp_path: Path, mock: Server) -> None:
    pair = Pair(ship(tmp_path), mock.port)
    try:
        asyncio.run(pair.run())
    finally:
        pair.stop()
    assert pair.answered > 50
    assert pair.failed == []
