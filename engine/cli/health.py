"""`health`: one probe of a running server, for containers and service managers without curl."""

import sys
from contextlib import suppress

import click

from engine.cli.exits import FINDINGS, FINE, stop
from engine.cli.fetch import FetchError, get

READY = 200


@click.command()
@click.option(
    "--url",
    default="127.0.0.1:8080",
    show_default=True,
    help="Where the server listens; without a scheme, http is tried and then https.",
)
@click.option("--live", is_flag=True, help="Ask whether it is alive, also while it drains.")
def health(url: str, *, live: bool) -> None:
    """Say whether a running server is ready, in one word.

    Exits with 0 when it is, 1 when it says that it is not, 2 when it does not respond. The certificate
    of an https URL is not verified: no secret is sent.
    """
    path = "/healthz" if live else "/readyz"
    try:
        status, _ = get(url, path, "gateway", verify=False)
    except FetchError as error:
        status = _status_of_tls(url, path) or stop(str(error))
    click.echo("healthy" if status == READY else f"unhealthy: status {status}")
    sys.exit(FINE if status == READY else FINDINGS)


def _status_of_tls(url: str, path: str) -> int | None:
    """What a server with TLS says where `url` has no scheme; None if there is none."""
    with suppress(FetchError):
        return None if "://" in url else get(f"https://{url}", path, "gateway", verify=False)[0]
    return None
