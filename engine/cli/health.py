"""`health`: one probe of a running server, for containers and service managers without curl."""

import sys
from pathlib import Path

import click

from engine.cli.exits import FINDINGS, OK, stop
from engine.cli.fetch import CERT, CERT_KEY, ClientCertificate, FetchError, get

READY = 200


@click.command()
@click.option(
    "--url",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the server listens; without a scheme, http is tried and then https.",
)
@click.option("--live", is_flag=True, help="Ask whether it is alive, also while it drains.")
@CERT
@CERT_KEY
def health(url: str, cert: Path | None, key: Path | None, *, live: bool) -> None:
    """Say whether a running server is ready, in one word.

    Exits with 0 when it is, 1 when it says that it is not, 2 when it does not respond. The certificate
    of an https URL is not verified: no secret is sent.
    """
    status = _status(url, "/healthz" if live else "/readyz", ClientCertificate(cert, key))
    click.echo("healthy" if status == READY else f"unhealthy: status {status}")
    sys.exit(OK if status == READY else FINDINGS)


def _status(url: str, path: str, own: ClientCertificate) -> int:
    """What the server says; the run ends with the last reason where it says nothing."""
    why = ""
    for scheme in ("",) if "://" in url else ("", "https://"):
        try:
            return get(scheme + url, path, "gateway", own, verify=False)[0]
        except FetchError as error:
            why = str(error)
    return stop(why.replace(f"https://{url}", url))
