"""Slips in the shipped files are told on their line, with the word that was meant; see slip_scores."""

import pytest

from tests.integration.catalogue.slip_scores import Score, measure, table
from tests.integration.catalogue.slips import SLIPS

# The whole measurement is `make typos`; these few keep it from rotting.
EACH, SEED = 1, 7


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Score]:
    return measure(EACH, SEED, tmp_path_factory.mktemp("slips"))


def test_most_findings_stand_on_the_line_and_name_the_word(measured: dict[str, Score]) -> None:
    scores = measured.values()
    explain_syntax, placed = sum(s.reported for s in scores), sum(s.placed for s in scores)
    meant, offered = sum(s.meant for s in scores), sum(s.offered for s in scores)
    assert explain_syntax > 0.8 * EACH * len(SLIPS)
    assert placed >= 0.93 * explain_syntax
    assert offered >= 0.95 * meant


def test_the_table_has_every_kind_and_the_whole(measured: dict[str, Score]) -> None:
    rows = table(measured).splitlines()
    assert [row[:34].strip() for row in rows] == ["slip", *SLIPS, "all"]
