"""Connections to the gateway that this process runs beside."""

import http.client
import ssl
from urllib.parse import urlsplit


def connect(url: str, seconds: float) -> http.client.HTTPConnection:
    """A connection to the listener at `url`, on this host.

    Its certificate has the names that callers use, and what is sent does not leave the host: nothing
    of it is checked.
    """
    parts = urlsplit(url)
    host = parts.hostname or ""
    if parts.scheme == "http":
        return http.client.HTTPConnection(host, parts.port, timeout=seconds)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(host, parts.port, timeout=seconds, context=context)
