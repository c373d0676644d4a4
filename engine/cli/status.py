"""`status`: what a running server serves, beside what its folder holds."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import click

from engine.cli.common import DIRECTORY, render
from engine.cli.console import json_text
from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.fetch import CERT, CERT_KEY, ClientCertificate, FetchError, fetch, other
from engine.cli.top import read_metrics
from engine.config.diagnostics.diagnostic import Severity
from engine.config.load import Loaded, load
from engine.report.traffic import render_server, server_values
from engine.telemetry.readings import Readings


@click.command()
@DIRECTORY
@click.option(
    "--url", default="http://127.0.0.1:8080", show_default=True, help="Where the server listens."
)
@click.option(
    "--format", "form", type=click.Choice(["text", "json"]), default="text", show_default=True
)
@CERT
@CERT_KEY
def status(directory: Path, url: str, form: str, cert: Path | None, key: Path | None) -> None:
    """Say what a running server serves, and whether that is what DIRECTORY holds.

    With `metrics` in server.yaml it also shows workers, breakers and limits.

    Exits with 0 when it is and the server is ready, 1 when not, 2 when the server does not respond.
    """
    try:
        reported = _readiness(url, ClientCertificate(cert, key))
    except FetchError as error:
        stop(str(error))
    loaded = load(directory, os.environ, time.time())
    metrics, why = _metrics(loaded)
    is_same = _is_same(loaded, reported)
    if form == "json":
        _print_json(loaded, reported, metrics, is_same=is_same)
    else:
        _print_running(reported)
        if metrics is not None or why:
            _print_server(metrics, why)
        _print_disk(loaded, reported)
    sys.exit(OK if is_same and reported["status"] == "ready" else FINDINGS)


def _print_json(
    loaded: Loaded, reported: dict[str, Any], metrics: Readings | None, *, is_same: bool
) -> None:
    """All of it for programs; `server` is null without metrics."""
    disk = {"config": loaded.plan.fingerprint if loaded.plan else None, "is_same": is_same}
    server = None if metrics is None else server_values(metrics)
    click.echo(json_text({"running": reported, "disk": disk, "server": server}), nl=False)


def _print_running(reported: dict[str, Any]) -> None:
    click.echo(
        f"running   config {reported['config']} since {reported['loaded']}, {reported['status']}"
    )
    if reported["tls"]:
        words = f"{_refusal(reported['tls'])}; the previous ones stay in use"
        click.echo(f"TLS       files on disk {words}")
    if reported["accounts"] != "ok":
        click.echo(
            "accounts  the store cannot be reached; keys in use stay valid, others get a 503"
        )


def _print_server(metrics: Readings | None, why: str) -> None:
    if metrics is None:
        click.echo(f"server    {why}")
        return
    first, *more = render_server(metrics).splitlines()
    limits = server_values(metrics)["limits"]
    if any(limits.values()):
        more.append("limits: " + ", ".join(f"{limits[name]} {name}" for name in sorted(limits)))
    click.echo("\n".join([f"server    {first}", *(f"          {line}" for line in more)]))


def _is_same(loaded: Loaded, reported: dict[str, Any]) -> bool:
    """Whether what is on disk is what runs."""
    fingerprint = loaded.plan.fingerprint if loaded.plan else None
    is_waiting = reported["refused"] or reported["restart"] or reported["tls"]
    return fingerprint == reported["config"] and not is_waiting


def _print_disk(loaded: Loaded, reported: dict[str, Any]) -> None:
    refused = reported["refused"]
    if refused:
        click.echo(f"on disk   {_refusal(refused)}")
    if loaded.plan is None:
        errors = [d for d in loaded.diagnostics if d.severity is Severity.ERROR]
        click.echo(f"on disk   cannot run\n\n{render(errors, loaded.documents)}")
    elif loaded.plan.fingerprint != reported["config"]:
        click.echo(f"on disk   config {loaded.plan.fingerprint}, which is not what runs")
    elif reported["restart"]:
        names = ", ".join(reported["restart"])
        click.echo(
            f"on disk   {names} has changed: it takes effect when the server is started again"
        )
    elif not refused:
        click.echo("on disk   the same")


def _refusal(refused: dict[str, Any]) -> str:
    return f"refused at {refused['at']}: {', '.join(refused['reasons'])}"


def _metrics(loaded: Loaded) -> tuple[Readings | None, str]:
    """The metrics of the server that the folder is for, if it has them, or why they cannot be read."""
    from engine.server.ports import url_of  # noqa: PLC0415 other commands start without the server

    declared = loaded.config.server.metrics if loaded.config.server else None
    if declared is None:
        return None, ""
    settings = loaded.server.metrics if loaded.server else None
    try:
        token = settings.token if settings else None
        return read_metrics(url_of(declared.host, declared.port), token), ""
    except FetchError as error:
        return None, str(error)


def _readiness(url: str, own: ClientCertificate) -> dict[str, Any]:
    """What `/readyz` of the server at `url` returns.

    Raises:
        FetchError: there is no response, or it is that of something else.
    """
    body = fetch(url, "/readyz", "gateway", own)
    try:
        reported = json.loads(body)
        needed = {name: reported[name] for name in ("status", "config", "loaded", "refused")}
        more: dict[str, Any] = {"accounts": "ok", "restart": [], "tls": None}
        more |= {name: reported[name] for name in more.keys() & reported.keys()}
        return {**more, **needed}
    except (ValueError, KeyError, TypeError):
        raise other(url, "gateway") from None
