"""All accounts of the gateway, for those who run it."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from engine.accounts import accounts
from engine.accounts.accounts import AccountInfo
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.keys import count_keys
from engine.accounts.members import list_members
from engine.accounts.provider_keys import list_provider_keys
from engine.admin.formats import format_count
from engine.admin.pages.common import PAGE_SIZE, Paging, actor_of, link
from engine.admin.pages.key_form import limit_texts, limits_of, read_limits
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest


def accounts_page(request: PageRequest) -> Response:
    return _accounts(request)


def _accounts(
    request: PageRequest, errors: Mapping[str, str] | None = None, status: int = 200
) -> Response:
    after = request.query.text("after") or None
    with request.context.database.read() as connection:
        found = accounts.list_accounts(connection, limit=PAGE_SIZE + 1, after=after)
        shown = found[:PAGE_SIZE]
        rows = [_row(connection, account) for account in shown]
    following = link("/accounts", after=shown[-1].name) if len(found) > PAGE_SIZE else None
    paging = Paging("/accounts" if after else None, following, f"{len(shown)} on this page")
    form = {"name": request.form.text("name") if errors else ""}
    return page(
        request,
        "accounts.html",
        status,
        accounts=rows,
        paging=paging,
        form=form,
        errors=errors or {},
    )


def _row(connection: Any, account: AccountInfo) -> dict[str, Any]:
    return {
        "id": account.id,
        "name": account.name,
        "is_disabled": account.is_disabled,
        "created_at": account.created_at,
        "people": len(list_members(connection, account.id)),
        "key_count": format_count(count_keys(connection, account.id)),
        "provider_keys": len(list_provider_keys(connection, account.id)),
    }


def create(request: PageRequest) -> Response:
    try:
        with request.context.database.write() as connection:
            accounts.create_account(connection, request.form.text("name"), actor_of(request))
    except ConflictError:
        return _accounts(request, {"name": "Another account has that name."}, 400)
    except InvalidValueError as error:
        return _accounts(request, {"name": f"It {error.reason}."}, 400)
    return see_other("/accounts", "account-created")


def limits_page(request: PageRequest) -> Response:
    account = _account(request)
    return _limits(request, account, limit_texts(account.limits))


def _account(request: PageRequest) -> AccountInfo:
    try:
        with request.context.database.read() as connection:
            return accounts.get_account(connection, request.path["account_id"])
    except NotFoundError:
        raise PageError(404, "There is no such account.") from None


def _limits(
    request: PageRequest,
    account: AccountInfo,
    numbers: Mapping[str, str],
    errors: Mapping[str, str] | None = None,
) -> Response:
    status = 400 if errors else 200
    return page(request, "account_limits.html", status, account=account, numbers=numbers, errors=errors or {})  # fmt: skip


def limit(request: PageRequest) -> Response:
    """Limit what all keys of an account use together."""
    account, numbers = _account(request), limits_of(request.form)
    try:
        limits = read_limits(request, numbers, account.limits)
        with request.context.database.write() as connection:
            accounts.limit_account(connection, account.id, limits, actor_of(request))
    except InvalidValueError as error:
        return _limits(request, account, numbers, {error.field: f"It {error.reason}."})
    return see_other("/accounts", "account-limited")


ACCOUNT_PAGES = (
    Page("GET", "/accounts", accounts_page, Access.OPERATOR, "accounts"),
    Page("POST", "/accounts", create, Access.OPERATOR, "accounts"),
    Page("GET", "/accounts/{account_id}/limits", limits_page, Access.OPERATOR, "accounts"),
    Page("POST", "/accounts/{account_id}/limits", limit, Access.OPERATOR, "accounts"),
)
