"""A small run of `make fuzz`, always the same one, and that it notices what it looks for."""

import asyncio
import random
from collections.abc import Iterable

import pytest

from tests.fuzz import TARGETS, Chance, fuzz
from tests.tables import each

CASES = 6_000


def test_random_input_breaks_nothing() -> None:
    done = asyncio.run(fuzz(CASES, seed=1))
    assert set(done) == set(TARGETS)
    assert sum(count for count, _ in done.values()) > CASES * 0.9


def test_a_broken_case_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(chance: Chance) -> None:
        assert chance.random() < 0.9

    monkeypatch.setitem(TARGETS, "broken", (broken, 10))
    with pytest.raises(AssertionError, match=r"case \d+ of broken, seed 3, broke it"):
        asyncio.run(fuzz(1000, seed=3))


@each("seed", range(3))
def test_random_answers_never_raise(seed: int) -> None:
    asyncio.run(_answers(f"{seed}/{number}" for number in range(500)))


async def _answers(seeds: Iterable[str]) -> None:
    for seed in seeds:
        await TARGETS["answers"][0](random.Random(seed))
