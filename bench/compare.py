"""`python -m bench.compare COMMIT`: this code beside that of COMMIT, for changes of a few per cent.

Both gateways run at once on one core, each with the libraries it asks for. Slices of the load go to one and the
other in random order, and the CPU of a slice is compared with that of the slice beside it, since a machine has
faster and slower minutes. A new start has other hashes and another layout of memory, which alone
move a figure by 1 %: so there are several.
"""

import argparse
import os
import random
import resource
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import machine
from bench.load import LoadError, send
from bench.peers import (
    ENGINE,
    FOLDER,
    PEERS,
    ROOT,
    SMALL,
    Running,
    Setting,
    UnavailableError,
    engine_command,
    run,
    system,
)
from bench.ready import ready, upstreams
from bench.scenarios import STREAMS, result_of, streams_command

SLICE, CONNECTIONS = 2000, 64
# What `make install` makes, under names that older code has too.
INSTALLED = (".venv/.stamp-dev", ".venv/.stamp-package")


def small(found: Running) -> int:
    """2,000 small JSON requests over 64 connections."""
    url = f"http://127.0.0.1:{found.port}/v1/embeddings"
    send(url, SMALL, found.headers, CONNECTIONS, SLICE)
    return SLICE


def events(found: Running) -> int:
    """200 streams at once, of 50 events 20 ms apart."""
    return int(result_of(streams_command("events", found, STREAMS))["events"])


# What a slice is, and how many of them a start has.
SLICES: dict[str, tuple[Callable[[Running], int], int]] = {
    "small": (small, 60),
    "events": (events, 6),
}


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of `commit` below FOLDER, with the libraries it asks for."""
    tree = FOLDER / "base"
    try:
        run("git", "-C", str(ROOT), "rev-parse", "--verify", f"{commit}^{{commit}}")
    except UnavailableError:
        raise UnavailableError(f"there is no commit `{commit}`") from None
    if tree.exists():  # of a run that was killed
        run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree))
    run("git", "-C", str(ROOT), "worktree", "add", "--force", "--detach", str(tree), commit)
    try:
        run("make", "-C", str(tree), f"PYTHON={sys.executable}", *INSTALLED)
        yield tree
    finally:
        run("git", "-C", str(ROOT), "worktree", "remove", "--force", str(tree))


def ratios(base: Path, name: str, start: int) -> list[float]:
    """The CPU of this code by that of `base`, one ratio for each pair of slices of start number `start`.

    Which is started first matters a little, so they take turns.
    """
    engine = next(peer for peer in PEERS if peer.name == "engine")
    of_base = replace(
        engine, name="base", command=partial(_of_base, base), environ={**ENGINE, "PYTHONPATH": ""}
    )
    one_slice, rounds = SLICES[name]
    with upstreams(), ExitStack() as stack:
        peers = [of_base, engine][:: 1 if start % 2 else -1]
        started = {peer.name: stack.enter_context(ready(peer)) for peer in peers}
        before, after = started["base"], started["engine"]
        both = [before, after]
        for _ in range(rounds // 6):  # until both have settled
            for found in both:
                one_slice(found)
        pairs = []
        for _ in range(rounds):
            used = {}
            for found in random.sample(both, 2):
                begun = machine.cpu_nanoseconds(found.pid)
                count = one_slice(found)
                used[found.port] = (machine.cpu_nanoseconds(found.pid) - begun) / count
            pairs.append(used[after.port] / used[before.port])
    return pairs


def _of_base(base: Path, port: int, setting: Setting) -> list[str]:
    """How this code is started, with the Python that has the code of `base`."""
    python = str(base / ".venv/bin/python")
    command = engine_command(port, setting, "config-base")
    return [python if word == sys.executable else word for word in command]


def each_start(name: str, count: int, ratios_of: Callable[[int], Sequence[float]]) -> list[float]:
    """The median ratio of each start, shown at once: a run that is stopped has shown what it knew."""
    starts: list[float] = []
    for start in range(count):
        starts.append(statistics.median(ratios_of(start)))
        shown = f"{name}: start {start + 1} of {count}: {100 * (starts[-1] - 1):+.1f} %\n"
        sys.stderr.write(shown)
    return starts


def summary(name: str, starts: Sequence[float]) -> str:
    """What `starts`, a ratio each, say together."""
    mean = statistics.mean(starts)
    error = statistics.stdev(starts) / len(starts) ** 0.5 if len(starts) > 1 else float("nan")
    each = " ".join(f"{100 * (ratio - 1):+.1f}" for ratio in starts)
    return f"{name}: {100 * (mean - 1):+.1f} % CPU, standard error {100 * error:.1f} % ({each})\n"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("commit", help="the code to compare with")
    parser.add_argument("--only", default=",".join(SLICES), help="what to measure, by commas")
    parser.add_argument("--starts", type=int, default=8)
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))  # fewer switches between them
    FOLDER.mkdir(exist_ok=True)
    for program in ("h2load", "nginx", "taskset"):
        system(program)
    names = options.only.split(",")
    if unknown := set(names) - set(SLICES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SLICES)}")
    with tree_of(options.commit) as base:
        for name in names:
            starts = each_start(name, options.starts, partial(ratios, base, name))
            sys.stdout.write(summary(name, starts))


if __name__ == "__main__":
    try:
        main()
    except (LoadError, UnavailableError) as error:
        raise SystemExit(f"compare: {error}") from None
