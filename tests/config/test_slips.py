"""Slips in the shipped files are told on their line, with the word that was meant; see mutation."""

from pathlib import Path

from tests.config.mutation import measure, table
from tests.config.slips import SLIPS

# The whole measurement is `make slips`; these few keep it from rotting.
EACH, SEED = 6, 7


def test_most_findings_stand_on_the_line_and_name_the_word(tmp_path: Path) -> None:
    scores = measure(EACH, SEED, tmp_path).values()
    told, placed = sum(s.told for s in scores), sum(s.placed for s in scores)
    meant, offered = sum(s.meant for s in scores), sum(s.offered for s in scores)
    assert told > 5 * len(SLIPS)
    assert placed >= 0.93 * told
    assert offered >= 0.95 * meant


def test_the_table_has_every_kind_and_the_whole(tmp_path: Path) -> None:
    rows = table(measure(1, SEED, tmp_path)).splitlines()
    assert [row[:34].strip() for row in rows] == ["slip", *SLIPS, "all"]
