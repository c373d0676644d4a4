"""From a request to its page: session, access, form, and what a refusal looks like."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.accounts.errors import (
    ConflictError,
    InvalidValueError,
    NotFoundError,
    StoreUnavailableError,
)
from engine.accounts.members import Role
from engine.admin.rendering import page as render
from engine.admin.request import Access, FormValues, Page, PageError, PageRequest, read_values
from engine.admin.security import BODY
from engine.admin.server import AdminServer, route
from engine.admin.session import BrowserSession, is_csrf, read_cookies
from engine.admin.sessions import load_session

FORM = "application/x-www-form-urlencoded"
STORE_DOWN = "The store of accounts cannot be reached. Please try again in a moment."
_NO_PAGE = "There is no such page."
_ROLES = {Role.VIEWER: Access.VIEWER, Role.MEMBER: Access.MEMBER, Role.OWNER: Access.OWNER}
_NOWHERE = Page("GET", "/", lambda _: Response(status_code=404), Access.PUBLIC)


@dataclass(frozen=True, slots=True)
class PageServer:
    """Serves the pages of a table."""

    server: AdminServer

    def routes(self, pages: Iterable[Page]) -> list[Route]:
        """A route for each path; paths without a parameter first, so that none hides them."""
        by_path: dict[str, dict[str, Page]] = {}
        for page in pages:
            by_path.setdefault(page.path, {})[page.method] = page
        paths = sorted(by_path, key=lambda path: "{" in path)
        return [route(path, self._respond, by_path[path]) for path in paths]

    async def not_found(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The page for a path that nothing serves."""
        request = Request(scope)
        response = await run_in_threadpool(self._respond, request, {})
        await response(scope, receive, send)

    def _respond(self, request: Request, methods: Mapping[str, Page]) -> Response:
        """The page's response, or the page that says why there is none."""
        method = "GET" if request.method == "HEAD" else request.method
        asked = self._asked(request, methods.get(method, _NOWHERE))
        try:
            if not methods:
                raise PageError(404, _NO_PAGE)
            if method not in methods:
                return _method_refused(asked, methods)
            return self._page(request, asked)
        except PageError as error:
            return _error_page(asked, error)
        except NotFoundError:
            return _error_page(asked, PageError(404, "There is no such entry in this account."))
        except (ConflictError, InvalidValueError) as error:
            return _error_page(asked, PageError(400, f"It cannot be done: {error}."))
        except StoreUnavailableError:
            return _error_page(asked, PageError(503, STORE_DOWN))

    def _asked(self, request: Request, page: Page) -> PageRequest:
        client = request.client.host if request.client else ""
        return PageRequest(
            self.server,
            page,
            request.path_params,
            client=client,
            agent=request.headers.get("user-agent", ""),
            cookies=read_cookies(request.scope["headers"]),
        )

    def _page(self, request: Request, asked: PageRequest) -> Response:
        asked.query = read_values(request.scope["query_string"])
        asked.session = load_session(self.server, asked.cookies)
        refused = _access_refused(request, asked.page, asked.session)
        if refused is not None:
            return refused
        if asked.page.method == "POST":
            asked.form = _form(request)
            _check_csrf(asked)
        return asked.page.view(asked)


def _form(request: Request) -> FormValues:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    body: bytes = request.scope.get(BODY, b"")
    if body and kind != FORM:
        raise PageError(415, f"A form is sent as {FORM}.")
    return read_values(body)


def _check_csrf(asked: PageRequest) -> None:
    """The second lock beside Fetch Metadata: every form of a session brings its token back."""
    if asked.session is not None and not is_csrf(asked.session, asked.form.text("csrf")):
        text = "This page belongs to another session or account. Open it again and send the form once more."
        raise PageError(403, text)


def _access_refused(
    request: Request, page: Page, session: BrowserSession | None
) -> Response | None:
    """Where to sign in, if nobody is; None if the page may be opened.

    Raises:
        PageError: who is signed in may not open it.
    """
    if page.access is Access.PUBLIC:
        return None
    if session is None:
        if page.method != "GET":
            raise PageError(401, "You are signed out. Please sign in and send the form again.")
        return RedirectResponse(f"/signin?next={request.url.path}", 303)
    if not may_open(session, page.access):
        raise PageError(403, _why_not(session, page.access))
    return None


def may_open(session: BrowserSession, access: Access) -> bool:
    """Whether the person of `session` may open a page of `access`, in the account of the session."""
    if access is Access.OPERATOR:
        return session.person.is_operator
    if access <= Access.PERSON:
        return True
    return session.account is not None and _ROLES[session.account.role] >= access


def _why_not(session: BrowserSession, access: Access) -> str:
    if access is Access.OPERATOR:
        return "This page is for those who run the gateway."
    if session.account is None:
        return "You belong to no account. Ask an owner of one to invite you."
    return f"This needs the role {access.name.lower()} in the account; you are {session.account.role} there."


def _method_refused(asked: PageRequest, methods: Mapping[str, Page]) -> Response:
    response = _error_page(asked, PageError(405, "This method is not served here."))
    response.headers["allow"] = ", ".join(
        sorted({*methods, *(["HEAD"] if "GET" in methods else [])})
    )
    return response


def _error_page(asked: PageRequest, error: PageError) -> Response:
    title = HTTPStatus(error.status).phrase
    response = render(
        asked, "error.html", error.status, title=title, message=error.text, href="/", link=None
    )
    if error.status == 503:
        response.headers["retry-after"] = "1"
    return response
