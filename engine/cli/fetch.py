"""Asks a running server, for the commands that show what it does."""

from urllib.parse import SplitResult, urlsplit

from engine.cli.exits import stop

SECONDS = 5


class FetchError(Exception):
    """There is no response; the message says why."""


def fetch(url: str, path: str, what: str) -> bytes:
    """The body of the response to a GET of `path` at `url`; a URL without a scheme is one of http.

    Raises:
        FetchError: `what` does not respond.
    """
    import http.client  # noqa: PLC0415 other commands start without it

    parts = _address(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname or "", parts.port, timeout=SECONDS)
        connection.request("GET", path)
        body = connection.getresponse().read()
        connection.close()
    except TimeoutError:
        raise FetchError(f"no {what} responds at {url} within {SECONDS} s") from None
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise FetchError(f"no {what} responds at {url}: {why}") from None
    except http.client.HTTPException:
        raise other(url, what) from None
    return body


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
