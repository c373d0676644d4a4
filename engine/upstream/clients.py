"""The HTTP clients, by the names that `client` of a provider has."""

from collections.abc import Callable

from engine.upstream import Client
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient


def new_clients(warn: Callable[[str], None] = lambda _: None) -> dict[str, Client]:
    """One of each, without connections; `warn` takes what the operator should know."""
    return {"http1": Http1Client(warn=warn), "httpx": HttpxClient()}
