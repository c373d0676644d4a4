"""How well findings hit: slips in the shipped files, and where the first finding then stands.

python -m tests.integration.catalogue.slip_scores 2000 7      2,000 of each kind, seed 7
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from engine.config.diagnostics.diagnostic import Diagnostic, Severity
from engine.config.load import Loaded, load
from tests.integration.catalogue.slips import SLIPS, Slip, Source, source
from tests.servers import ROOT
from tests.unit.config.folders import NOW

FILES = ("routes.yaml", "providers.yaml")


@dataclass
class Score:
    """Of one kind of slip: how many were told, how many at the right line, with the right word."""

    reported: int = 0
    placed: int = 0
    legal: int = 0
    offered: int = 0
    meant: int = 0
    misses: list[str] = field(default_factory=list)


def measure(count: int, seed: int, folder: Path) -> dict[str, Score]:
    """`count` slips of each kind, loaded as `check` would."""
    for file in FILES:
        shutil.copyfile(ROOT / file, folder / file)
    sources = [source(file, (ROOT / file).read_text("utf-8")) for file in FILES]
    scores = {name: Score() for name in SLIPS}
    for name, slip_of in SLIPS.items():
        random = Random(f"{seed} {name}")
        done = 0
        while done < count:
            src = random.choice(sources)
            slip = slip_of(src, random)
            loaded = check(folder, src, slip) if slip else None
            if slip is None or loaded is None or changes_nothing(src, loaded):
                continue
            done += 1
            judge(scores[name], src, slip, loaded)
    return scores


def check(folder: Path, src: Source, slip: Slip) -> Loaded:
    return load(folder, {}, NOW, overrides={src.file: slip.text.encode()})


def changes_nothing(src: Source, loaded: Loaded) -> bool:
    document = loaded.documents.get(src.file)
    return document is not None and document.data == src.document.data and not reported(loaded)


def reported(loaded: Loaded) -> list[Diagnostic]:
    return [d for d in loaded.diagnostics if d.severity is not Severity.NOTE]


def judge(score: Score, src: Source, slip: Slip, loaded: Loaded) -> None:
    found = reported(loaded)
    if not found:
        score.legal += 1
        return
    first = found[0]
    score.reported += 1
    if first.span.file == src.file and first.span.start.line in slip.lines:
        score.placed += 1
    else:
        score.misses.append(f"place  {sorted(slip.lines)} {diff(src, slip)}  got {line(first)}")
    if slip.meant is not None:
        score.meant += 1
        if (
            any(d.fix and d.fix.text == slip.meant for d in found)
            or f"`{slip.meant}`" in first.label + first.message.partition("did you mean")[2]
        ):
            score.offered += 1
        else:
            score.misses.append(f"word  {slip.meant} {diff(src, slip)}  got {line(first)}")


def line(d: Diagnostic) -> str:
    return f"{d.span} {d.code} {d.message} ({d.label})"


def diff(src: Source, slip: Slip) -> str:
    old, new = src.text.split("\n"), slip.text.split("\n")
    index = next(
        (i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), len(new) - 1
    )
    return f"{src.file}:{index + 1} {new[index]!r}"


def table(scores: dict[str, Score]) -> str:
    rows = [f"{'slip':34} {'reported':>6} {'placed':>7} {'word':>7} {'legal':>6}"]
    everything = Score()
    for name, s in [*scores.items(), ("all", everything)]:
        rows.append(
            f"{name:34} {s.reported:6} {s.placed / max(1, s.reported):7.1%} "
            f"{f'{s.offered / s.meant:7.1%}' if s.meant else '':7} {s.legal:6}"
        )
        for key in ("reported", "placed", "offered", "meant", "legal"):
            setattr(everything, key, getattr(everything, key) + getattr(s, key))
    return "\n".join(rows)


if __name__ == "__main__":
    if len(sys.argv) > 4:
        for kind in list(SLIPS):
            if sys.argv[4] not in kind:
                del SLIPS[kind]
    with tempfile.TemporaryDirectory() as name:
        scores = measure(int(sys.argv[1]), int(sys.argv[2]), Path(name))
    for kind, score in scores.items():
        for miss in score.misses[: int(sys.argv[3]) if len(sys.argv) > 3 else 0]:
            sys.stdout.write(f"{kind}: {miss}\n")
    sys.stdout.write(table(scores) + "\n")
