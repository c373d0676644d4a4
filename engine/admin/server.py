"""What all requests of the listener share."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.admin.address import Address, address_of
from engine.admin.catalogue import Catalogue, CatalogueCache
from engine.admin.context import AdminContext
from engine.admin.oidc import CALLBACK, OidcClient
from engine.admin.throttle import Throttle

Methods = TypeVar("Methods")
MAX_CONCURRENT_SIGN_INS = 8  # more are refused, so that a flood of them leaves threads for the rest


@dataclass(frozen=True, slots=True)
class AdminServer:
    """The context, the address, and the little that is remembered between requests."""

    context: AdminContext
    address: Address
    throttle: Throttle
    catalogues: CatalogueCache
    oidc: OidcClient | None
    sign_ins: threading.BoundedSemaphore = field(
        default_factory=lambda: threading.BoundedSemaphore(MAX_CONCURRENT_SIGN_INS)
    )

    def catalogue(self) -> Catalogue:
        """The configuration as it is on disk, at most two seconds old."""
        return self.catalogues.read()


def create_server(context: AdminContext) -> AdminServer:
    """What one listener shares; connects to nothing."""
    address, oidc = address_of(context.admin), context.admin.oidc
    client = OidcClient(oidc, address.url + CALLBACK) if oidc else None
    return AdminServer(context, address, Throttle(), CatalogueCache(context), client)


def route(path: str, respond: Callable[[Request, Methods], Response], methods: Methods) -> Route:
    """A path whose requests `respond` serves in a thread, so it may use the database.

    It says itself which `methods` the path has.
    """

    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(respond, request, methods)

    made = Route(path, endpoint)
    made.methods = None
    return made
