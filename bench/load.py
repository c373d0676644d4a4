"""What drives the proxies: wrk for throughput, h2load for latency at a fixed rate.

Streams and uploads are driven by `streams`.
"""

import json
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import LOAD, pinned


class LoadError(Exception):
    """The tool failed, or answers were not what they should be."""


@dataclass(frozen=True)
class Wrk:
    """What wrk saw. Latencies are in milliseconds."""

    requests: int
    seconds: float
    p50: float
    p99: float

    @property
    def rate(self) -> float:
        """Requests per second."""
        return self.requests / self.seconds


def wrk(url: str, body: bytes, headers: Mapping[str, str], connections: int, seconds: int) -> Wrk:
    """Send `body` over and over on `connections` connections.

    Raises:
        LoadError: some answer was no 2xx, or some connection failed.
    """
    fields = {"content-type": "application/json", "accept": "application/json", **headers}
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "post.lua"
        (Path(folder) / "body").write_bytes(body)
        lines = [f"wrk.headers[{json.dumps(k)}] = {json.dumps(v)}" for k, v in fields.items()]
        lines += ['wrk.method = "POST"', f'wrk.body = io.open("{folder}/body", "rb"):read("*a")']
        script.write_text("\n".join(lines))
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "30s"]
        command += ["--latency", "-s", str(script), url]
        done = subprocess.run(pinned(LOAD, command), capture_output=True, text=True, check=False)
    return read_wrk(done.stdout)


_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def read_wrk(text: str) -> Wrk:
    """The output of wrk.

    Raises:
        LoadError: it reports errors, or is not what wrk prints.
    """
    total = re.search(r"(\d+) requests in ([\d.]+)(\w+),", text)
    bad = re.search(r"Non-2xx or 3xx responses: \d+|Socket errors: .*", text)
    shown = dict(re.findall(r"^ +(50|99)% +([\d.]+\w+)", text, re.MULTILINE))
    if bad or total is None or len(shown) != 2:
        raise LoadError(bad[0] if bad else "wrk printed nothing that can be read")

    def milliseconds(value: str) -> float:
        number, unit = re.fullmatch(r"([\d.]+)(\w+)", value).groups()  # type: ignore[union-attr]
        return float(number) * _UNITS[unit]

    seconds = float(total[2]) * _UNITS[total[3]] / 1000
    return Wrk(int(total[1]), seconds, milliseconds(shown["50"]), milliseconds(shown["99"]))


def latencies(
    url: str, body: bytes, headers: Mapping[str, str], rate: int, clients: int, seconds: int
) -> list[int]:
    """Times of answers in microseconds at `rate` requests a second over `clients` connections.

    `rate` 0 sends each request when the former was answered.

    Raises:
        LoadError: some answer was no 200.
    """
    options = [f"-c{clients}", f"-D{seconds}", *([f"--rps={rate / clients:g}"] if rate else [])]
    return read_h2load(_h2load(url, body, headers, options))


def send(url: str, body: bytes, headers: Mapping[str, str], clients: int, count: int) -> None:
    """Send `body` so many times in all over `clients` connections.

    Raises:
        LoadError: some answer was no 200.
    """
    seen = read_h2load(_h2load(url, body, headers, [f"-c{clients}", f"-n{count}"]))
    if len(seen) != count:
        raise LoadError(f"{len(seen)} answers to {count} requests")


def _h2load(url: str, body: bytes, headers: Mapping[str, str], options: Sequence[str]) -> str:
    """The log of h2load, one line for each answer; empty if it could not run."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "body").write_bytes(body)
        log = Path(folder) / "log"
        command = ["h2load", "--h1", "-t1", *options, "-d", f"{folder}/body", f"--log-file={log}"]
        for name, value in {"content-type": "application/json", **headers}.items():
            command += ["-H", f"{name}: {value}"]
        subprocess.run(pinned(LOAD, [*command, url]), capture_output=True, check=False)
        return log.read_text() if log.exists() else ""


def read_h2load(log: str) -> list[int]:
    """The log of h2load: start, status and duration of each request.

    Raises:
        LoadError: it has answers other than 200, or none at all.
    """
    rows = [line.split("\t") for line in log.splitlines()]
    bad = {row[1] for row in rows} - {"200"}
    if bad or not rows:
        raise LoadError(f"answers were {', '.join(sorted(bad)) or 'missing'}")
    return [int(row[2]) for row in rows]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
