"""`top`: what a running server does, from its metrics."""

import json
import os
import shutil
import sys
import time

import click

from engine.cli.exits import stop
from engine.cli.fetch import FetchError, get, other
from engine.plan.settings import DEFAULT_METRICS_PORT
from engine.report.traffic import (
    DIMENSIONS,
    render_server,
    render_traffic,
    server_values,
    traffic_rows,
)
from engine.telemetry.readings import TOKEN_NEEDED, Readings, parse_readings

TOKEN = "ORQEN_METRICS_TOKEN"  # noqa: S105 the name of a variable
UNAUTHORIZED = 401
# The alternate screen without a cursor, and back; home, and what is below is erased.
_OPEN, _CLOSE, _HOME = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H\x1b[J"


@click.command()
@click.option(
    "--url",
    default=f"http://127.0.0.1:{DEFAULT_METRICS_PORT}",
    show_default=True,
    help="Where the server serves its metrics.",
)
@click.option("--by", type=click.Choice(DIMENSIONS), default="provider", show_default=True)
@click.option(
    "--interval", type=click.FloatRange(0.2, 60), default=2.0, show_default=True, help="Seconds."
)
@click.option("--once", is_flag=True, help="Show the sums since the start once.")
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
def top(url: str, by: str, interval: float, form: str, *, once: bool) -> None:
    """Show requests, errors, tokens and latency of a running server, the busiest first.

    It reads /metrics, which the server has with `metrics` in server.yaml. In a terminal it
    goes on until Ctrl-C; otherwise, and with --once, it shows the sums since the start.
    A token that the metrics need is taken from the variable ORQEN_METRICS_TOKEN.
    """
    try:
        token = os.environ.get(TOKEN)
        now = read_metrics(url, token)
        if form == "json":
            click.echo(_json(now, by))
        elif once or not sys.stdout.isatty():
            table = render_traffic(traffic_rows(now, by), by, None)
            click.echo(f"{render_server(now)}\n{table}", nl=False)
        else:
            _run(url, by, interval, now, token)
    except FetchError as error:
        stop(str(error))


def read_metrics(url: str, token: str | None = None) -> Readings:
    """The metrics of the server at `url`, for whom has the `token`, if it wants one.

    Raises:
        FetchError: there are none.
    """
    try:
        status, text = get(url, "/metrics", "metrics listener", token=token)
        if (status, text) == (UNAUTHORIZED, TOKEN_NEEDED):
            what = "another token" if token else "a token"
            raise FetchError(f"the metrics listener at {url} wants {what} ({TOKEN})")
        return parse_readings(text.decode())
    except ValueError:
        raise other(url, "metrics listener") from None


def _read_again(url: str, interval: float, token: str | None = None) -> Readings:
    """The next metrics, once there are some: a server that restarts ends no display."""
    while True:
        try:
            return read_metrics(url, token)
        except FetchError as error:
            click.echo(f"{error}; trying again")
            time.sleep(interval)


def _json(now: Readings, by: str) -> str:
    rows = [
        {
            by: row.name,
            "requests": int(row.requests),
            "errors": int(row.errors),
            **({"retries": int(row.retries)} if by == "provider" else {}),
            **({} if by == "key" else {"unpriced_requests": int(row.unpriced_requests)}),
            "input_tokens": int(row.input_tokens),
            "output_tokens": int(row.output_tokens),
            "cost_usd": float(row.cost_usd),
            **dict(zip(("p50_s", "p95_s", "first_event_p50_s"), row.times(), strict=True)),
        }
        for row in traffic_rows(now, by)
    ]
    return json.dumps({"server": server_values(now), "traffic": rows}, indent=2)


def truncate(text: str, columns: int, lines: int) -> str:
    """What of `text` a terminal of that size has room for, from its beginning: what scrolls is gone from its screen."""
    shown = [line[:columns] for line in text.splitlines()]
    if len(shown) > lines:
        more = f"{len(shown) - lines + 1} more lines; --once shows all"
        shown = [*shown[: lines - 1], more[:columns]]
    return "\n".join(shown)


def _run(url: str, by: str, interval: float, now: Readings, token: str | None) -> None:
    """Show what has changed in each interval, until Ctrl-C."""
    click.echo(_OPEN, nl=False)
    try:
        before, at, seconds = now, time.monotonic(), None
        while True:
            rows = traffic_rows(now if seconds is None else now.since(before), by)
            text = f"{url}  every {interval:g} s, Ctrl-C ends\n{render_server(now)}\n"
            text += render_traffic(rows, by, seconds)
            click.echo(_HOME + truncate(text, *shutil.get_terminal_size()), nl=False)
            time.sleep(interval)
            before, now = now, _read_again(url, interval, token)
            before_at, at = at, time.monotonic()
            seconds = at - before_at
    except KeyboardInterrupt:
        pass
    finally:
        click.echo(_CLOSE, nl=False)
