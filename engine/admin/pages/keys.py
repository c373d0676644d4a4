"""Gateway keys: list, create (shown once), change, rotate, revoke."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import Response

from engine.accounts import keys, usage
from engine.accounts.errors import ConflictError, InvalidValueError, NotFoundError
from engine.accounts.gateway_key import GatewayKey
from engine.accounts.provider_keys import list_provider_keys
from engine.admin.first_calls import curl, find_example
from engine.admin.formats import format_count
from engine.admin.pages.common import NO_SUCH, PAGE_SIZE, account_of, actor_of, link, paginate
from engine.admin.pages.key_form import DAY, NOT_OFFERED, SCOPES, KeyForm, read_limits
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest

GRACES = (("0", "at once"), ("3600", "in an hour"), ("86400", "in 24 hours"), ("604800", "in 7 days"))  # fmt: skip
_MAY_DO: Mapping[Sequence[str], str] = {("use",): "call models", ("manage",): "manage this account"}
_STATES = {"active": "good", "ends soon": "warn", "expired": "warn", "revoked": "bad"}


def state_of(key: GatewayKey, now: float) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    return "ends soon" if key.replaced_by is not None else "active"


def list_page(request: PageRequest) -> Response:
    """A page of keys, or of those whose name has the text that is looked for."""
    query, after = request.query.text("q")[:100], request.query.text("after") or None
    shows_all = request.query.text("show") == "all" or bool(query)
    now = time.time()
    with request.context.database.read() as connection:
        found = keys.list_keys(
            connection,
            account_of(request).id,
            query=query,
            limit=PAGE_SIZE + 1,
            after=after,
            live_at=None if shows_all else int(now),
        )
    show = "all" if shows_all else "live"
    shown, paging = paginate(found, "/keys", after, q=query, show="all" if shows_all else "")
    shows = (("live", "Active", "/keys"), ("all", "All", "/keys?show=all"))
    rows = [_row(key, now) for key in shown]
    return page(request, "keys.html", keys=rows, query=query, paging=paging, show=show, shows=shows)


def _row(key: GatewayKey, now: float) -> dict[str, Any]:
    state = state_of(key, now)
    return {
        "id": key.id,
        "name": key.name,
        "preview": f"sk-orq-…{key.preview}" if key.preview else "",
        "may_use": describe_access(key),
        "scopes": key.scopes,
        "state": state,
        "kind": _STATES[state],
        "created_at": key.created_at,
        "expires_at": key.expires_at,
    }


def describe_access(key: GatewayKey) -> str:
    """What a key may call, in a few words."""
    if "use" not in key.scopes:
        return "account API"
    parts = [
        _some(key.models, "model") or "all models",
        _some(key.endpoints, "endpoint"),
    ]
    return ", ".join(part for part in parts if part)


def _some(names: Sequence[str] | None, noun: str) -> str:
    if names is None:
        return ""
    return names[0] if len(names) == 1 else f"{len(names)} {noun}s"


def new_page(request: PageRequest) -> Response:
    return _new(request, KeyForm(), {})


def _new(
    request: PageRequest, form: KeyForm, errors: Mapping[str, str], status: int = 200
) -> Response:
    return page(
        request,
        "key_new.html",
        status,
        form=form,
        endpoints=_endpoints(request),
        errors=errors,
    )


def _endpoints(request: PageRequest) -> list[str]:
    return sorted(request.server.catalogue().loaded.config.known_endpoints)


def create(request: PageRequest) -> Response:
    """Make a key and show it. The response is the only place where it stands."""
    form = KeyForm.read(request.form)
    try:
        with request.context.database.write() as connection:
            key, secret = keys.create_key(
                connection,
                account_of(request).id,
                name=form.name,
                scopes=SCOPES[form.scope],
                models=form.model_names(),
                endpoints=form.endpoints or None,
                expires_at=form.expires_at(time.time()),
                limits=read_limits(request, form.numbers),
                actor=actor_of(request),
            )
    except InvalidValueError as error:
        return _new(request, form, {error.field: _sentence(error)}, 400)
    return _created(request, key, secret, f"{key.name} is ready", "Copy it now, and keep it where your program reads it.")  # fmt: skip


def _sentence(error: InvalidValueError) -> str:
    return f"It {error.reason}."


def _created(request: PageRequest, key: GatewayKey, secret: str, title: str, text: str) -> Response:
    created = {
        "id": key.id,
        "title": title,
        "text": text,
        "secret": secret,
        "curl": _curl(request, key, secret),
        "python": "",
    }
    return page(request, "key_created.html", 201, created=created)


def _curl(request: PageRequest, key: GatewayKey, secret: str) -> str:
    """A call to paste; "" where the key may make none, or none is known."""
    plan = request.server.catalogue().plan
    if plan is None or "use" not in key.scopes:
        return ""
    with request.context.database.read() as connection:
        saved = [info.provider for info in list_provider_keys(connection, key.account_id)]
    example = find_example(plan, saved, key.models)
    return curl(example, request.context.gateway_url, secret) if example else ""


def key_page(request: PageRequest) -> Response:
    key = _get(request)
    return _key(request, key, KeyForm.of(key), {})


def _get(request: PageRequest) -> GatewayKey:
    with request.context.database.read() as connection:
        try:
            return keys.get_key(connection, account_of(request).id, request.path["key_id"])
        except NotFoundError:
            raise PageError(404, NO_SUCH) from None


def _key(
    request: PageRequest,
    key: GatewayKey,
    form: KeyForm,
    errors: Mapping[str, str],
    status: int = 200,
) -> Response:
    now = time.time()
    with request.context.database.read() as connection:
        until = (int(now) // DAY + 1) * DAY
        used = usage.read_usage(connection, key.account_id, until - 30 * DAY, until, "day", key_id=key.id)  # fmt: skip
    requests = sum(row.requests for row in used)
    shown = _row(key, now) | {
        "models": key.models,
        "endpoints": key.endpoints,
        "may_do": _MAY_DO.get(key.scopes, "call models, and manage this account"),
        "revoked_at": key.revoked_at,
        "requests": f"{format_count(requests)} request{'' if requests == 1 else 's'}",
        "usage_href": link("/usage", key=key.id, by="day") if requests else "",
        "is_live": state_of(key, now) in ("active", "ends soon"),
        "is_rotated": key.replaced_by is not None,
        "replaced_by": key.replaced_by,
    }
    endpoints = sorted({*_endpoints(request), *form.endpoints})
    return page(request, "key.html", status, k=shown, form=form, endpoints=endpoints, errors=errors)


def change(request: PageRequest) -> Response:
    key = _get(request)
    form = KeyForm.read(request.form, KeyForm.of(key).expiries)
    try:
        with request.context.database.write() as connection:
            keys.update_key(
                connection,
                key.account_id,
                key.id,
                name=form.name,
                models=form.model_names(),
                endpoints=form.endpoints or None,
                expires_at=form.expires_at(time.time(), key.expires_at),
                limits=read_limits(request, form.numbers, key.limits),
                actor=actor_of(request),
            )
    except InvalidValueError as error:
        return _key(request, key, form, {error.field: _sentence(error)}, 400)
    except ConflictError as error:
        raise PageError(409, f"It cannot be changed: {error}.") from None
    return see_other(f"/keys/{key.id}", "key-changed")


def rotate_page(request: PageRequest) -> Response:
    key = _get(request)
    return page(
        request,
        "confirm.html",
        confirm={
            "title": f"Rotate {key.name}?",
            "text": "You get a new secret with the same name and limits. The old one stays valid until then.",
            "action": f"/keys/{key.id}/rotate",
            "cancel": f"/keys/{key.id}",
            "button": "Rotate key",
            "is_danger": False,
            "choice_label": "The old secret ends",
            "choice_name": "grace",
            "choices": GRACES,
            "choice": "86400",
        },
    )


def rotate(request: PageRequest) -> Response:
    grace = request.form.text("grace", "0")
    if grace not in dict(GRACES):
        raise PageError(400, NOT_OFFERED)
    try:
        with request.context.database.write() as connection:
            key, secret = keys.rotate_key(
                connection,
                account_of(request).id,
                request.path["key_id"],
                int(grace),
                actor_of(request),
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    except ConflictError as error:
        raise PageError(409, f"It cannot be rotated: {error}.") from None
    text = f"The old secret ends {dict(GRACES)[grace]}."
    return _created(request, key, secret, f"{key.name} has a new secret", text)


def revoke_page(request: PageRequest) -> Response:
    key = _get(request)
    return page(
        request,
        "confirm.html",
        confirm={
            "title": f"Revoke {key.name}?",
            "text": "Calls with it are refused within a second; those under way finish. It cannot be taken back.",
            "action": f"/keys/{key.id}/revoke",
            "cancel": f"/keys/{key.id}",
            "button": "Revoke key",
            "is_danger": True,
            "choices": (),
        },
    )


def revoke(request: PageRequest) -> Response:
    try:
        with request.context.database.write() as connection:
            keys.revoke_key(
                connection, account_of(request).id, request.path["key_id"], actor_of(request)
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    return see_other("/keys", "key-revoked")


KEY_PAGES = (
    Page("GET", "/keys", list_page, Access.VIEWER, "keys"),
    Page("GET", "/keys/new", new_page, Access.MEMBER, "keys"),
    Page("POST", "/keys/new", create, Access.MEMBER, "keys"),
    Page("GET", "/keys/{key_id}", key_page, Access.VIEWER, "keys"),
    Page("POST", "/keys/{key_id}", change, Access.MEMBER, "keys"),
    Page("GET", "/keys/{key_id}/rotate", rotate_page, Access.MEMBER, "keys"),
    Page("POST", "/keys/{key_id}/rotate", rotate, Access.MEMBER, "keys"),
    Page("GET", "/keys/{key_id}/revoke", revoke_page, Access.MEMBER, "keys"),
    Page("POST", "/keys/{key_id}/revoke", revoke, Access.MEMBER, "keys"),
)
