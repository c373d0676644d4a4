"""The pages of the dashboard: what each shows, saves and refuses, in process."""

import csv
import html
import io
import re
import time
from typing import Any

import pytest

from engine.accounts import keys, members, provider_keys, usage
from engine.accounts.accounts import get_account, limit_account
from engine.accounts.audit import CLI, SYSTEM, list_audit
from engine.accounts.database import Connection
from engine.accounts.gateway_key import GatewayKey
from engine.accounts.key_limits import KeyLimits
from engine.accounts.people import set_person_disabled
from engine.accounts.tables import LATENCY_COLUMNS
from engine.admin.app import PAGES
from engine.admin.pages.provider_test import result_of
from engine.admin.pages.table import DASHBOARD_PAGES
from engine.admin.request import Access
from tests.integration.admin.in_process.conftest import House
from tests.integration.admin.in_process.listener import Browser, Reply, call
from tests.tables import each

SECRET = re.compile(r"sk-orq-[0-9a-f]{64}")
PROVIDER = "anthropic"  # has one credential; `openai` is saved already


def used(
    connection: Connection,
    house: House,
    model: str = "gpt-5-mini",
    requests: int = 7,
    **more: Any,
) -> None:
    latency = (0, 0, requests, *(0,) * (len(LATENCY_COLUMNS) - 3))
    hour = int(time.time()) // 3600 * 3600
    row = usage.UsageRow(hour, house.ids["ours"], house.ids["ours-key-use"], model, "openai", requests, 1, 900, latency, **more)  # fmt: skip
    usage.add_usage(connection, [row])


def post(browser: Browser, page: str, target: str, **fields: str) -> Reply:
    """Send a form with the token of `page`, on which it stands."""
    return browser.post(target, {"csrf": browser.get(page).csrf, **fields})


def gets(house: House) -> list[tuple[str, Access]]:
    """Every page that is opened by GET, with ids that exist."""
    values = {
        "key_id": house.ids["ours-key-use"],
        "name": "openai",
        "person_id": house.ids["ours-member"],
        "account_id": house.ids["ours"],
    }
    found = [(page.path, page.access) for page in PAGES if page.method == "GET"]
    return [(re.sub(r"\{(\w+)\}", lambda m: values[m[1]], path), access) for path, access in found]


@pytest.mark.parametrize("who", ["ours-owner", "ours-member", "ours-viewer", "operator"])
def test_everybody_opens_what_their_role_allows_and_nothing_else(house: House, who: str) -> None:
    roles = {"owner": Access.OWNER, "member": Access.MEMBER, "viewer": Access.VIEWER}
    browser = house.browser(who)
    if who == "operator":
        post(browser, "/accounts", "/account", account=house.ids["ours"])
    for path, access in gets(house):
        if access is Access.PUBLIC or path == "/configuration":  # that one calls the gateway
            continue
        may = who == "operator" or access <= roles[who.partition("-")[2]]
        reply = browser.get(path)
        assert reply.status == (200 if may else 403), path
        assert "built-in method" not in reply.text, path  # of a dict, in place of one of its values


# What changes something, by the role that it needs at least.
FORMS = {
    Access.MEMBER: {
        "/keys/new", "/keys/{key_id}", "/keys/{key_id}/rotate", "/keys/{key_id}/revoke",
        "/providers/save", "/providers/{name}/test", "/providers/{name}/remove",
    },
    Access.OWNER: {
        "/people/invite", "/people/invites/{invite_id}/withdraw", "/people/{person_id}/role", "/people/{person_id}/remove",
    },
    Access.OPERATOR: {"/accounts", "/accounts/{account_id}/limits"},
}  # fmt: skip


def test_forms_need_the_role_that_they_should(house: House) -> None:
    forms = [page for page in DASHBOARD_PAGES if page.method == "POST"]
    assert {
        access: {form.path for form in forms if form.access is access} for access in FORMS
    } == FORMS
    assert {form.access for form in forms} == set(FORMS)
    viewer, member = house.browser("ours-viewer"), house.browser("ours-member")
    assert post(viewer, "/you", "/keys/new", name="x", scope="use").status == 403
    assert post(member, "/you", "/people/invite", email="a@b.example", role="owner").status == 403


def test_viewers_see_no_buttons_that_would_refuse_them(house: House) -> None:
    browser = house.browser("ours-viewer")
    for path in (
        "/keys",
        "/providers",
        "/providers/openai",
        f"/keys/{house.ids['ours-key-use']}",
        "/people",
    ):
        text = browser.get(path).text
        assert "Create key" not in text
        assert not re.search(r'method="post" action="/(keys|providers|people)', text), path


def test_pages_have_no_inline_script_or_style(house: House) -> None:
    with house.database.write() as connection:
        used(connection, house)
    browser = house.browser("ours-owner")
    for path, access in gets(house):
        if access <= Access.OWNER and not path.endswith(".csv"):
            text = browser.get(path).text
            assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?! src=)|javascript:", text), (
                path
            )


def test_a_provider_key_is_saved_and_never_shown(house: House) -> None:
    browser = house.browser("ours-member")
    reply = post(browser, "/providers", "/providers/save", provider=PROVIDER, api_key="sk-canary-saved-98765432")  # fmt: skip
    assert (reply.status, reply.header("location")) == (303, f"/providers/{PROVIDER}?notice=provider-saved")  # fmt: skip
    pages = [
        browser.get(path).text for path in (f"/providers/{PROVIDER}", "/providers", "/audit", "/")
    ]
    assert "••••5432" in pages[0]
    assert "fingerprint" in pages[0]
    assert not any("canary" in text for text in pages)
    with house.database.read() as connection:
        found = provider_keys.read_provider_keys(
            connection, house.context.vault, [house.ids["ours"]]
        )
    assert found[house.ids["ours"]][PROVIDER] == {"api_key": "sk-canary-saved-98765432"}


def test_a_refused_provider_key_is_not_sent_back(house: House) -> None:
    browser = house.browser("ours-member")
    fields = {"provider": PROVIDER, "field.api_key": "sk-canary\twrong", "field.other": "x"}
    reply = post(browser, "/providers", "/providers/save", **fields)
    assert reply.status == 400
    assert "canary" not in reply.text
    assert post(browser, "/providers", "/providers/save", provider="nobody").status == 404


def test_a_provider_key_is_removed_after_a_question(house: House) -> None:
    browser = house.browser("ours-member")
    assert "Remove the key for OpenAI?" in browser.get("/providers/openai/remove").text
    reply = post(browser, "/providers/openai/remove", "/providers/openai/remove")
    assert reply.header("location") == "/providers?notice=provider-removed"
    with house.database.read() as connection:
        assert provider_keys.list_provider_keys(connection, house.ids["ours"]) == []
        assert len(provider_keys.list_provider_keys(connection, house.ids["theirs"])) == 1


def test_a_variable_is_saved_by_its_choices_alone(house: House) -> None:
    browser = house.browser("ours-member")
    text = browser.get("/providers/bedrock").text
    assert 'name="field.region"' in text
    assert "<option>eu-central-1</option>" in text
    fields = {
        "provider": "bedrock",
        "field.api_key": "bedrock-canary-1234",
        "field.region": "evil.example",
    }
    assert post(browser, "/providers", "/providers/save", **fields).status == 400
    only = {"provider": "bedrock", "field.region": "eu-central-1"}
    assert post(browser, "/providers", "/providers/save", **only).status == 400, "no secret"
    assert post(browser, "/providers", "/providers/save", **{**fields, "field.region": "eu-central-1"}).status == 303  # fmt: skip
    assert 'name="field.host"' not in browser.get("/providers/openai").text, (
        "callers cannot choose it"
    )


def test_a_key_of_a_provider_that_is_gone_can_be_removed(house: House) -> None:
    with house.database.write() as connection:
        provider_keys.save_provider_key(connection, house.context.vault, house.ids["ours"], "vanished", {"api_key": "x" * 20}, SYSTEM)  # fmt: skip
    browser = house.browser("ours-member")
    assert "no longer in providers.yaml" in browser.get("/providers").text
    assert browser.get("/providers/vanished").status == 404
    reply = post(browser, "/providers/vanished/remove", "/providers/vanished/remove")
    assert reply.header("location") == "/providers?notice=provider-removed"
    assert "vanished" not in browser.get("/providers").text


def test_providers_are_found_by_words(house: House) -> None:
    text = house.browser("ours-viewer").get("/providers?q=ANTHRO").text
    assert "/providers/anthropic" in text
    assert "/providers/openai" not in text
    assert "No provider has that" in house.browser("ours-viewer").get("/providers?q=nothing").text


def test_a_key_is_shown_once_with_a_call_to_paste(house: House) -> None:
    browser = house.browser("ours-member")
    fields = {"name": "billing", "models": "gpt-5*", "expires": "30"}
    reply = post(browser, "/keys/new", "/keys/new", scope="use", **fields)
    assert (reply.status, reply.header("cache-control")) == (201, "no-store")
    secret = SECRET.search(reply.text)
    assert secret
    call = html.unescape(reply.text)
    assert f'-H "authorization: Bearer {secret[0]}"' in call
    assert '{"model": "gpt-5' in call
    assert not SECRET.search(browser.get("/keys").text + browser.get("/audit").text)
    with house.database.read() as connection:
        key = keys.list_keys(connection, house.ids["ours"], query="billing")[0]
    assert (key.scopes, key.models) == (("use",), ("gpt-5*",))
    assert key.expires_at == pytest.approx(time.time() + 30 * 86400, abs=60)


def test_a_key_that_may_only_manage_has_no_call_to_paste(house: House) -> None:
    reply = post(house.browser("ours-member"), "/keys/new", "/keys/new", name="t", scope="manage")
    assert reply.status == 201
    assert "curl" not in reply.text


@pytest.mark.parametrize(
    ("fields", "status", "says"),
    [
        ({"name": ""}, 400, "must have 1 to 100 characters"),
        ({"name": "a\x07b"}, 400, "control characters"),
        ({"name": "a", "models": "x" * 300}, 400, "characters"),
        ({"name": "a", "scope": "everything"}, 400, "does not offer"),
        ({"name": "a", "expires": "3650"}, 400, "does not offer"),
    ],
)
def test_a_wrong_form_of_a_key_makes_none(
    house: House, fields: dict[str, str], status: int, says: str
) -> None:
    browser = house.browser("ours-member")
    before = len(_keys(house))
    reply = post(browser, "/keys/new", "/keys/new", **fields)
    assert (reply.status, says in reply.text) == (status, True), reply.text[-900:]
    assert len(_keys(house)) == before


def _keys(house: House) -> list[GatewayKey]:
    with house.database.read() as connection:
        return keys.list_keys(connection, house.ids["ours"], limit=1000)


def test_a_key_is_changed(house: House) -> None:
    browser, path = house.browser("ours-member"), f"/keys/{house.ids['ours-key-both']}"
    fields = {"name": "renamed", "models": "a\nb", "endpoints": "embeddings", "expires": "keep"}
    assert post(browser, path, path, **fields).header("location") == f"{path}?notice=key-changed"
    with house.database.read() as connection:
        key = keys.get_key(connection, house.ids["ours"], house.ids["ours-key-both"])
    assert (key.name, key.models, key.endpoints) == ("renamed", ("a", "b"), ("embeddings",))
    assert (key.scopes, key.expires_at) == (("use", "manage"), None)


def test_a_key_is_rotated_and_the_old_one_ends_later(house: House) -> None:
    browser, path = house.browser("ours-member"), f"/keys/{house.ids['ours-key-use']}"
    reply = post(browser, f"{path}/rotate", f"{path}/rotate", grace="3600")
    assert SECRET.search(reply.text)
    text = browser.get(path).text
    assert "ends soon" in text
    assert "/rotate" not in text
    assert post(browser, path, f"{path}/rotate", grace="0").status == 409
    assert post(browser, path, f"{path}/rotate", grace="1").status == 400


def test_a_key_is_revoked_and_leaves_the_list(house: House) -> None:
    browser, path = house.browser("ours-member"), f"/keys/{house.ids['ours-key-use']}"
    assert path in browser.get("/keys").text
    reply = post(browser, f"{path}/revoke", f"{path}/revoke")
    assert reply.header("location") == "/keys?notice=key-revoked"
    assert path not in browser.get("/keys").text
    assert path in browser.get("/keys?show=all").text
    assert "revoked" in browser.get(path).text
    assert post(browser, "/keys", path, name="again", expires="keep").status == 409


def test_lists_go_over_pages(house: House) -> None:
    with house.database.write() as connection:
        for number in range(120):
            keys.create_key(connection, house.ids["ours"], name=f"n{number:03}", actor=SYSTEM)
    browser, seen, target = house.browser("ours-viewer"), set(), "/keys?q=n"
    for _ in range(3):
        text = browser.get(target).text
        seen |= set(re.findall(r">(n\d{3})<", text))
        following = re.search(r'href="([^"]*after=[^"]*)"', text)
        target = html.unescape(following[1]) if following else ""
    assert (len(seen), target) == (120, "")


FOREIGN = (
    ("GET", "/keys/{theirs-key-use}"),
    ("GET", "/keys/{theirs-key-use}/rotate"),
    ("GET", "/keys/{theirs-key-use}/revoke"),
    ("POST", "/keys/{theirs-key-use}"),
    ("POST", "/keys/{theirs-key-use}/rotate"),
    ("POST", "/keys/{theirs-key-use}/revoke"),
    ("GET", "/people/{theirs-member}/remove"),
    ("POST", "/people/{theirs-member}/remove"),
    ("POST", "/people/{theirs-member}/role"),
    ("POST", "/people/invites/{theirs-key-use}/withdraw"),
)


@each(("method", "path"), FOREIGN)
def test_what_belongs_to_another_account_is_not_there(house: House, method: str, path: str) -> None:
    target = path.format(**house.ids)
    browser = house.browser("ours-owner")
    fields = {"role": "viewer", "name": "x", "grace": "0", "expires": ""}
    reply = browser.get(target) if method == "GET" else post(browser, "/keys", target, **fields)
    assert reply.status == 404, reply.text[-500:]
    with house.database.read() as connection:
        key = keys.get_key(connection, house.ids["theirs"], house.ids["theirs-key-use"])
        assert (key.name, key.revoked_at, key.replaced_by) == ("use", None, None)
        role = members.role_of(connection, house.ids["theirs"], house.ids["theirs-member"])
        assert role is members.Role.MEMBER


def test_usage_of_another_accounts_key_is_empty(house: House) -> None:
    with house.database.write() as connection:
        used(connection, house)
    theirs = house.browser("theirs-owner")
    text = theirs.get(f"/usage?key={house.ids['ours-key-use']}&by=day").text
    assert "Nothing was called" in text
    assert "a key that is gone" in text


def test_the_first_steps_lead_to_a_key_and_give_way_to_plots(house: House) -> None:
    browser = house.browser("ours-owner")
    text = browser.get("/").text
    assert "Make your first call" in text
    assert "curl" in text
    with house.database.write() as connection:
        used(connection, house)
    text = browser.get("/").text
    assert "<svg" in text
    assert "Latency p95" in text
    assert text.count("not measured yet") == 1  # tokens, never 0
    assert text.count("no prices") == 1


def test_usage_is_grouped_and_downloaded(house: House) -> None:
    with house.database.write() as connection:
        used(connection, house)
        used(connection, house, "=cmd|calc", 2)
    browser = house.browser("ours-viewer")
    for by in ("model", "key", "provider", "day"):
        assert browser.get(f"/usage?by={by}&range=24h").status == 200
    assert browser.get("/usage?by=colour").status == 404
    assert browser.get("/usage?range=1y").status == 404
    reply = browser.get("/usage.csv?by=model")
    assert reply.header("content-disposition") == 'attachment; filename="usage-by-model-7d.csv"'
    rows = list(csv.DictReader(io.StringIO(reply.text)))
    assert [(row["model"], row["requests"], row["input_tokens"]) for row in rows] == [
        ("gpt-5-mini", "7", ""),
        ("'=cmd|calc", "2", ""),
    ]


def test_a_cost_is_shown_and_so_is_what_it_lacks(house: House) -> None:
    with house.database.write() as connection:
        used(connection, house, cost_nano_usd=1_250_000_001, price_version="v1")
        used(connection, house, "gpt-unknown", 12, unpriced=12, price_version="v1")
    browser = house.browser("ours-viewer")
    for page in ("/", "/usage?by=model"):
        text = browser.get(page).text
        assert "$1.25" in text, page
        assert "12 requests of unknown cost" in text, page
    rows = list(csv.DictReader(io.StringIO(browser.get("/usage.csv?by=model").text)))
    assert [(row["cost_usd"], row["unpriced_requests"]) for row in rows] == [("", "12"), ("1.250000001", "0")]  # fmt: skip
    found = call(house.app, "GET", "/v1/account/usage?by=key&days=1", house.keys["ours-manage"])
    (row,) = found.json["data"]
    assert row["label"] == house.ids["ours-key-use"]
    assert (row["requests"], row["cost_nano_usd"], row["unpriced_requests"]) == (19, 1_250_000_001, 12)  # fmt: skip


def test_a_route_says_whose_key_is_used(house: House) -> None:
    found = "/routes?model={}&endpoint=chat_completions"
    browser = house.browser("ours-viewer")
    saved = browser.get(found.format("gpt-5-mini")).text
    assert "the saved key" in saved
    assert "routes.yaml:" not in saved  # a line of the operator's files
    assert "https://api." not in saved
    assert "no key" in browser.get(found.format("claude-sonnet-4-5")).text
    assert "model_not_found" in browser.get(found.format("no/such")).text
    operator = house.browser("operator")
    post(operator, "/accounts", "/account", account=house.ids["ours"])
    assert "routes.yaml:" in operator.get(found.format("gpt-5-mini")).text


def test_people_are_invited_and_change_roles(house: House) -> None:
    browser = house.browser("ours-owner")
    reply = post(browser, "/people", "/people/invite", email="new@example.com", role="viewer")
    link = re.search(r'value="(http[^"]*/invite\?token=[^"]*)"', reply.text)
    assert link
    assert house.browser().get(link[1].removeprefix("http://127.0.0.1:8081")).status == 200
    assert "new@example.com" in browser.get("/people").text
    assert link[1] not in browser.get("/people").text
    target = f"/people/{house.ids['ours-viewer']}/role"
    assert post(browser, "/people", target, role="member").status == 303
    assert post(browser, "/people", target, role="emperor").status == 400
    own = f"/people/{house.ids['ours-owner']}"
    assert post(browser, "/people", f"{own}/role", role="viewer").status == 409
    assert post(browser, "/people", f"{own}/remove").status == 409
    assert post(browser, "/people", f"/people/{house.ids['ours-viewer']}/remove").status == 303
    with house.database.read() as connection:
        names = [member.name for member in members.list_members(connection, house.ids["ours"])]
    assert names == ["ours-member", "ours-owner"]
    assert "disabled</span>" not in browser.get("/people").text
    with house.database.write() as connection:
        set_person_disabled(connection, house.ids["ours-member"], CLI, is_disabled=True)
    assert "disabled</span>" in browser.get("/people").text


def test_the_audit_log_has_what_the_pages_did(house: House) -> None:
    browser = house.browser("ours-member")
    post(browser, "/keys/new", "/keys/new", name="<b>x</b>", scope="use")
    text = browser.get("/audit").text
    assert "created key" in text
    assert "&lt;b&gt;x&lt;/b&gt;" in text
    with house.database.read() as connection:
        newest = list_audit(connection, house.ids["ours"], 1)[0]
    assert (newest.action, newest.actor.name) == ("key.create", "ours-member")


def test_operators_make_accounts(house: House) -> None:
    browser = house.browser("operator")
    assert post(browser, "/accounts", "/accounts", name="third").status == 303
    assert "third" in browser.get("/accounts").text
    assert "Another account has that name." in post(browser, "/accounts", "/accounts", name="ours").text  # fmt: skip


def test_budgets_in_dollars_are_set_for_keys_and_accounts_where_there_are_prices(
    priced_house: House,
) -> None:
    browser, operator = priced_house.browser("ours-member"), priced_house.browser("operator")
    key_path = f"/keys/{priced_house.ids['ours-key-use']}"
    path = f"/accounts/{priced_house.ids['ours']}/limits"
    post(browser, key_path, key_path, name="use", expires="keep", monthly_usd_budget="12.50")
    assert post(operator, path, path, monthly_usd_budget="100", rate_limit_rpm="7").status == 303
    assert 'value="12.5"' in browser.get(key_path).text
    assert 'value="100"' in operator.get(path).text
    with priced_house.database.read() as connection:
        key = keys.get_key(connection, priced_house.ids["ours"], priced_house.ids["ours-key-use"])
        account = get_account(connection, priced_house.ids["ours"])
    assert key.limits == KeyLimits(monthly_nano_usd_budget=12_500_000_000)
    assert account.limits == KeyLimits(7, monthly_nano_usd_budget=100 * 10**9)
    for wrong in ("0", "1e3", "-1", "0.0000000001", "1000000", "\u0661"):
        reply = post(operator, path, path, monthly_usd_budget=wrong)
        assert (reply.status, "US dollars above 0" in reply.text) == (400, True), wrong
    assert operator.get("/accounts/nobody/limits").status == 404


def test_a_budget_in_dollars_needs_prices(house: House) -> None:
    browser, operator = house.browser("ours-member"), house.browser("operator")
    path = f"/accounts/{house.ids['ours']}/limits"
    for reply in (
        post(browser, "/keys/new", "/keys/new", name="a", monthly_usd_budget="1"),
        post(operator, path, path, monthly_usd_budget="1"),
    ):
        assert (reply.status, "there is no prices.yaml" in reply.text) == (400, True)
    with house.database.write() as connection:  # of a time when there were prices
        limit_account(connection, house.ids["ours"], KeyLimits(monthly_nano_usd_budget=5), CLI)
    assert post(operator, path, path, monthly_usd_budget="0.000000005").status == 303


@each(
    ("status", "code", "kind"),
    [(200, None, "good"), (401, None, "bad"), (401, "invalid_api_key", "bad"), (400, None, "warn"),
     (429, None, "warn"), (500, None, "warn"), (503, "overloaded", "bad")],
)  # fmt: skip
def test_what_a_response_says_about_a_key(status: int, code: str | None, kind: str) -> None:
    assert result_of("m", status, code, b"not JSON", 5).kind == kind
