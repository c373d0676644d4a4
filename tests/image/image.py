"""The image of deploy/Containerfile, built and run: `make image`.

Containers run in a chroot as the image's user; a read-only root and limits of a runtime are not tried here.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from bench.machine import cpu_seconds
from tests import loopback
from tests.servers import KEY, ROOT, WAIT, Server, free_port, ship

MOST = 150_000_000  # bytes over the base
BODY = {"model": "gpt-mock-events-30-100", "messages": [], "stream": True}
ENVIRON = {**os.environ, "STORAGE_DRIVER": "vfs", "BUILDAH_ISOLATION": "chroot"}


def buildah(*words: str) -> str:
    command = ("buildah", *words)
    done = subprocess.run(command, env=ENVIRON, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def image() -> str:
    built = subprocess.run(ROOT / ".ci/image", stdout=subprocess.PIPE, text=True, check=True)
    return built.stdout.split()[-1]


@pytest.fixture(scope="module")
def container(image: str) -> Iterator[str]:
    name = buildah("from", image)
    yield name
    buildah("rm", name)


def test_it_adds_little_to_its_base_and_names_its_user_and_its_probe(
    image: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = {
        one["names"][0]: int(one["size"].split()[0].partition(".")[0])
        for one in json.loads(buildah("images", "--json"))
        if one.get("names")
    }
    made, base = sizes[f"{image}:latest"], sizes["localhost/orqen-base:latest"]
    say(capsys, f"{made - base} MB over its base of {base} MB, bound {MOST // 1_000_000} MB")
    assert (made - base) * 1_000_000 < MOST, f"{made} MB on {base} MB"
    config = json.loads(buildah("inspect", "--type", "image", image))["Docker"]["config"]
    assert config["User"] == "65532:65532"
    assert config["Healthcheck"]["Test"] == ["CMD", "engine", "health"]
    assert config["StopSignal"] == "SIGTERM"
    assert config["Entrypoint"] == ["engine"]
    assert not [name for name in config["Env"] if "KEY" in name or "SECRET" in name]


def test_it_holds_nothing_but_the_package(container: str) -> None:
    words = ("run", container, "--", "sh", "-c")
    found = buildah(
        *words, "ls -a /src /opt/orqen/tests /etc/orqen 2>&1; which pip git make; id -u"
    )
    assert "65532" in found
    assert [
        line for line in found.splitlines() if line.startswith(("/opt/orqen/bin", "pyproject"))
    ] == []
    unwritable = buildah(
        *words, "touch /opt/orqen/x /etc/orqen/x 2>&1; touch /var/lib/orqen/x /tmp/x && echo fine"
    )
    assert (unwritable.count("ermission denied"), unwritable.splitlines()[-1]) == (2, "fine")


def test_a_stream_ends_whole_when_the_container_is_stopped(
    container: str, tmp_path: Path, mock: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    port, folder = free_port(), tmp_path / "config"
    folder.mkdir()
    ship(folder)
    tmp_path.chmod(0o755)
    command = [
        "buildah",
        "run",
        "--user",
        "65532:65532",
        "--volume",
        f"{folder}:/etc/orqen:ro",
        container,
        "--",
    ]
    command += ["engine", "serve", "/etc/orqen", "--port", str(port), "--mock-port", str(mock.port)]
    command += ["--drain-delay", "0"]
    url = f"http://127.0.0.1:{port}"
    with running(command) as process:
        wait_until_ready(url, process)
        pid = parent_of(port)
        say(capsys, f"ready {age(pid):.2f} s after `engine serve` began, with {cpu_seconds(pid):.2f} s of CPU; 1 s is wanted")  # fmt: skip
        assert buildah("run", container, "--", "engine", "health", "--url", url) == "healthy"
        with loopback.stream(
            "POST", f"{url}/v1/chat/completions", json=BODY, headers={"x-api-key": KEY}
        ) as events:
            lines = events.iter_lines()
            next(lines)
            os.kill(parent_of(port), signal.SIGTERM)
            assert [line for line in lines if line][-1] == "data: [DONE]"
        assert process.wait(timeout=30) == 0


def say(capsys: pytest.CaptureFixture[str], figure: str) -> None:
    with capsys.disabled():
        sys.stdout.write(f"\nimage: {figure}\n")


@contextlib.contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, env=ENVIRON, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_ready(url: str, running: "subprocess.Popen[str]") -> None:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        assert running.poll() is None, running.stderr and running.stderr.read()
        try:
            if loopback.get(f"{url}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.02)
    raise AssertionError("it was not ready in time")


def age(pid: int) -> float:
    """Seconds since a process began."""
    ticks = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")


def parent_of(port: int) -> int:
    """The process that serves `port` in the container, which a runtime would signal."""
    for path in Path("/proc").iterdir():
        words = [b""]
        with contextlib.suppress(OSError):  # no process, or one that has ended
            words = (path / "cmdline").read_bytes().split(b"\0")
        if b"python3" in words[0] and str(port).encode() in words and path.name.isdigit():
            return int(path.name)
    raise AssertionError("no such process")
