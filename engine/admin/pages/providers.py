"""Providers: the catalogue, and one provider with the key that the account has saved for it."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from engine.accounts import provider_keys
from engine.accounts.errors import NotFoundError
from engine.accounts.provider_keys import ProviderKeyInfo
from engine.admin.catalogue import (
    Catalogue,
    CredentialField,
    ProviderEntry,
    ValuesError,
    check_values,
)
from engine.admin.first_calls import find_call, models_of
from engine.admin.pages.common import NO_SUCH, account_of, actor_of
from engine.admin.pages.provider_test import TestResult, run_test
from engine.admin.rendering import page, see_other
from engine.admin.request import Access, Page, PageError, PageRequest
from engine.plan.accounts import ProviderKeyPolicy

PREFIX = "field."
FILE_HINT = "The text of the file, not its path."
POLICY = {
    ProviderKeyPolicy.ACCOUNT: "Calls of this account use the keys that are saved here, and no others.",
    ProviderKeyPolicy.OPERATOR: "Calls use the gateway's own keys. What is saved here is kept, and not used.",
    ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR: "Calls of this account use the keys that are saved here, and the gateway's own for other providers.",
}
_AFTER = {
    ProviderKeyPolicy.ACCOUNT: "Calls of this account to this provider are refused then.",
    ProviderKeyPolicy.OPERATOR: "Nothing changes: calls use the gateway's own key.",
    ProviderKeyPolicy.ACCOUNT_THEN_OPERATOR: "Calls of this account then use the gateway's own key, if it has one.",
}
_NO_FIELDS = "what it needs is configured by the operator."


def list_page(request: PageRequest) -> Response:
    query, show = request.query.text("q")[:100], request.query.text("show", "all")
    catalogue, saved = request.server.catalogue(), _saved(request)
    every = [_row(catalogue, entry, saved.get(name)) for name, entry in catalogue.providers.items()]
    rows = [row for row in every if _fits(row, query) and (show != "saved" or row["saved"])]
    rows += [_gone(info) for name, info in saved.items() if name not in catalogue.providers]
    rows.sort(key=lambda row: (not row["saved"], row["title"].lower()))
    shows = (("all", "All", "/providers"), ("saved", f"Saved {len(saved)}", "/providers?show=saved"))  # fmt: skip
    return page(
        request,
        "providers.html",
        policy=POLICY[request.context.settings.accounts.provider_keys],
        query=query,
        total=len(every),
        show="saved" if show == "saved" else "all",
        shows=shows,
        providers=rows,
    )


def _saved(request: PageRequest) -> dict[str, ProviderKeyInfo]:
    with request.context.database.read() as connection:
        infos = provider_keys.list_provider_keys(connection, account_of(request).id)
    return {info.provider: info for info in infos}


def _row(
    catalogue: Catalogue, entry: ProviderEntry, info: ProviderKeyInfo | None
) -> dict[str, Any]:
    endpoints = entry.endpoints
    return {
        "name": entry.name,
        "title": title_of(entry),
        "remark": remark_of(entry),
        "saved": info is not None,
        "saved_at": info.updated_at if info else None,
        "preview": _main_preview(info) if info else "",
        "operator": has_own_key(catalogue, entry.name),
        "is_free": not any(field.is_required for field in entry.fields),
        "can_save": bool(entry.fields),
        "endpoints": ", ".join(endpoints) if len(endpoints) < 3 else f"{len(endpoints)} endpoints",
    }


def _gone(info: ProviderKeyInfo) -> dict[str, Any]:
    """A saved key for what providers.yaml no longer has; all that can be done is to remove it."""
    remark = "no longer in providers.yaml; the key can be removed"
    return {
        "name": info.provider, "title": info.provider, "remark": remark, "saved": True, "saved_at": info.updated_at,
        "preview": _main_preview(info), "operator": False, "is_free": False, "can_save": False, "endpoints": "",
    }  # fmt: skip


def title_of(entry: ProviderEntry) -> str:
    """The name for people: the description up to a remark after a semicolon."""
    return entry.description.partition(";")[0] or entry.name


def remark_of(entry: ProviderEntry) -> str:
    """What the description says after its semicolon."""
    return entry.description.partition(";")[2].strip()


def has_own_key(catalogue: Catalogue, name: str) -> bool:
    """Whether calls to the provider work without a saved key."""
    provider = catalogue.plan.providers.get(name) if catalogue.plan else None
    return provider is not None and not provider.missing


def _main_preview(info: ProviderKeyInfo) -> str:
    first = next(iter(info.fields.values()), None)
    return f"••••{first.preview}" if first and first.preview else ""


def _fits(row: Mapping[str, Any], query: str) -> bool:
    text = f"{row['name']} {row['title']} {row['remark']}".lower()
    return all(word in text for word in query.lower().split())


def provider_page(request: PageRequest) -> Response:
    return show_provider(request, _entry(request, request.path["name"]))


def _entry(request: PageRequest, name: str) -> ProviderEntry:
    entry = request.server.catalogue().providers.get(name)
    if entry is None:
        raise PageError(404, NO_SUCH)
    return entry


def show_provider(
    request: PageRequest,
    entry: ProviderEntry,
    errors: Mapping[str, str] | None = None,
    result: TestResult | None = None,
    status: int = 200,
) -> Response:
    catalogue, info = request.server.catalogue(), _saved(request).get(entry.name)
    policy = request.context.settings.accounts.provider_keys
    plan = catalogue.plan
    provider = plan.providers.get(entry.name) if plan else None
    shown = {
        "name": entry.name,
        "title": title_of(entry),
        "remark": remark_of(entry),
        "operator": has_own_key(catalogue, entry.name),
        "is_free": not any(field.is_required for field in entry.fields),
        "saved": _saved_fields(info),
        "created_at": info.created_at if info else None,
        "updated_at": info.updated_at if info else None,
        "fields": [_field(field) for field in entry.fields],
        "endpoints": entry.endpoints,
        "models": sorted(provider.models) if provider else (),
        "why_none": _NO_FIELDS,
        "after_removal": _AFTER[policy],
    }
    test = _test(catalogue, entry, result)
    return page(request, "provider.html", status, p=shown, test=test, errors=errors or {})


def _saved_fields(info: ProviderKeyInfo | None) -> list[dict[str, str]]:
    fields = info.fields if info else {}
    return [
        {
            "name": name,
            "preview": f"••••{field.preview}" if field.preview else "••••",
            "fingerprint": field.fingerprint,
        }
        for name, field in fields.items()
    ]


def _field(field: CredentialField) -> dict[str, Any]:
    return {
        "name": field.name,
        "key": PREFIX + field.name,
        "optional": not field.is_required,
        "choices": field.choices,
        "hint": FILE_HINT if field.name.endswith("_file") else "",
    }


def _test(catalogue: Catalogue, entry: ProviderEntry, result: TestResult | None) -> dict[str, Any]:
    """What the page says about trying the key; `models` None where there is no cheap call."""
    plan = catalogue.plan
    provider = plan.providers.get(entry.name) if plan else None
    call = find_call(plan, provider) if plan and provider else None
    if plan is None or provider is None or call is None:
        return {"says": "There is no cheap call for this provider.", "models": None, "model": "", "result": result}  # fmt: skip
    models = models_of(plan, provider)
    says = (
        f"Sends one request to {call.path} through the gateway: one word in, one token out where the model allows that. "
        "The provider bills it to the saved key, as a rule far below a cent."
    )
    model = result.model if result else models[0] if models else ""
    return {"says": says, "models": models, "model": model, "result": result}


def save(request: PageRequest) -> Response:
    """Save a key, or replace it. `api_key` stands for the one field of a provider that needs one."""
    entry = _entry(request, request.form.text("provider"))
    values = {
        name: value.strip() for name, value in request.form.with_prefix(PREFIX).items() if value
    }
    if entry.single_field and (simple := request.form.text("api_key")):
        values[entry.single_field] = simple
    try:
        values = check_values(entry, values)
    except ValuesError as error:
        errors = {PREFIX + error.field: error.message}
        return show_provider(request, entry, errors, status=400)
    with request.context.database.write() as connection:
        provider_keys.save_provider_key(
            connection,
            request.context.vault,
            account_of(request).id,
            entry.name,
            values,
            actor_of(request),
        )
    if request.form.text("then") == "/":
        return see_other("/", "provider-saved")
    return see_other(f"/providers/{entry.name}", "provider-saved")


def test(request: PageRequest) -> Response:
    """Make one call with the saved key. It is billed by the provider, as the page says."""
    entry = _entry(request, request.path["name"])
    if entry.name not in _saved(request):
        raise PageError(409, "No key is saved for this provider.")
    return show_provider(request, entry, result=run_test(request, entry.name))


def remove_page(request: PageRequest) -> Response:
    name = request.path["name"]
    if name not in _saved(request):
        raise PageError(404, NO_SUCH)
    entry = request.server.catalogue().providers.get(name)
    policy = request.context.settings.accounts.provider_keys
    return page(
        request,
        "confirm.html",
        confirm={
            "title": f"Remove the key for {title_of(entry) if entry else name}?",
            "text": f"{_AFTER[policy]} The stored key is erased.",
            "action": f"/providers/{name}/remove",
            "cancel": f"/providers/{name}" if entry else "/providers",
            "button": "Remove key",
            "is_danger": True,
            "choices": (),
        },
    )


def remove(request: PageRequest) -> Response:
    try:
        with request.context.database.write() as connection:
            provider_keys.delete_provider_key(
                connection, account_of(request).id, request.path["name"], actor_of(request)
            )
    except NotFoundError:
        raise PageError(404, NO_SUCH) from None
    return see_other("/providers", "provider-removed")


PROVIDER_PAGES = (
    Page("GET", "/providers", list_page, Access.VIEWER, "providers"),
    Page("POST", "/providers/save", save, Access.MEMBER, "providers"),
    Page("GET", "/providers/{name}", provider_page, Access.VIEWER, "providers"),
    Page("POST", "/providers/{name}/test", test, Access.MEMBER, "providers"),
    Page("GET", "/providers/{name}/remove", remove_page, Access.MEMBER, "providers"),
    Page("POST", "/providers/{name}/remove", remove, Access.MEMBER, "providers"),
)
