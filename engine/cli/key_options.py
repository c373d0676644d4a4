"""Options of the commands about gateway keys, and what they say as values."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypedDict

import click

from engine.cli.exits import stop
from engine.config.units import parse_expiry

ACCOUNT = click.option("--account", metavar="NAME", help="Of this account, not of keys.yaml.")
OF_ACCOUNT = click.option("--account", metavar="NAME", required=True, help="The account.")


_LIMITS = (
    click.option("--rpm", type=click.IntRange(1), help="Requests in a minute."),
    click.option("--daily-tokens", type=click.IntRange(1), help="Tokens in a day (UTC)."),
    click.option("--weekly-tokens", type=click.IntRange(1), help="Tokens in a week, from Monday."),
    click.option("--monthly-usd", metavar="USD", help="US dollars in a month (UTC); needs prices.yaml."),
)  # fmt: skip


def limit_options(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that `Limits` is made of."""
    for option in reversed(_LIMITS):
        command = option(command)
    return command


class LimitOptions(TypedDict):
    """What limits of an account or of its keys were given."""

    rpm: int | None
    daily_tokens: int | None
    weekly_tokens: int | None
    monthly_usd: str | None


def names_of(given: tuple[str, ...]) -> list[str] | None:
    """The names of an option that may be repeated and may hold commas; None when it is not given."""
    if not given:
        return None
    return list(
        dict.fromkeys(n for text in given for part in text.split(",") if (n := part.strip()))
    )


def expiry_of(text: str, now: float) -> str:
    """A time for `expires`: as it was given, or so many days from now."""
    if re.fullmatch(r"[1-9][0-9]{0,4}d", text):
        return (
            (datetime.fromtimestamp(now, UTC) + timedelta(days=int(text[:-1]))).date().isoformat()
        )
    moment = parse_expiry(text) if re.match(r"\d{4}-\d\d-\d\d", text) else None
    if moment is None:
        stop(
            "`--expires` must be a date such as 2030-01-01, a time with its zone, or days such as 90d"
        )
    if moment <= now:
        stop("`--expires` is in the past")
    return text
