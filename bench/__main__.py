"""`python -m bench`: install the peers, measure, print one table and write it down."""

import argparse
import json
import resource
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from bench import machine
from bench.load import LoadError
from bench.peers import FOLDER, PEERS, ROOT, Peer, UnavailableError, system
from bench.ready import upstreams
from bench.report import render, write_page
from bench.scenarios import SCENARIOS, Scenario

RESULT = ROOT / "docs" / "performance.json"
PAGE = ROOT / "docs" / "performance.md"


def say(words: str) -> None:
    sys.stderr.write(f"{words}\n")
    sys.stderr.flush()


def prepare(names: Sequence[str]) -> tuple[dict[str, Peer], dict[str, str], dict[str, str]]:
    """The peers that can be measured, their versions, and why others cannot."""
    peers, versions, missing = {}, {}, {}
    for peer in PEERS:
        if peer.name not in names:
            continue
        say(f"installing {peer.name}")
        try:
            peer.install()
            versions[peer.name] = peer.version()
            peers[peer.name] = peer
        except UnavailableError as error:
            missing[peer.name] = f"cannot be installed here: {error}"
    return peers, versions, missing


def measure(
    scenarios: Sequence[Scenario], peers: dict[str, Peer], missing: dict[str, str], seconds: int
) -> tuple[dict[str, Any], dict[str, str]]:
    """Every scenario with every peer; what cannot be measured is told, never made up.

    Where a scenario has rounds, a peer's figures are those of the round that took it least CPU.
    """
    rows: dict[str, Any] = {}
    told: dict[str, str] = {}
    broken: dict[str, str] = dict(missing)
    for scenario in scenarios:
        seen = rows.setdefault(scenario.name, {})
        for name in scenario.peers * scenario.rounds:
            place = f"{scenario.name}/{name}"
            if name not in peers or name in broken:
                told[place] = broken.get(name, "left out of this run")
                continue
            say(f"measuring {place}")
            try:
                figures = scenario.measure(peers[name], seconds)
                if name not in seen or figures["cpu_us"] < seen[name]["cpu_us"]:
                    seen[name] = figures
            except (UnavailableError, LoadError, ValueError) as error:
                told[place] = str(error)
                say(f"  {error}")
    return rows, told


def main() -> None:
    known = [peer.name for peer in PEERS]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--peers", default=",".join(known), help="which, by commas")
    parser.add_argument("--only", default=",".join(s.name for s in SCENARIOS), help="scenarios")
    parser.add_argument("--seconds", type=int, default=5, help="for each figure of CPU")
    parser.add_argument("--keep", action="store_true", help="write docs/performance.*")
    parser.add_argument("--render", action="store_true", help="only write the page again")
    options = parser.parse_args()
    if options.render:
        write_page(json.loads(RESULT.read_text("utf-8")), PAGE)
        return
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    FOLDER.mkdir(exist_ok=True)
    for program in ("wrk", "h2load", "nginx", "taskset"):
        system(program)
    peers, versions, missing = prepare(options.peers.split(","))
    chosen = [s for s in SCENARIOS if s.name in options.only.split(",")]
    with upstreams():
        rows, told = measure(chosen, peers, missing, options.seconds)
    result = {
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine.describe(),
        "versions": versions,
        "rows": rows,
        "missing": told,
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (FOLDER / "result.json").write_text(text)
    (FOLDER / "result.md").write_text(render(result))
    sys.stdout.write(render(result))
    if options.keep:
        RESULT.write_text(text)
        write_page(result, PAGE)


if __name__ == "__main__":
    try:
        main()
    except UnavailableError as error:
        raise SystemExit(f"bench: {error}; on Debian: apt-get install nginx-light wrk nghttp2-client") from None  # fmt: skip
