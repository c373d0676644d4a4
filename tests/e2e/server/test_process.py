"""The server as a process: start-up, memory at rest, probes, signals."""

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

from engine.server.ports import wait_until_ready
from tests import loopback
from tests.e2e.server.small import eventually, write_small
from tests.ports import free_port
from tests.servers import KEY, Server, gateway, ship


def test_start_up_and_idle_memory_are_reported(tmp_path: Path, mock: Server) -> None:
    """Of a process that is not forked from one that has imported more, as those of other tests are."""
    begun, port, log = time.monotonic(), free_port(), tmp_path / "log"
    words = ("serve", str(ship(tmp_path)), "--drain-delay", "0", "--port", str(port))
    options = ("--workers", "2", "--mock-port", str(mock.port))
    command = (sys.executable, "-m", "engine", *words, *options)
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        try:
            assert wait_until_ready(process, port, "/readyz")
            seconds, server = time.monotonic() - begun, Server(port, cast("Any", process), log)
            memory = server.rss_kib()
            print(f"\nready after {seconds:.2f} s, idle worker {memory} KiB")  # noqa: T201 reported
            assert len(server.worker_pids()) == 2
            assert seconds < 30
            assert memory < 100 * 1024
        finally:
            process.terminate()


def test_a_mock_stands_in_for_every_provider_whatever_this_machine_lacks(
    tmp_path: Path, mock: Server
) -> None:
    """What stops a real server, a secret or an authority, is not asked for beside a mock."""
    write_small(tmp_path)
    text = (tmp_path / "providers.yaml").read_text("utf-8")
    extra = """
  private:
    base_url: https://llm.internal/v1
    credentials: {api_key: {file: not-there, required: true}}
    tls: {ca: not-there.pem}
    endpoints: {embeddings: /embeddings}
"""
    (tmp_path / "providers.yaml").write_text(text + extra)
    with gateway(tmp_path, tmp_path / "log", "--mock-port", str(mock.port)) as server:
        body = {"model": "text-embedding-3-small", "input": "x"}
        headers = {"authorization": f"Bearer {KEY}"}
        answer = loopback.post(server.url + "/v1/embeddings", json=body, headers=headers)
        assert (answer.status_code, "x-mock-id" in answer.headers) == (200, True)


def test_probes_need_no_key(served: Server) -> None:
    for path, state in (("/healthz", "ok"), ("/readyz", "ready")):
        answer = loopback.get(served.url + path)
        assert (answer.status_code, answer.json()["status"]) == (200, state)
        assert len(answer.json()["config"]) == 16


def test_sigterm_turns_readiness_off_before_the_port_closes(tmp_path: Path, mock: Server) -> None:
    arguments = ("--drain-delay", "60", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as server:
        server.process.send_signal(signal.SIGTERM)
        assert eventually(lambda: loopback.get(server.url + "/readyz").status_code == 503)
        assert loopback.get(server.url + "/healthz").status_code == 200
        server.process.send_signal(signal.SIGTERM)  # at once
        assert server.process.wait(timeout=60) == 0


def test_answers_ask_for_a_new_connection_once_the_server_is_about_to_stop(
    tmp_path: Path, mock: Server
) -> None:
    """So that no request is on its way on a kept connection when the port closes."""
    arguments = ("--drain-delay", "60", "--mock-port", str(mock.port))
    with gateway(write_small(tmp_path), tmp_path / "log", *arguments) as server:
        headers = {"authorization": f"Bearer {KEY}"}
        with loopback.Client(base_url=server.url, headers=headers) as client:

            def asked(model: str) -> tuple[int, str | None]:
                answer = client.post("/v1/chat/completions", json={"model": model, "messages": []})
                return answer.status_code, answer.headers.get("connection")

            assert [asked("gpt-m"), asked("unknown")] == [(200, None), (404, None)]
            server.process.send_signal(signal.SIGTERM)
            assert eventually(lambda: loopback.get(server.url + "/readyz").status_code == 503)
            assert [asked("gpt-m"), asked("unknown")] == [(200, "close"), (404, "close")]
        server.process.send_signal(signal.SIGTERM)  # at once
        assert server.process.wait(timeout=60) == 0


def test_a_stream_under_way_is_finished_before_the_server_ends(
    tmp_path: Path, mock: Server
) -> None:
    with gateway(write_small(tmp_path), tmp_path / "log", "--mock-port", str(mock.port)) as server:
        body = {"model": "gpt-mock-events-50-20", "stream": True, "messages": []}
        headers = {"authorization": f"Bearer {KEY}"}
        url = server.url + "/v1/chat/completions"
        with loopback.stream("POST", url, json=body, headers=headers) as answer:
            chunks = answer.iter_text()
            text = next(chunks)
            server.process.send_signal(signal.SIGTERM)
            text += "".join(chunks)
        assert text.count("data: ") >= 50
        assert "upstream_" not in text
        assert server.process.wait(timeout=60) == 0


def test_no_process_outlives_the_server(tmp_path: Path) -> None:
    """A killed parent cannot stop its workers; a signal during start-up is not lost either."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with gateway(write_small(tmp_path), tmp_path / "log", "--workers", "2", "--mock") as server:
            pids = server.child_pids()
            assert len(pids) > len(server.worker_pids()), "the built-in upstream"
            server.process.send_signal(number)
            server.process.wait(timeout=60)
            end = time.monotonic() + 60  # a loaded machine is slow to notice
            while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < end:
                time.sleep(0.05)
            assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]
