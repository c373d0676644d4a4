"""What workers count arrives in the store, once, also after the database was away."""

import asyncio
import os
from pathlib import Path

import pytest

from engine.accounts.database import Database
from engine.accounts.usage import read_all_usage
from engine.accounts.usage_writer import MAX_SECOND, OTHER, UsageWriter

FAR = 10**12
GROUP = ("account", "key", "gpt-4o", "openai")


def counted(database: Database) -> dict[str, tuple[int, int]]:
    with database.read() as connection:
        return {
            usage.label: (usage.requests, usage.errors)
            for usage in read_all_usage(connection, 0, FAR, "model")
        }


def test_requests_of_two_writers_are_added_up(database: Database) -> None:
    lost: list[int] = []

    async def main() -> None:
        writers = [UsageWriter(database, lost.append) for _ in range(2)]
        for writer in writers:
            for number in range(100):
                writer.add(GROUP, is_error=number % 10 == 0, milliseconds=number)
            writer.add(("", "", "gpt-4o-mini", "openai"), is_error=False, milliseconds=130_000.0)
        for writer in writers:
            writer.stop()

    asyncio.run(main())
    assert counted(database) == {"gpt-4o": (200, 20), "gpt-4o-mini": (2, 0)}
    with database.read() as connection:
        (first, second) = read_all_usage(connection, 0, FAR, "model")
    assert first.ms_total == 2 * sum(range(100))
    assert first.latency[:3] == (102, 98, 0), "up to and with 50 ms, and up to 100"
    assert second.latency[-1] == 2
    assert lost == []


def test_the_models_of_one_second_are_bounded(database: Database) -> None:
    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        for number in range(MAX_SECOND + 50):
            writer.add(("a", "k", f"gpt-{number}", "p"), is_error=False, milliseconds=1.0)
        writer.stop()

    asyncio.run(main())
    found = counted(database)
    assert len(found) == MAX_SECOND + 1
    assert found[OTHER] == (50, 0)


@pytest.mark.skipif(bool(os.environ.get("ORQEN_TEST_DATABASE")), reason="about a file")
def test_what_was_counted_while_the_database_was_away_is_written_later(
    database: Database, tmp_path: Path
) -> None:
    file, away = tmp_path / "store.db", tmp_path / "away.db"
    database.close()
    file.rename(away)

    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        writer.add(GROUP, is_error=False, milliseconds=1.0)
        writer._hand_over()
        async with asyncio.timeout(10):
            while not writer._kept:  # noqa: ASYNC110 there is no event for it
                await asyncio.sleep(0.01)
        away.rename(file)
        writer.add(GROUP, is_error=False, milliseconds=1.0)
        await asyncio.to_thread(writer.stop)

    asyncio.run(main())
    assert counted(database) == {"gpt-4o": (2, 0)}
