"""How many small mistakes in the code the tests notice: a drawn sample, each run on a copy.

    make mutants                  60 mutants, seed 1
    make mutants MUTANTS=200 SEED=7

First all tests run once on a copy whose statements are marked, which shows what each test runs.
Then each mutant, one change at one place, meets the tests that run its statement, the nearest and
fastest first. It is killed when one of them fails twice with it and passes without it. A test that
takes more than a minute and three times its own time hangs: that is counted apart, and is seen twice
as well.
"""

import argparse
import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from tests.mutants.coverage import Coverage
from tests.mutants.drawn import Mutant, all_mutants
from tests.mutants.marking import mark_engine, marked
from tests.mutants.trial import Copy, Outcome, copy_tree

ROOMS = ["gateway", "upstream", "config"]
WANTED = 0.9


def recorded(folder: Path) -> Coverage:
    """What each test runs; the run of all tests is not repeated where its log is there."""
    kept = folder / "record"
    if not kept.exists():
        copy_tree(folder / "plain")
        copy_tree(folder / "marked")
        mark_engine(folder / "marked", folder / "seen")
        log = Copy(folder, folder / "marked").record(folder / "seen")
        kept.write_text(log, "utf-8")
    return Coverage(marked(folder / "plain")[1], kept.read_text("utf-8"))


def tried(folder: Path, mutants: list[Mutant], coverage: Coverage) -> dict[Mutant, Outcome]:
    """Each mutant with its outcome, one line each as it ends."""
    copy = Copy(folder, folder / "plain")
    outcomes: dict[Mutant, Outcome] = {}
    with (folder / "results").open("a", encoding="utf-8") as results:
        for number, mutant in enumerate(mutants, 1):
            started = time.monotonic()
            outcome = outcomes[mutant] = copy.verdict(mutant, coverage)
            seconds = time.monotonic() - started
            say(f"{number:>3} {seconds:5.0f} s  {mutant}  {outcome}\n")
            row = {
                "mutant": str(mutant),
                "seconds": round(seconds, 1),
                "kind": outcome.kind,
                "test": outcome.test,
            }
            results.write(json.dumps(row) + "\n")
            results.flush()
    return outcomes


def report(outcomes: dict[Mutant, Outcome], known: int) -> int:
    """Print the survivors and the figure; 0 when enough are killed."""
    kinds = [outcome.kind for outcome in outcomes.values()]
    killed, hang = kinds.count("failed"), kinds.count("hangs")
    for mutant, outcome in outcomes.items():
        if outcome.kind == "passed":
            say(f"survived: {mutant}  {outcome.detail}\n")
    share = (killed + hang) / len(kinds)
    say(f"{killed} killed and {hang} hang of {len(kinds)} mutants ({share:.0%}), of {known}\n")
    return 0 if share >= WANTED else 1


def say(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=60)
    parser.add_argument("seed", type=int, nargs="?", default=1)
    parser.add_argument("--only", default="", help="mutants whose place has this text")
    parser.add_argument("--skip", type=int, default=0, help="mutants of the sample that were tried")
    parser.add_argument("--folder", type=Path, help="keep the copies, and use those that are there")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # puts the copy right on its way out
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        started = time.monotonic()
        coverage = recorded(folder)
        known = all_mutants(folder / "plain", ROOMS)
        found = [mutant for mutant in known if options.only in str(mutant)]
        drawn = random.Random(options.seed).sample(found, min(max(options.count, 1), len(found)))
        say(f"{len(coverage.all_tests)} tests in {time.monotonic() - started:.0f} s; {len(drawn)} of {len(found)} mutants, seed {options.seed}\n")  # fmt: skip
        return report(tried(folder, drawn[options.skip :], coverage), len(found))


if __name__ == "__main__":
    sys.exit(main())
