"""The log: a file, JSON messages beside the records, levels."""

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from engine.cli import main
from engine.server import log
from engine.server.log import LEVELS
from tests import loopback
from tests.e2e.server.small import eventually, write_small
from tests.processes import run_engine
from tests.servers import KEY, WAIT, Server, free_port, gateway

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds the worker in /proc")


def test_a_file_takes_records_and_messages_as_json(tmp_path: Path, mock: Server) -> None:
    folder, file = write_small(tmp_path), tmp_path / "log.jsonl"
    file.write_text('{"kept": true}\n')
    options = ["--mock-port", str(mock.port), "--log-format", "json", "--log-level", "warning"]
    options += ["--log-file", str(file)]
    with gateway(folder, tmp_path / "log", *options) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        body = {"model": "gpt-mock-a", "messages": []}
        loopback.post(f"{server.url}/v1/chat/completions", json=body, headers=headers)
        assert eventually(lambda: "request_id" in file.read_text())
        os.kill(server.worker_pids()[0], signal.SIGKILL)
        assert eventually(lambda: "another takes its place" in file.read_text())
        (folder / "routes.yaml").write_text((folder / "routes.yaml").read_text() + "# changed\n")
        os.kill(server.process.pid, signal.SIGHUP)
        (folder / "routes.yaml").write_text("version: 9\n")
        assert eventually(lambda: "reload refused" in file.read_text())
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert lines[0] == {"kept": True}
    messages = [line for line in lines if "message" in line]
    assert {frozenset(line) for line in messages} == {
        frozenset(("time", "level", "pid", "message"))
    }
    assert {line["level"] for line in messages} <= set(LEVELS[1:])
    assert messages[0]["message"].startswith("worker 1 died (exit code -9)")
    assert [line["outcome"] for line in lines if "request_id" in line] == ["ok"]
    assert "{" not in server.text
    assert "engine:" not in server.text


@pytest.mark.parametrize("form", ["text", "json"])
def test_what_keeps_it_from_starting_is_on_stderr_and_in_the_file(
    tmp_path: Path, form: str
) -> None:
    folder, file = write_small(tmp_path), tmp_path / "log.jsonl"
    (folder / "server.yaml").write_text("version: 1\nmetrics: {host: 0.0.0.0}\n")
    command = ["serve", str(folder), "--log-file", str(file)]
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        why = f"not started: cannot listen on 127.0.0.1:{port}: Address already in use"
        command += ["--port", port, "--mock-port", "1", "--log-format", form]
        done = run_engine(*command)
    (folder / "routes.yaml").write_text("version: 9\n")
    again = run_engine(*command)
    assert (done.returncode, done.stderr) == (2, f"engine: {why}\n")
    assert (again.returncode, "routes.yaml:1:10" in again.stderr) == (2, True)
    warning, first, second = file.read_text().splitlines()
    if form == "json":
        values = [json.loads(line) for line in (warning, first, second)]
        assert [value["level"] for value in values] == ["warning", "error", "error"]
        warning, first, second = ("engine: " + value["message"] for value in values)
    assert "warning[X299]" in warning
    assert first == f"engine: {why}"
    assert second.startswith("engine: not started: routes.yaml:1:1 S101")


def test_a_server_whose_streams_are_closed_runs_and_reloads(tmp_path: Path) -> None:
    folder, port = write_small(tmp_path), free_port()
    command = [sys.executable, "-m", "engine", "serve", str(folder), "--port", str(port)]
    shell = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command, "--drain-delay", "0"]
    process = subprocess.Popen(shell)
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        assert eventually(lambda: loopback.get(url).status_code == 200)
        before = loopback.get(url).json()["config"]
        (folder / "routes.yaml").write_text((folder / "routes.yaml").read_text() + "# changed\n")
        process.send_signal(signal.SIGHUP)  # which writes a message
        assert eventually(lambda: loopback.get(url).json()["config"] != before)
        taken = [os.readlink(f"/proc/{process.pid}/fd/{number}") for number in range(3)]
        assert taken == [os.devnull] * 3
    finally:
        process.terminate()
    assert process.wait(WAIT) == 0


def test_a_log_that_nobody_reads_stops_neither_the_parent_nor_its_end(tmp_path: Path) -> None:
    folder, port = write_small(tmp_path), free_port()
    words = ["serve", str(folder), "--port", str(port), "--mock-port", "1", "--drain-delay", "0"]
    reader, writer = os.pipe()
    process = subprocess.Popen([sys.executable, "-m", "engine", *words], stderr=writer)
    url = f"http://127.0.0.1:{port}/readyz"
    try:
        assert eventually(lambda: loopback.get(url).status_code == 200)
        before = loopback.get(url).json()["config"]
        os.set_blocking(writer, False)
        with contextlib.suppress(BlockingIOError):
            while True:
                os.write(writer, b"\n")
        os.set_blocking(writer, True)
        (folder / "routes.yaml").write_text((folder / "routes.yaml").read_text() + "# changed\n")
        process.send_signal(signal.SIGHUP)  # which writes a message
        assert eventually(lambda: loopback.get(url).json()["config"] != before)
        process.terminate()
        assert process.wait(WAIT) == 0
    finally:
        process.kill()
        os.close(reader)
        os.close(writer)


def test_a_file_that_cannot_be_written_is_reported_before_the_start(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main,
        [
            "serve",
            str(write_small(tmp_path)),
            "--no-auth",
            "--mock",
            "--log-file",
            str(tmp_path / "no" / "log"),
        ],
    )
    assert result.exit_code == 2
    assert "not started: the log file cannot be written: No such file or directory" in result.output


@pytest.mark.parametrize(
    ("room", "said"),
    [
        (0, "engine: 2 messages were lost\nengine: c\n"),
        (4096, "engine: " + "a" * 4088 + "\nengine: 2 messages were lost\nengine: c\n"),
    ],
    ids=["none", "for a part of a message"],
)
def test_messages_that_a_full_log_does_not_take_are_counted(
    monkeypatch: pytest.MonkeyPatch, room: int, said: str
) -> None:
    monkeypatch.setattr(log, "WRITE_SECONDS", 0.0)
    reader, writer = os.pipe()
    with open(reader, "rb") as reading, open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        size = fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 65536)
        os.write(writer, b"\n" * (size - room))
        for message in ("a" * 9000, "b"):
            log.log(message)
        assert reading.read(size - room) == b"\n" * (size - room)
        for message in ("c", "d"):
            log.log(message)
        stream.close()
        assert reading.read().decode() == said + "engine: d\n"
