"""The account API: what it does, and that its OpenAPI document says just that."""

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from engine.accounts.accounts import limit_account
from engine.accounts.audit import CLI, list_audit
from engine.accounts.key_limits import KeyLimits
from engine.accounts.lookup import find_keys
from engine.accounts.tokens import token_digest
from engine.accounts.usage import UsageRow, add_usage
from engine.admin.api.operations import OPERATIONS
from tests.integration.admin.in_process.conftest import House
from tests.integration.admin.in_process.listener import Reply, call
from tests.servers import ROOT
from tests.tables import each

ERRORS: list[tuple[str, str, str | None, object, int, str]] = [
    ("GET", "/v1/account", None, None, 401, "missing_api_key"),
    ("GET", "/v1/account", "sk-orq-" + "0" * 64, None, 401, "invalid_api_key"),
    ("GET", "/v1/account/keys", "ours-use", None, 403, "not_allowed"),
    ("GET", "/v1/account/nothing", "ours-manage", None, 404, "unknown_path"),
    ("PUT", "/v1/account/keys", "ours-manage", None, 405, "method_not_allowed"),
    ("POST", "/v1/account/keys", "ours-manage", b"{", 400, "invalid_json"),
    ("POST", "/v1/account/keys", "ours-manage", b'{"name": "a", "name": "b"}', 400, "duplicate_field"),
    ("POST", "/v1/account/keys", "ours-manage", [], 400, "invalid_request"),
    ("POST", "/v1/account/keys", "ours-manage", {}, 400, "invalid_request"),
    ("POST", "/v1/account/keys", "ours-manage", {"name": "a", "k_target_override": 60}, 400, "not_supported"),
    ("POST", "/v1/account/keys", "ours-manage", {"name": "a", "expires_at": "2001-01-01T00:00:00Z"}, 400, "invalid_request"),
    ("POST", "/v1/account/keys", "ours-manage", {"name": "a", "endpoints": ["nothing"]}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "nobody", "api_key": "x"}, 400, "unknown_provider"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "openai", "fields": {"x": "y"}}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "bedrock", "fields": {}}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "bedrock", "fields": {"access_key_id": "AKIA"}}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "openai", "api_key": "sk-\u00e9"}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "openai", "api_key": "sk 1"}, 400, "invalid_request"),
    ("PUT", "/v1/account/providers", "ours-manage", {"provider": "openai", "api_key": "{sk 1}"}, 400, "invalid_request"),
    ("DELETE", "/v1/account/providers/groq", "ours-manage", None, 404, "not_found"),
    ("DELETE", "/v1/account/keys/nothing", "ours-manage", None, 404, "not_found"),
]  # fmt: skip


class Client:
    """Calls the API with a key, and compares each response with the OpenAPI document."""

    def __init__(self, house: House, key: str | None) -> None:
        self._house, self._key = house, house.keys.get(key or "", key)
        self.document = call(house.app, "GET", "/openapi.json", None).json

    def __call__(self, method: str, path: str, body: object = None) -> Reply:
        reply = call(self._house.app, method, path, self._key, body)
        described = self._described(method, path.partition("?")[0])
        if described is not None:
            assert str(reply.status) in described["responses"], (method, path, reply.status)
            self._compare(reply, described["responses"][str(reply.status)])
        return reply

    def _described(self, method: str, path: str) -> Any:
        """The operation in the document for a path, or None where there is none."""
        paths = self.document["paths"]
        for template in sorted(paths, key=lambda known: "{" in known):
            parts, known = path.split("/"), template.split("/")
            if len(parts) == len(known) and all(
                have == want or want.startswith("{")
                for have, want in zip(parts, known, strict=True)
            ):
                return paths[template].get(method.lower())
        return None

    def _compare(self, reply: Reply, described: Any) -> None:
        if "content" not in described:
            assert reply.body == b""
            return
        schema = described["content"]["application/json"]["schema"]
        whole = {**schema, "components": self.document["components"]}
        Draft202012Validator(whole).validate(reply.json)


def test_a_key_is_made_shown_once_changed_rotated_and_revoked(house: House) -> None:
    api = Client(house, "ours-manage")
    body = {"name": "agent", "models": ["gpt-4o"], "rate_limit_rpm": None, "expires_at": "2099-01-01T00:00:00+01:00"}  # fmt: skip
    made = api("POST", "/v1/account/keys", body)
    assert made.status == 201
    key, key_id = made.json["key"], made.json["id"]
    assert made.json["scopes"] == ["use"]
    assert made.json["expires_at"] == "2098-12-31T23:00:00Z"
    assert key not in api("GET", "/v1/account/keys").text
    assert Client(house, key)("GET", "/v1/account").json["key"]["id"] == key_id
    changed = api("PATCH", f"/v1/account/keys/{key_id}", {"models": ["o3"]})
    assert (changed.json["models"], changed.json["name"]) == (["o3"], "agent")
    rotated = api("POST", f"/v1/keys/{key_id}/rotate", {"grace_seconds": 60})
    assert rotated.status == 201
    assert rotated.json["models"] == ["o3"]
    for alive in (key, rotated.json["key"]):
        assert Client(house, alive)("GET", "/v1/account").status == 200
    assert api("POST", f"/v1/keys/{key_id}/rotate", {}).status == 409
    assert api("DELETE", f"/v1/account/keys/{rotated.json['id']}").status == 204
    assert Client(house, rotated.json["key"])("GET", "/v1/account").status == 401
    with house.database.read() as c:
        actions = [entry.action for entry in list_audit(c, house.ids["ours"], 4)]
        actor = list_audit(c, house.ids["ours"], 1)[0].actor
    assert actions == ["key.revoke", "key.rotate", "key.update", "key.create"]
    assert (actor.kind, actor.name) == ("key", "manage")


def test_limits_of_use_are_kept_changed_taken_away_and_carried_over_by_rotation(
    house: House,
) -> None:
    api = Client(house, "ours-manage")
    body = {"name": "agent", "rate_limit_rpm": 60, "daily_token_budget": 5_000_000}
    key = api("POST", "/v1/account/keys", body).json
    limits = ("rate_limit_rpm", "daily_token_budget", "weekly_token_budget")
    assert [key[name] for name in limits] == [60, 5_000_000, None]
    path = f"/v1/account/keys/{key['id']}"
    api("PATCH", path, {"name": "other"})
    changed = api("PATCH", path, {"daily_token_budget": None, "weekly_token_budget": 7})
    assert [changed.json[name] for name in limits] == [60, None, 7]
    rotated = api("POST", f"{path}/rotate", {}).json
    assert [rotated[name] for name in limits] == [60, None, 7]
    for wrong in (0, -1, 10**16, 1.5, "60", True):
        assert api("POST", "/v1/account/keys", {"name": "a", "rate_limit_rpm": wrong}).status == 400


def test_a_budget_in_dollars_is_exact_and_needs_prices(priced_house: House, house: House) -> None:
    api, body = Client(priced_house, "ours-manage"), {"name": "a", "monthly_usd_budget": "0.100000001"}  # fmt: skip
    key = api("POST", "/v1/account/keys", body).json
    assert key["monthly_usd_budget"] == "0.100000001"
    path = f"/v1/account/keys/{key['id']}"
    rotated = api("POST", f"{path}/rotate", {}).json
    assert rotated["monthly_usd_budget"] == "0.100000001"
    path = f"/v1/account/keys/{rotated['id']}"
    assert api("PATCH", path, {"monthly_usd_budget": "999999"}).json["monthly_usd_budget"] == "999999"  # fmt: skip
    assert api("PATCH", path, {"monthly_usd_budget": None}).json["monthly_usd_budget"] is None
    for wrong in ("0", "0.0", "", "1e3", "-1", "1.0000000001", "1000000", " 1", 1, True):
        assert api("PATCH", path, {"monthly_usd_budget": wrong}).status == 400, wrong
    with priced_house.database.write() as c:
        limit_account(c, priced_house.ids["ours"], KeyLimits(monthly_nano_usd_budget=5), CLI)
    assert api("GET", "/v1/account").json["limits"]["monthly_usd_budget"] == "0.000000005"
    refused = Client(house, "ours-manage")("POST", "/v1/account/keys", body)
    assert (refused.status, refused.json["error"]["code"]) == (400, "not_supported")
    assert refused.json["error"]["param"] == "monthly_usd_budget"


def test_without_grace_the_old_key_ends_at_once(house: House) -> None:
    api = Client(house, "ours-manage")
    key_id, old = house.ids["ours-key-use"], house.keys["ours-use"]
    assert api("POST", f"/v1/account/keys/{key_id}/rotate", {}).status == 201
    with house.database.read() as c:
        assert find_keys(c, [token_digest(old)]) == {}


def test_keys_are_listed_page_by_page(house: House) -> None:
    api = Client(house, "ours-manage")
    first = api("GET", "/v1/keys?limit=2").json
    assert first["has_more"] is True
    last = first["data"][-1]["id"]
    rest = api("GET", f"/v1/keys?limit=2&after={last}").json
    assert rest["has_more"] is False
    names = {key["name"] for page in (first, rest) for key in page["data"]}
    assert names == {"use", "manage", "both"}


@pytest.mark.parametrize("query", ["", "?by=day&days=400", "?by=hour", "?by=provider"])
def test_usage_is_shown_as_the_document_says(house: House, query: str) -> None:
    row = UsageRow(
        int(time.time()) // 3600 * 3600, house.ids["ours"], "k", "m", "p", 1, 0, 5, (1, *(0,) * 11)
    )
    with house.database.write() as c:
        add_usage(c, [row])
    (shown,) = Client(house, "ours-manage")("GET", f"/v1/account/usage{query}").json["data"]
    assert (shown["requests"], shown["cost_nano_usd"], shown["unpriced_requests"]) == (1, None, 0)
    assert Client(house, "ours-manage")("GET", "/v1/account/usage?by=colour").status == 400


def test_a_provider_key_is_saved_replaced_and_deleted_and_never_shown(house: House) -> None:
    api = Client(house, "ours-manage")
    secret = "sk-canary-" + "9" * 30
    first = api("PUT", "/v1/account/providers", {"provider": "anthropic", "api_key": secret})
    assert first.status == 200
    assert first.json["fields"]["api_key"]["preview"] == "9999"
    listed = api("GET", "/v1/account/providers")
    assert [saved["provider"] for saved in listed.json["data"]] == ["anthropic", "openai"]
    assert secret not in first.text + listed.text
    several = {"provider": "openai", "api_key": secret, "fields": {"organization": "org-1"}}
    saved = api("PUT", "/v1/account/providers", several)
    assert set(saved.json["fields"]) == {"api_key", "organization"}
    assert api("DELETE", "/v1/account/providers/openai").status == 204
    assert api("DELETE", "/v1/account/providers/openai").status == 404


@each(("method", "path", "key", "body", "status", "code"), ERRORS)
def test_an_error_names_its_code(
    house: House, method: str, path: str, key: str | None, body: object, status: int, code: str
) -> None:
    reply = Client(house, key)(method, path, body)
    assert (reply.status, reply.json["error"]["code"]) == (status, code)
    assert reply.header("x-engine-error") == code
    assert (reply.header("www-authenticate") == "Bearer") == (status == 401)


def described(document: Any) -> Iterator[tuple[str, str]]:
    for path, methods in document["paths"].items():
        yield from ((method.upper(), path) for method in methods)


def test_the_document_has_every_route_and_no_other(house: House) -> None:
    """Each method on each path is served exactly where the document has it."""
    api = Client(house, "ours-manage")
    known = set(described(api.document))
    assert len(known) == sum(len(operation.paths) for operation in OPERATIONS)
    for path in api.document["paths"]:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            reply = call(house.app, method, path.replace("{", "").replace("}", ""), None)
            assert reply.status == (401 if (method, path) in known else 405), (method, path)


def test_the_page_of_the_docs_has_every_operation() -> None:
    text = (ROOT / "docs" / "account-api.md").read_text("utf-8")
    known = {(operation.method, operation.path) for operation in OPERATIONS}
    assert set(re.findall(r"^\| `([A-Z]+) (/v1/\S+)` \|", text, re.M)) == known
    codes = {code for *_, code in ERRORS} | {"conflict", "unknown_host", "accounts_unavailable"}
    assert {code for code in codes if f"`{code}`" not in text} == set()


def test_the_document_states_the_scope_that_a_call_needs(house: House) -> None:
    api = Client(house, "ours-use")
    for method, path in described(api.document):
        body: object = {} if "requestBody" in api.document["paths"][path][method.lower()] else None
        status = api(method, path.replace("{", "").replace("}", ""), body).status
        text = api.document["paths"][path][method.lower()]["description"]
        assert (status == 403) == ("`manage`" in text), (method, path, status)


def test_a_store_that_is_down_is_a_passing_error(house: House) -> None:
    house.database.close()
    path = house.context.settings.accounts.database.removeprefix("sqlite:///")
    Path(path).write_bytes(b"no database" * 100)
    reply = call(house.app, "GET", "/v1/account", house.keys["ours-use"])
    assert (reply.status, reply.json["error"]["code"]) == (503, "accounts_unavailable")
    assert reply.header("retry-after") == "1"
    assert reply.header("x-should-retry") is None
