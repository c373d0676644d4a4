"""`status`: what a running server serves, beside what its folder holds."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

import click

from engine.cli.common import DIRECTORY, FINDINGS, FINE, render, stop
from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import load

SECONDS = 5


@click.command()
@DIRECTORY
@click.option(
    "--url", default="http://127.0.0.1:8080", show_default=True, help="Where the server listens."
)
def status(directory: Path, url: str) -> None:
    """Say what a running server serves, and whether that is what DIRECTORY holds.

    Exits with 0 when it is and the server is ready, 1 when not, 2 when the server does not respond.
    """
    reported = _readiness(url)
    click.echo(
        f"running   config {reported['config']} since {reported['loaded']}, {reported['status']}"
    )
    if reported.get("accounts", "ok") != "ok":
        click.echo("accounts  the store cannot be reached; keys in use go on, others get a 503")
    same = _print_disk(directory, reported)
    sys.exit(FINE if same and reported["status"] == "ready" else FINDINGS)


def _print_disk(directory: Path, reported: dict[str, Any]) -> bool:
    loaded = load(directory, os.environ, time.time())
    refused = reported["refused"]
    if refused:
        click.echo(f"on disk   refused at {refused['at']}: {', '.join(refused['reasons'])}")
    if loaded.plan is None:
        errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
        click.echo(f"on disk   cannot run\n\n{render(errors, loaded.documents)}")
        return False
    if loaded.plan.fingerprint != reported["config"]:
        click.echo(f"on disk   config {loaded.plan.fingerprint}, which is not what runs")
        return False
    if reported["restart"]:
        names = ", ".join(reported["restart"])
        click.echo(
            f"on disk   {names} has changed: it takes effect when the server is started again"
        )
    elif not refused:
        click.echo("on disk   the same")
    return not refused and not reported["restart"]


def _address(url: str) -> SplitResult:
    """The parts of `--url`, which may lack its scheme."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        is_fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        stop("`--url` must be an address such as http://127.0.0.1:8080")
    return parts


def _readiness(url: str) -> dict[str, Any]:
    """What `/readyz` of the server at `url` returns."""
    import http.client  # noqa: PLC0415 other commands start without it

    parts = _address(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
        connection.request("GET", "/readyz")
        reported = json.loads(connection.getresponse().read())
        connection.close()
        needed = {name: reported[name] for name in ("status", "config", "loaded", "refused")}
        more = {"accounts": reported.get("accounts", "ok"), "restart": reported.get("restart", [])}
        return {**more, **needed}
    except TimeoutError:
        stop(f"no gateway responds at {url} within {SECONDS} s")
    except OSError as error:
        stop(f"no gateway responds at {url}: {error.strerror or type(error).__name__}")
    except (ValueError, KeyError, TypeError, http.client.HTTPException):
        stop(f"no gateway responds at {url}: something else listens there")
