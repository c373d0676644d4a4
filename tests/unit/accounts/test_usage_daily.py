"""The sums of usage by the day say what the hours say."""

from dataclasses import replace

import pytest
from sqlalchemy import Connection, delete, text

from engine.accounts.database import Database, open_database
from engine.accounts.key_limits import MAX_COUNTS
from engine.accounts.old_usage import delete_usage
from engine.accounts.tables import LATENCY_COLUMNS, usage_daily
from engine.accounts.usage import DAY, HOUR, By, UsageRow, add_usage, has_usage, read_usage

START = 20_000 * DAY


def row(hour: int, key: str, model: str, requests: int = 1, tokens: int | None = None) -> UsageRow:
    latency = (requests,) + (0,) * (len(LATENCY_COLUMNS) - 1)
    return UsageRow(
        START + hour * HOUR, "ours", key, model, "p", requests, 0, 5, latency, tokens, None
    )


ROWS = (
    row(0, "k1", "m1", 3, 7),
    row(23, "k1", "m2"),
    row(24, "k2", "m1", 2),
    row(24, "k2", "m1", 5),
)


def days(connection: Connection, by: By, **more: object) -> dict[str, int]:
    found = read_usage(connection, "ours", START, START + 2 * DAY, by, **more)  # type: ignore[arg-type]
    return {each.label: each.requests for each in found}


def test_days_are_the_sums_of_their_hours(database: Database) -> None:
    with database.write() as connection:
        add_usage(connection, ROWS)
        add_usage(connection, [row(1, "k1", "m1", 10, 1)])
        assert days(connection, "day") == {str(START): 14, str(START + DAY): 7}
        assert days(connection, "key") == {"k1": 14, "k2": 7}
        assert days(connection, "model") == {"m1": 20, "m2": 1}
        assert days(connection, "day", key_id="k2") == {str(START + DAY): 7}
        assert days(connection, "model", key_id="k1") == {"m1": 13, "m2": 1}
        whole = read_usage(connection, "ours", START, START + DAY, "day")[0]
        assert (whole.input_tokens, whole.output_tokens, whole.latency[0]) == (8, None, 14)


@pytest.mark.parametrize("by", ["day", "key", "model", "provider"])
def test_days_and_hours_agree(database: Database, by: By) -> None:
    with database.write() as connection:
        add_usage(connection, ROWS)
        by_days = read_usage(connection, "ours", START, START + 2 * DAY, by)
        by_hours = read_usage(connection, "ours", START, START + 2 * DAY - 1, by)
        assert by_days == by_hours != []


def test_a_limit_keeps_those_with_the_most_requests(database: Database) -> None:
    with database.write() as connection:
        add_usage(connection, ROWS)
        assert days(connection, "key", limit=1) == {"k2": 7}
        assert days(connection, "model", limit=1) == {"m1": 10}


def test_another_account_has_used_nothing(database: Database) -> None:
    with database.write() as connection:
        add_usage(connection, ROWS)
        assert read_usage(connection, "theirs", START, START + 2 * DAY, "key") == []
        assert (has_usage(connection, "ours"), has_usage(connection, "theirs")) == (True, False)


def test_what_is_removed_is_removed_from_the_sums(database: Database) -> None:
    with database.write() as connection:
        add_usage(connection, ROWS)
    assert delete_usage(database, START + DAY) == 2
    with database.read() as connection:
        assert days(connection, "key") == {"k2": 7}


def test_a_database_of_before_gets_its_sums(url: str) -> None:
    database = open_database(url)
    database.upgrade()
    with database.write() as connection:
        add_usage(connection, ROWS)
        connection.execute(delete(usage_daily))
        connection.execute(text("DROP TABLE usage_daily"))
        for name in MAX_COUNTS:
            connection.execute(text(f"ALTER TABLE gateway_keys DROP COLUMN {name}"))
            connection.execute(text(f"ALTER TABLE accounts DROP COLUMN {name}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    assert database.upgrade() == ["0002", "0003", "0004", "0005", "0006"]
    with database.read() as connection:
        assert days(connection, "key") == {"k1": 4, "k2": 7}
        assert days(connection, "day") == {str(START): 4, str(START + DAY): 7}
    database.close()


def test_days_have_the_cost_of_all_versions_of_prices(database: Database) -> None:
    first = replace(ROWS[0], cost_nano_usd=5, price_version="v1")
    later = replace(first, cost_nano_usd=9, unpriced=2, price_version="v2")
    with database.write() as connection:
        add_usage(connection, [first, later, ROWS[3]])
        by_days = read_usage(connection, "ours", START, START + 2 * DAY, "day")
        assert [(day.cost_nano_usd, day.unpriced) for day in by_days] == [(14, 2), (None, 0)]
        by_hours = read_usage(connection, "ours", START, START + 2 * DAY - 1, "day")
        assert by_hours == by_days
