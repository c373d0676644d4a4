"""The application of the admin listener: pages, the account API, static files, and the guard before them."""

from collections.abc import Iterable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp

from engine.admin.api.operations import OPERATIONS
from engine.admin.api.serve import ApiServer
from engine.admin.context import AdminContext
from engine.admin.dispatch import PageServer
from engine.admin.invite import INVITE_PAGES
from engine.admin.oidc_pages import OIDC_PAGES
from engine.admin.pages.table import DASHBOARD_PAGES
from engine.admin.profile import PROFILE_PAGES
from engine.admin.request import Page
from engine.admin.security import OPEN_TO_ALL, Guard
from engine.admin.server import create_server
from engine.admin.sign_in import SIGN_IN_PAGES
from engine.admin.static import static_response

PAGES: tuple[Page, ...] = (
    *SIGN_IN_PAGES,
    *OIDC_PAGES,
    *INVITE_PAGES,
    *PROFILE_PAGES,
    *DASHBOARD_PAGES,
)


def create_app(context: AdminContext, pages: Iterable[Page] = PAGES) -> ASGIApp:
    """The ASGI application for `context`; it opens nothing before the first request."""
    server = create_server(context)
    served = PageServer(server)
    routes = [
        *served.routes(pages),
        *ApiServer(server, OPERATIONS).routes(),
        Route("/static/{name}", static_response),
        Route(OPEN_TO_ALL, _healthy),
    ]
    router = Router(routes, redirect_slashes=False, default=served.not_found)
    return Guard(router, server.address)


async def _healthy(_: Request) -> Response:
    return PlainTextResponse("ok\n")
