"""Usage by the hour: what several workers add is summed, and read by its account alone."""

import threading
from typing import get_args

import pytest
from sqlalchemy import Connection

from engine.accounts import usage
from engine.accounts.database import Database
from engine.accounts.old_usage import delete_usage
from engine.accounts.tables import LATENCY_BOUNDS
from engine.accounts.usage import UsageRow, add_usage, read_all_usage, read_usage

DAY = 1_800_057_600  # midnight, UTC
HOUR = usage.HOUR


def row(hour: int = DAY, account: str = "a", key: str = "k", model: str = "m", **counts: object) -> UsageRow:  # fmt: skip
    latency = tuple(int(n == 2) for n in range(len(LATENCY_BOUNDS) + 1))
    values = {"requests": 1, "errors": 0, "ms_total": 150, "latency": latency} | counts
    return UsageRow(hour, account, key, model, "acme", **values)  # type: ignore[arg-type]


def test_what_is_added_is_summed(store: Connection) -> None:
    add_usage(store, [row(), row(), row(errors=1)])
    add_usage(store, [row(ms_total=50)])
    (total,) = read_usage(store, "a", DAY, DAY + 1, "key")
    assert (total.label, total.requests, total.errors, total.ms_total) == ("k", 4, 1, 500)
    assert sum(total.latency) == total.latency[2] == 4


def test_tokens_that_nobody_measured_are_unknown_and_not_none(store: Connection) -> None:
    add_usage(store, [row(model="unknown"), row(model="known", input_tokens=0)])
    add_usage(store, [row(model="known"), row(model="known", input_tokens=5), row(model="unknown")])
    add_usage(store, [row(model="known", input_tokens=2)])
    add_usage(store, [row(model="known")])
    found = {u.label: u.input_tokens for u in read_usage(store, "a", DAY, DAY + 1, "model")}
    assert found == {"known": 7, "unknown": None}


@pytest.mark.parametrize("by", get_args(usage.By))
def test_an_account_sees_its_own_usage(store: Connection, by: usage.By) -> None:
    add_usage(store, [row(account="a"), row(account="b"), row(account="")])
    assert [u.requests for u in read_usage(store, "a", DAY, DAY + 1, by)] == [1]
    assert [u.requests for u in read_all_usage(store, DAY, DAY + 1, by)] == [3]
    assert read_usage(store, "none", DAY, DAY + 1, by) == []


def test_time_is_cut_at_hours_and_summed_by_days(store: Connection) -> None:
    add_usage(store, [row(DAY + n * HOUR) for n in range(-1, 26)])
    days = read_usage(store, "a", DAY, DAY + 26 * HOUR, "day")
    assert [(u.label, u.requests) for u in days] == [(str(DAY), 24), (str(DAY + 86400), 2)]
    hours = read_usage(store, "a", DAY + 5, DAY + 2 * HOUR, "hour")
    assert [u.label for u in hours] == [str(DAY), str(DAY + HOUR)]


def test_the_most_used_comes_first(store: Connection) -> None:
    add_usage(store, [row(model=m, requests=n) for m, n in (("b", 1), ("a", 1), ("c", 7))])
    assert [u.label for u in read_usage(store, "a", DAY, DAY + 1, "model")] == ["c", "a", "b"]


@pytest.mark.parametrize("most", [1, 3, 100])
def test_old_usage_is_removed_in_several_transactions(database: Database, most: int) -> None:
    with database.write() as connection:
        add_usage(connection, [row(DAY - n * HOUR, a, k) for n in range(3) for k in "xy" for a in ("a", "")])  # fmt: skip
    assert delete_usage(database, DAY, most) == 8
    assert delete_usage(database, DAY, most) == 0
    with database.read() as connection:
        left = read_all_usage(connection, 0, DAY + HOUR, "hour")
        assert [(u.label, u.requests) for u in left] == [(str(DAY), 4)]
        assert [u.label for u in read_usage(connection, "a", 0, 2 * DAY, "day")] == [str(DAY)]


def test_more_rows_than_one_statement_takes_and_a_name_that_is_too_long(store: Connection) -> None:
    add_usage(store, [row(model=f"{'m' * 250}", key=str(n)) for n in range(1000)])
    add_usage(store, [])
    (total,) = read_usage(store, "a", DAY, DAY + 1, "model")
    assert (total.label, total.requests) == ("m" * 200, 1000)


def test_workers_that_add_at_the_same_time_lose_nothing(database: Database) -> None:
    def add(order: int) -> None:
        for _ in range(10):
            with database.write() as connection:
                add_usage(connection, [row(key=str(n)) for n in range(10)][::order])

    threads = [threading.Thread(target=add, args=[order]) for order in (1, -1, 1, -1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as connection:
        found = read_usage(connection, "a", DAY, DAY + 1, "key")
    assert [u.requests for u in found] == [40] * 10


def test_a_row_without_all_buckets_is_a_bug(store: Connection) -> None:
    with pytest.raises(ValueError, match="2 buckets"):
        add_usage(store, [row(latency=(1, 2))])
