"""Limits after callers have left a gateway at every stage; `make races` has many more, and a store."""

import asyncio
from pathlib import Path

from tests.leaving import MORE, STAGES, play
from tests.leaving_site import CONCURRENT


def test_callers_that_leave_at_any_stage_hold_nothing(tmp_path: Path) -> None:
    found = asyncio.run(play("memory", 30 * len(STAGES), tmp_path))
    assert (found.at_once, found.by_tokens, found.by_usd) == (CONCURRENT, MORE, MORE), found
    assert found.records["client_cancelled, 1 attempts"] > 0
