"""The audit log of an account, newest first."""

from collections.abc import Mapping
from typing import Any

from starlette.responses import Response

from engine.accounts.audit import ActorKind, AuditEntry, list_audit
from engine.admin.formats import moment
from engine.admin.pages.common import PAGE_SIZE, account_of, paginate
from engine.admin.rendering import page
from engine.admin.request import Access, Page, PageRequest

# What an action is called, before its target; an action that is not here is shown as it is.
ACTIONS: Mapping[str, str] = {
    "account.create": "created account",
    "account.disable": "disabled account",
    "account.enable": "enabled account",
    "account.limit": "changed the limits of",
    "account.rename": "renamed account to",
    "invite.accept": "accepted the invitation of",
    "invite.create": "invited",
    "invite.withdraw": "withdrew the invitation of",
    "key.create": "created key",
    "key.import": "imported key",
    "key.revoke": "revoked key",
    "key.rotate": "rotated key",
    "key.update": "changed key",
    "member.add": "added",
    "member.remove": "removed",
    "member.role": "changed the role of",
    "provider_key.delete": "removed the provider key for",
    "provider_key.replace": "replaced the provider key for",
    "provider_key.save": "saved the provider key for",
}
_WHO = {ActorKind.KEY: "key ", ActorKind.CLI: "", ActorKind.SYSTEM: "", ActorKind.PERSON: ""}
_TIMES = frozenset({"expires_at"})
_HIDDEN = frozenset({"id", "new"})  # ids, which the links have


def audit_page(request: PageRequest) -> Response:
    after = request.query.text("after") or None
    with request.context.database.read() as connection:
        found = list_audit(connection, account_of(request).id, PAGE_SIZE + 1, after)
    shown, paging = paginate(found, "/audit", after)
    return page(request, "audit.html", entries=[_entry(e) for e in shown], paging=paging)


def _entry(entry: AuditEntry) -> dict[str, Any]:
    key_id = entry.detail.get("new") or entry.detail.get("id")
    return {
        "at": entry.at,
        "who": _WHO[entry.actor.kind] + entry.actor.name,
        "what": ACTIONS.get(entry.action, entry.action),
        "target": entry.target,
        "href": f"/keys/{key_id}" if entry.action.startswith("key.") and key_id else "",
        "detail": _detail(entry.detail),
    }


def _detail(detail: Mapping[str, Any]) -> str:
    """`models gpt-5*, expires 24 Nov 2026, 14:02`: what is set, without ids."""
    parts = [
        f"{name.removesuffix('_at').replace('_', ' ')} {_value(name, value)}"
        for name, value in detail.items()
        if value not in (None, [], "") and name not in _HIDDEN
    ]
    return "; ".join(parts)


def _value(name: str, value: Any) -> str:
    if name in _TIMES:
        return moment(value)
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


AUDIT_PAGES = (Page("GET", "/audit", audit_page, Access.VIEWER, "audit"),)
