"""The HTTP clients, by the names that `client` of a provider has."""

from engine.upstream import Client
from engine.upstream.http1.pool import Http1Client
from engine.upstream.httpx_client import HttpxClient


def new_clients() -> dict[str, Client]:
    """One of each, without connections."""
    return {"http1": Http1Client(), "httpx": HttpxClient()}
