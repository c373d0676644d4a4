"""What workers count arrives in the store, once, also after the database was away."""

import asyncio
import os
from pathlib import Path

import pytest
from sqlalchemy import select

from engine.accounts.database import Database
from engine.accounts.tables import usage_hourly
from engine.accounts.usage import read_all_usage
from engine.accounts.usage_writer import MAX_ROWS_PER_SECOND, OTHER, UsageWriter

FAR = 10**12
ACCOUNT, KEY = ("01890000-0000-7000-8000-00000000000" + digit for digit in "12")
GROUP = (f"@{ACCOUNT}/{KEY}", "gpt-4o", "openai", "")


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
                writer.add(GROUP, number % 10 == 0, number)
            writer.add(("of keys.yaml", "gpt-4o-mini", "openai", ""), False, 130_000.0)
        for writer in writers:
            writer.stop()

    asyncio.run(main())
    assert counted(database) == {"gpt-4o": (200, 20), "gpt-4o-mini": (2, 0)}
    with database.read() as connection:
        (first, second) = read_all_usage(connection, 0, FAR, "model")
    assert first.ms_total == 2 * sum(range(100))
    assert first.latency[:3] == (102, 98, 0), "up to and with 50 ms, and up to 100"
    assert second.latency[-1] == 2
    with database.read() as connection:
        by_key = {
            usage.label: usage.requests for usage in read_all_usage(connection, 0, FAR, "key")
        }
    assert by_key == {KEY: 200, "": 2}
    assert lost == []


def test_tokens_are_added_up_and_unknown_ones_are_none(database: Database) -> None:
    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        for output in (5, None, 0):
            writer.add(GROUP, False, 1.0, 100, output)
        writer.add(("app", "rerank-1", "p", ""), False, 1.0)
        writer.add(("app", "embed-1", "p", ""), False, 1.0, 0)
        writer.stop()

    asyncio.run(main())
    with database.read() as connection:
        found = read_all_usage(connection, 0, FAR, "model")
    assert {u.label: (u.input_tokens, u.output_tokens) for u in found} == {
        "gpt-4o": (300, 5), "rerank-1": (None, None), "embed-1": (0, None),
    }  # fmt: skip


def test_what_leads_nowhere_has_no_model(database: Database) -> None:
    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        for number in range(5):
            writer.add(("app", f"any text {number}", None, ""), True, 1.0)
        writer.add(("app", None, None, ""), True, 1.0)
        writer.stop()

    asyncio.run(main())
    assert counted(database) == {"": (6, 6)}


def test_the_models_of_one_second_are_bounded(database: Database) -> None:
    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        for number in range(MAX_ROWS_PER_SECOND + 50):
            writer.add(("app", f"gpt-{number}", "p", ""), False, 1.0)
        writer.stop()
        writer._thread.join(60)  # `stop` waits for two seconds, and so many rows may take longer

    asyncio.run(main())
    found = counted(database)
    assert len(found) == MAX_ROWS_PER_SECOND + 1
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
        writer.add(GROUP, False, 1.0)
        writer._hand_over()
        async with asyncio.timeout(10):
            while not writer._kept:  # noqa: ASYNC110 there is no event for it
                await asyncio.sleep(0.01)
        away.rename(file)
        writer.add(GROUP, False, 1.0)
        await asyncio.to_thread(writer.stop)

    asyncio.run(main())
    assert counted(database) == {"gpt-4o": (2, 0)}


def test_costs_are_added_up_by_the_version_of_their_prices(database: Database) -> None:
    async def main() -> None:
        writer = UsageWriter(database, lambda _: None)
        for version, cost in (("v1", 5), ("v1", None), ("v2", 7), ("v2", 0), ("", None)):
            writer.add(("app", "m", "p", version), False, 1.0, 1, 1, cost)
        writer.stop()

    asyncio.run(main())
    with database.read() as connection:
        rows = connection.execute(select(usage_hourly).order_by(usage_hourly.c.price_version)).all()
        (whole,) = read_all_usage(connection, 0, FAR, "model")
    assert [(row.price_version, row.requests, row.cost_nano_usd, row.unpriced) for row in rows] == [
        ("", 1, None, 0), ("v1", 2, 5, 1), ("v2", 2, 7, 0),
    ]  # fmt: skip
    assert (whole.requests, whole.cost_nano_usd, whole.unpriced) == (5, 12, 1)
