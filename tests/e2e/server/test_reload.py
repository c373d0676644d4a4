"""A changed configuration is taken while requests go on: whole or not at all, in every worker."""

import asyncio
import contextlib
import http.client
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from engine.config.new_key import digest
from tests import loopback
from tests.listening import listening
from tests.processes import run_engine
from tests.servers import KEY, WAIT, Server, free_port, gateway, unharmed, write_keys

ROUTES = """
version: 1
endpoints:
  talk: {path: /talk}
models:
  - {prefix: "", provider: steady}
"""
PROVIDERS = """
version: 1
providers:
  steady: {base_url: "http://127.0.0.1:PORT", credentials: {key: {file: secret}},
    headers: {x-secret: "{{ credentials.key }}", x-mark: MARK}, endpoints: {talk: /talk}}
"""
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %b\r\n"


class Steady:
    """An upstream that tells what reached it. Model `stream` is answered slowly, event by event."""

    def __init__(self) -> None:
        self.requests = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:-2])
                body = json.loads(await reader.readexactly(int(fields["content-length"])))
                self.requests += 1
                told = json.dumps({"mark": fields["x-mark"], "secret": fields["x-secret"]}).encode()
                if body["model"] == "stream":
                    await self._stream(writer)
                else:
                    writer.write(HEAD % b"application/json")
                    writer.write(b"content-length: %d\r\n\r\n%b" % (len(told), told))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open -= 1
            writer.close()

    async def _stream(self, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % b"text/event-stream" + b"transfer-encoding: chunked\r\n\r\n")
        for number in range(30):
            event = b"data: %d\n\n" % number
            writer.write(b"%x\r\n%b\r\n" % (len(event), event))
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.write(b"0\r\n\r\n")


@pytest.fixture(scope="module")
def steady() -> Iterator[Steady]:
    yield Steady()


@pytest.fixture(scope="module")
def port(steady: Steady) -> Iterator[int]:
    with listening(steady.serve) as number:
        yield number


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("reload") / "config"
    folder.mkdir()
    (folder / "routes.yaml").write_text(ROUTES)
    (folder / "secret").write_text("first")
    mark(folder, port, "start")
    write_keys(folder)
    with unharmed(folder, folder.parent / "log", "--workers", "2") as running:
        yield running


@pytest.fixture(scope="module")
def folder(server: Server) -> Path:
    return server.log.parent / "config"


@pytest.fixture
def caller(server: Server) -> Iterator[httpx2.Client]:
    with loopback.Client(base_url=server.url, headers={"x-api-key": KEY}, timeout=60) as client:
        yield client


def mark(folder: Path, port: int, word: str, *, rename: bool = True) -> None:
    """Write providers.yaml, as an editor that is careful does or as one that is not."""
    text = PROVIDERS.replace("PORT", str(port)).replace("MARK", word)
    draft = folder / ".draft" if rename else folder / "providers.yaml"
    draft.write_text(text)
    draft.rename(folder / "providers.yaml")


def readiness(server: Server) -> list[dict[str, Any]]:
    """What the probe of every worker says: fresh connections reach each of them soon."""
    return [json.loads(fetch(server, "GET", "/readyz")) for _ in range(12)]


def fetch(server: Server, method: str, path: str) -> bytes:
    """The body of an answer over a connection of its own."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        body = json.dumps({"model": "m"}) if method == "POST" else None
        headers = {"x-api-key": KEY, "content-type": "application/json"}
        connection.request(method, path, body, headers)
        return connection.getresponse().read()


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + WAIT
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.02)
    assert value
    return value


def ask(caller: httpx2.Client, model: str = "m") -> dict[str, str]:
    answer = caller.post("/talk", json={"model": model})
    assert answer.status_code == 200, answer.text
    told: dict[str, str] = answer.json()
    return told


def reloads(server: Server) -> int:
    return server.text.count("engine: reloaded")


def take(server: Server, change: Callable[[], Any]) -> None:
    """Make a change, and wait for the line of its reload: to ask the workers meanwhile would cost more than all else."""
    before = reloads(server)
    change()
    until(lambda: reloads(server) > before)


def everywhere(server: Server, word: str) -> Callable[[], bool]:
    """Whether twelve requests over fresh connections all see the Plan with `word`."""

    def tick() -> bool:
        seen = {json.loads(fetch(server, "POST", "/talk"))["mark"] for _ in range(12)}
        return seen == {word}

    return tick


def test_a_renamed_file_is_taken_by_every_worker(server: Server, folder: Path, port: int) -> None:
    before = {r["config"] for r in readiness(server)}
    take(server, lambda: mark(folder, port, "renamed"))
    until(everywhere(server, "renamed"))
    after = {r["config"] for r in readiness(server)}
    assert len(before) == len(after) == 1
    assert before != after
    assert "engine: reloaded: config " + after.pop() in server.text


def test_a_file_written_in_place_is_taken(server: Server, folder: Path, port: int) -> None:
    take(server, lambda: mark(folder, port, "in-place", rename=False))
    until(everywhere(server, "in-place"))


def test_a_file_that_is_still_being_written_is_not_taken(
    server: Server, folder: Path, port: int
) -> None:
    """However long the writer pauses, and though what stands there is a whole configuration."""
    text = PROVIDERS.replace("PORT", str(port))
    before = server.text.count("engine: reloaded")
    with (folder / "providers.yaml").open("w") as writer:
        writer.write(text.replace("MARK", "half-written"))
        writer.flush()
        time.sleep(2.5)  # five times as long as a change takes
        assert server.text.count("engine: reloaded") == before
        writer.seek(0)
        writer.truncate()
        writer.write(text.replace("MARK", "written"))
    until(lambda: reloads(server) > before)
    until(everywhere(server, "written"))
    assert server.text.count("engine: reloaded") == before + 1


def test_a_running_stream_ends_on_the_plan_it_began_on(
    server: Server, folder: Path, port: int, caller: httpx2.Client, steady: Steady
) -> None:
    with caller.stream("POST", "/talk", json={"model": "stream"}) as answer:
        chunks = answer.iter_text()
        text = next(chunks)
        take(server, lambda: mark(folder, port, "streaming"))
        until(everywhere(server, "streaming"))
        text += "".join(chunks)
    assert text == "".join(f"data: {n}\n\n" for n in range(30))


def test_a_key_that_is_revoked_under_a_stream_opens_nothing_more(
    server: Server, folder: Path, caller: httpx2.Client
) -> None:
    """Case C20: the stream that the key began goes on to its end, the next request is refused."""
    revoked = "sk-orq-" + "5a" * 32
    given = {"x-api-key": revoked}

    def statuses() -> set[int]:
        return {
            loopback.post(server.url + "/talk", json={"model": "m"}, headers=given).status_code
            for _ in range(12)
        }

    take(server, lambda: write_keys(folder, f"{{name: leaver, sha256: {digest(revoked)}}}"))
    until(lambda: statuses() == {200})
    with caller.stream("POST", "/talk", json={"model": "stream"}, headers=given) as answer:
        chunks = answer.iter_text()
        text = next(chunks)
        take(server, lambda: write_keys(folder))
        until(lambda: statuses() == {401})
        text += "".join(chunks)
    assert text == "".join(f"data: {n}\n\n" for n in range(30))
    record = server.record(answer.headers["x-engine-request-id"])
    assert (record["key"], record["status"], record["outcome"]) == ("leaver", 200, "ok")


def test_connections_of_an_old_plan_are_closed(
    server: Server, folder: Path, port: int, caller: httpx2.Client, steady: Steady
) -> None:
    ask(caller)
    assert steady.open >= 1
    before = server.text.count("engine: reloaded")
    mark(folder, port, "closing")
    until(lambda: server.text.count("engine: reloaded") > before)
    until(lambda: steady.open == 0)


@pytest.mark.parametrize(
    ("name", "text", "place"),
    [
        ("routes.yaml", "version: 1\nendpoints: {", "routes.yaml:2:"),
        ("routes.yaml", ROUTES.replace("steady", "nobody"), "routes.yaml:6:"),
        ("routes.yaml", None, "routes.yaml:1:1 F001"),
        ("keys.yaml", None, "keys.yaml"),
    ],
)
def test_a_broken_file_is_refused_and_nothing_changes(
    server: Server, folder: Path, caller: httpx2.Client, name: str, text: str | None, place: str
) -> None:
    """The last good configuration serves on; readiness, log and files say why."""
    file, good = folder / name, (folder / name).read_bytes()
    running = readiness(server)[0]["config"]
    seen = len(server.text)
    if text is None:
        file.unlink()
    else:
        (folder / ".draft").write_text(text)
        (folder / ".draft").rename(file)
    try:
        until(lambda: "engine: reload refused" in server.text[seen:])
        until(lambda: all(r["refused"] for r in readiness(server)))
        states = readiness(server)
        assert {r["config"] for r in states} == {running}
        assert {r["status"] for r in states} == {"ready"}
        assert all(r["refused"]["reasons"][0].startswith(place) for r in states), states[0]
        assert ask(caller)
    finally:
        take(server, lambda: file.write_bytes(good))
        until(lambda: all(r["refused"] is None for r in readiness(server)))
    assert readiness(server)[0]["config"] == running


def test_an_open_breaker_stays_open_over_a_reload(tmp_path: Path, folder: Path) -> None:
    """Until the provider's entry changes."""
    config = tmp_path / "config"
    shutil.copytree(folder, config)
    text = PROVIDERS.replace("MARK", "m")
    text = text.replace("endpoints:", "breaker: {failures: 1, open: 1h}, endpoints:")
    port = free_port()
    (config / "providers.yaml").write_text(text.replace("PORT", str(port)))

    def codes() -> list[str]:
        return [json.loads(fetch(running, "POST", "/talk"))["error"]["code"] for _ in range(2)]

    with gateway(config, tmp_path / "log") as running:
        assert codes() == ["upstream_connect_failed", "upstream_unavailable"]
        running.process.send_signal(signal.SIGHUP)
        until(lambda: running.text.count("engine: reloaded") == 1)
        assert codes() == ["upstream_unavailable", "upstream_unavailable"]
        text = text.replace("1h", "2h")
        for number, at in ((2, port), (3, free_port())):
            (config / "providers.yaml").write_text(text.replace("PORT", str(at)))
            until(lambda: running.text.count("engine: reloaded") == number)  # noqa: B023 called at once
            assert codes() == ["upstream_connect_failed", "upstream_unavailable"]


def test_sighup_loads_again(server: Server, caller: httpx2.Client) -> None:
    before = server.text.count("engine: reloaded")
    server.process.send_signal(signal.SIGHUP)
    until(lambda: server.text.count("engine: reloaded") > before)
    assert ask(caller)


def test_reloads_leave_nothing_behind(server: Server, caller: httpx2.Client) -> None:
    """Neither memory nor files: ten of them cost what three do."""

    def reload() -> None:
        before = server.text.count("engine: reloaded")
        server.process.send_signal(signal.SIGHUP)
        until(lambda: server.text.count("engine: reloaded") > before)
        assert ask(caller)

    for _ in range(3):
        reload()
    kib, files = server.rss_kib(), server.files()
    for _ in range(7):
        reload()
    assert server.rss_kib() - kib < 4 * 1024
    assert server.settled(files)


def test_a_secret_that_was_rotated_is_sent(
    server: Server, folder: Path, caller: httpx2.Client
) -> None:
    (folder / "secret").write_text("second")
    until(lambda: {ask(caller)["secret"] for _ in range(4)} == {"second"})


def test_a_link_that_is_swapped_is_followed(
    tmp_path: Path, port: int, server: Server, folder: Path
) -> None:
    """What a container platform does with mounted files: `..data` is swapped in one rename."""
    config = tmp_path / "mounted"
    config.mkdir()
    for word in ("one", "two"):
        version = config / f"..{word}"
        version.mkdir()
        for name in ("routes.yaml", "keys.yaml", "secret"):
            shutil.copy(folder / name, version / name)
        mark(version, port, word)
    (config / "..data").symlink_to("..one")
    for name in ("routes.yaml", "providers.yaml", "keys.yaml", "secret"):
        (config / name).symlink_to(f"..data/{name}")
    with gateway(config, tmp_path / "log") as linked:
        assert everywhere(linked, "one")()
        (config / "..new").symlink_to("..two")
        take(linked, lambda: (config / "..new").rename(config / "..data"))
        until(everywhere(linked, "two"))


def test_a_worker_that_is_started_again_serves_what_was_accepted(
    tmp_path: Path, port: int, folder: Path
) -> None:
    """Its folder may be broken by then: it must not end in a crash loop."""
    config = tmp_path / "config"
    shutil.copytree(folder, config)
    with gateway(config, tmp_path / "log") as running:
        take(running, lambda: mark(config, port, "accepted"))
        until(everywhere(running, "accepted"))
        (config / "routes.yaml").write_text("version: 1\nbroken")
        until(lambda: readiness(running)[0]["refused"])
        (pid,) = running.worker_pids()
        os.kill(pid, signal.SIGKILL)

        def answers() -> bool:
            try:
                return everywhere(running, "accepted")()
            except OSError:
                return False

        until(answers)
        assert running.worker_pids() != [pid]
        assert readiness(running)[0]["refused"]


def test_no_request_is_lost_while_files_change_and_break(
    server: Server, folder: Path, port: int, steady: Steady
) -> None:
    """Good and broken files in turn, under load from keep-alive and fresh connections."""
    good = (folder / "routes.yaml").read_bytes()
    statuses: list[int] = []
    ended = asyncio.Event()

    async def calling(client: httpx2.AsyncClient) -> None:
        while not ended.is_set():
            answer = await client.post("/talk", json={"model": "m"})
            statuses.append(answer.status_code)
            await asyncio.sleep(0.02)

    async def operator() -> None:
        for number in range(6):
            enough = len(statuses) + 20
            if number % 2:
                (folder / "routes.yaml").write_bytes(good[: 30 + number])
            else:
                (folder / "routes.yaml").write_bytes(good)
                await asyncio.to_thread(mark, folder, port, f"round-{number}")
            await asyncio.sleep(0.4)
            while len(statuses) < enough:  # noqa: ASYNC110 no event tells
                await asyncio.sleep(0.01)
        (folder / "routes.yaml").write_bytes(good)
        ended.set()

    async def run() -> None:
        headers = {"x-api-key": KEY}
        async with loopback.AsyncClient(
            base_url=server.url, headers=headers, timeout=WAIT
        ) as client:
            await asyncio.gather(operator(), *(calling(client) for _ in range(8)))

    before = steady.requests
    asyncio.run(run())
    assert len(statuses) > 100
    assert set(statuses) == {200}
    assert steady.requests - before == len(statuses)
    until(lambda: all(r["refused"] is None for r in readiness(server)))


def test_status_compares_what_runs_with_what_is_on_disk(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    same = run_engine("status", str(folder), "--url", server.url)
    assert (same.returncode, "on disk   the same" in same.stdout) == (0, True)
    assert f"running   config {readiness(server)[0]['config']} since 20" in same.stdout
    other = tmp_path / "config"
    shutil.copytree(folder, other)
    mark(other, 1, "else")
    differs = run_engine("status", str(other), "--url", server.url)
    assert (differs.returncode, "which is not what runs" in differs.stdout) == (1, True)
    (other / "routes.yaml").write_text("version: 1\nendpoint: {}\n")
    broken = run_engine("status", str(other), "--url", server.url)
    assert (broken.returncode, "error[S102]" in broken.stdout) == (1, True)
    nobody = run_engine("status", str(folder), "--url", f"http://127.0.0.1:{free_port()}")
    assert (nobody.returncode, "no gateway responds" in nobody.stderr) == (2, True)
