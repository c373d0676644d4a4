"""`python -m bench.memory`: memory of a worker over minutes of mixed load, and its slope."""

import argparse
import sys
import time
from collections.abc import Sequence

from bench import machine
from bench.load import wrk
from bench.peers import FOLDER, PEERS, SMALL
from bench.ready import ready, upstreams
from bench.scenarios import FORM_BYTES, LARGE, VISION, result_of, streams_command


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: change of the second for each unit of the first."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--pause", type=float, default=3, help="seconds between two rounds")
    options = parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    engine = next(peer for peer in PEERS if peer.name == "engine")
    points: list[tuple[float, float]] = []
    with upstreams(), ready(engine) as found:
        url = f"http://127.0.0.1:{found.port}"
        begun = time.monotonic()
        while time.monotonic() - begun < options.minutes * 60:
            wrk(f"{url}/v1/embeddings", SMALL, found.headers, 16, 2)
            wrk(f"{url}/v1/chat/completions", LARGE, found.headers, 8, 1)
            wrk(f"{url}/v1/chat/completions", VISION, found.headers, 2, 1)
            result_of(streams_command("events", found, 50))
            result_of(streams_command("uploads", found, 2, FORM_BYTES))
            minutes = (time.monotonic() - begun) / 60
            points.append((minutes, machine.rss_kib(found.pid) / 1024))
            sys.stdout.write(f"{points[-1][0]:6.1f} min {points[-1][1]:7.1f} MiB\n")
            sys.stdout.flush()
            time.sleep(options.pause)
    settled = [point for point in points if point[0] > options.minutes / 6] or points
    sys.stdout.write(
        f"slope {slope(settled) * 60:+.2f} MiB an hour over {len(settled)} rounds of mixed load, "
        f"{settled[0][1]:.1f} to {settled[-1][1]:.1f} MiB\n"
    )


if __name__ == "__main__":
    main()
