"""Asks a running server, for the commands that show what it does."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, urlsplit

import click

from engine.cli.exits import stop

if TYPE_CHECKING:
    from http.client import HTTPConnection

SECONDS = 5
_OF_OWN = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "wants a certificate: --cert names one",
    "TLSV1_ALERT_UNKNOWN_CA": "does not accept the certificate of --cert",
}


class ClientCertificate(NamedTuple):
    """The certificate of this client, for a server that wants one (`client_ca`), and its key."""

    certificate: Path | None = None
    key: Path | None = None


NOTHING = ClientCertificate()
CERT = click.option(
    "--cert",
    envvar="ORQEN_CLIENT_CERT",
    type=click.Path(path_type=Path),
    help="The certificate that a server with `client_ca` wants of callers, in PEM.",
)
CERT_KEY = click.option(
    "--key",
    envvar="ORQEN_CLIENT_KEY",
    type=click.Path(path_type=Path),
    help="Its private key, if that file does not have it.",
)


class FetchError(Exception):
    """There is no response; the message says why."""


def fetch(url: str, path: str, what: str, own: ClientCertificate = NOTHING) -> bytes:
    """The body of the response to a GET of `path` at `url`; a URL without a scheme is one of http.

    Raises:
        FetchError: `what` does not respond.
    """
    return get(url, path, what, own)[1]


def get(  # noqa: PLR0913 what a request is made of
    url: str,
    path: str,
    what: str,
    own: ClientCertificate = NOTHING,
    *,
    verify: bool = True,
    token: str | None = None,
) -> tuple[int, bytes]:
    """The same with its status; `verify` is whether the certificate of an https URL must be valid.

    `token` goes into `authorization`.

    Raises:
        FetchError: `what` does not respond.
    """
    import http.client  # noqa: PLC0415 other commands start without it
    import ssl  # noqa: PLC0415 as above

    try:
        connection = _connection(_address(url), own, verify=verify)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        status, body = response.status, response.read()
        connection.close()
    except TimeoutError:
        raise FetchError(f"no {what} responds at {url} within {SECONDS} s") from None
    except ssl.SSLCertVerificationError as error:
        why = f"{error.verify_message}; SSL_CERT_FILE can name its CA certificate"
        raise FetchError(f"the {what} at {url} is not trusted: {why}") from None
    except ssl.SSLError as error:
        words = _OF_OWN.get(error.reason)
        raise FetchError(f"the {what} at {url} {words}") if words else other(url, what) from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise FetchError(f"no {what} responds at {url}: {why}") from None
    except http.client.HTTPException:
        raise other(url, what) from None
    return status, body


def _connection(parts: SplitResult, own: ClientCertificate, *, verify: bool) -> "HTTPConnection":
    import http.client  # noqa: PLC0415 as above
    import ssl  # noqa: PLC0415 as above

    host, port = parts.hostname or "", parts.port
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, port, timeout=SECONDS)
    context = ssl.create_default_context()
    if not verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if own != NOTHING:
        try:  # the passphrase is none that anybody would be asked for
            context.load_cert_chain(own.certificate or "", own.key, password="")
        except OSError as error:
            why = error.strerror or type(error).__name__
            stop(f"`--cert` and `--key` cannot be used: {why}")
    return http.client.HTTPSConnection(host, port, timeout=SECONDS, context=context)


def other(url: str, what: str) -> FetchError:
    """The error where what responds is something else."""
    return FetchError(f"no {what} responds at {url}: something else listens there")


def _address(url: str) -> SplitResult:
    """The parts of `--url`."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        is_fine = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine:
        stop("`--url` must be an address such as http://127.0.0.1:8080")
    return parts
