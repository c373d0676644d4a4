"""What every page of the dashboard can rely on: session, role, account, escaping, and headers."""

from pathlib import Path

import pytest
from starlette.responses import PlainTextResponse, Response

from engine.accounts import people, sessions
from engine.accounts.audit import SYSTEM
from engine.accounts.members import Role, add_member, create_invite, role_of
from engine.accounts.people import find_person_by_email
from engine.admin.app import create_app
from engine.admin.request import Access, Page, PageRequest
from engine.config.load import Loaded
from engine.plan.accounts import Admin
from tests.integration.admin.in_process.conftest import PASSWORD, Furnished, House, open_house
from tests.integration.admin.in_process.listener import Browser, send
from tests.tables import each

# Names that a template language, a page, a shell or a terminal would act on.
NAMES = [
    "{{7919*7907}}", "{{ config }}", "{% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}", "{{''.__class__.__mro__}}",
    "{# x #}", "${7919*7907}", "#{7919*7907}", "<%= 7919*7907 %>", "%(name)s", "{0}", "{name.__class__}", "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)>", "'-alert(1)-'", "</title><svg onload=alert(1)>", "javascript:alert(1)", "=HYPERLINK(1)",
]  # fmt: skip


@each("name", NAMES)
def test_the_name_of_a_person_is_shown_as_it_is(house: House, name: str) -> None:
    browser = house.browser("ours-owner")
    fields = {"csrf": browser.get("/you").csrf, "name": name, "email": "ours-owner@example.com"}
    assert browser.post("/you", fields).status == 303
    text = browser.get("/you").text
    escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = escaped.replace('"', "&#34;").replace("'", "&#39;")
    assert escaped in text
    assert name == escaped or name not in text
    assert "62615533" not in text


def whoami(request: PageRequest) -> Response:
    session = request.session
    account = session.account.name if session and session.account else "-"
    return PlainTextResponse(f"{session.person.name if session else '-'} {account}")


def test_a_page_is_for_those_with_the_role_or_a_higher_one(house: House) -> None:
    pages = [Page(method, f"/{access.name.lower()}", whoami, access) for access in Access for method in ("GET", "POST")]  # fmt: skip
    app = create_app(house.context, pages)
    rights = {
        "loner": {Access.PUBLIC, Access.PERSON},
        "ours-viewer": {Access.PUBLIC, Access.PERSON, Access.VIEWER},
        "ours-member": {Access.PUBLIC, Access.PERSON, Access.VIEWER, Access.MEMBER},
        "ours-owner": set(Access) - {Access.OPERATOR},
        "operator": {Access.PUBLIC, Access.PERSON, Access.OPERATOR},  # belongs to no account
    }
    with house.database.write() as c:
        house.ids["loner"] = people.create_person(c, name="loner", email=None, actor=SYSTEM).id
    for who, allowed in rights.items():
        browser = house.browser(who)
        browser.app = app
        csrf = house.browser(who)
        csrf.cookies = browser.cookies
        token = csrf.get("/signin/link").csrf
        for access in Access:
            path = f"/{access.name.lower()}"
            wanted = 200 if access in allowed else 403
            assert browser.get(path).status == wanted, (who, access)
            assert browser.post(path, {"csrf": token}).status == wanted, (who, access)


def test_a_person_without_account_has_a_page_about_themselves(house: House) -> None:
    with house.database.write() as c:
        house.ids["loner"] = people.create_person(c, name="loner", email=None, actor=SYSTEM).id
    assert house.browser("loner").get("/you").status == 200


def test_a_form_acts_on_the_account_that_it_was_shown_with(house: House) -> None:
    """A tab that still shows another account cannot change this one."""
    with house.database.write() as c:
        add_member(c, house.ids["theirs"], house.ids["ours-owner"], Role.VIEWER, SYSTEM)
    browser = house.browser("ours-owner")
    before = browser.get("/you")
    assert before.text.count('<option value="') >= 2
    fields = {"csrf": before.csrf, "account": house.ids["theirs"]}
    assert browser.post("/account", fields).status == 303
    assert browser.post("/you", {"csrf": before.csrf, "name": "x"}).status == 403
    after = browser.get("/you").csrf
    assert after != before.csrf
    fields = {"csrf": after, "name": "x", "email": "ours-owner@example.com"}
    assert browser.post("/you", fields).status == 303


def test_an_operator_may_open_any_account(house: House) -> None:
    browser = house.browser("operator")
    csrf = browser.get("/signin/link").csrf
    assert browser.post("/account", {"csrf": csrf, "account": house.ids["theirs"]}).status == 303
    assert "theirs" in browser.get("/you").text


def test_a_session_is_never_one_that_the_browser_brings(house: House) -> None:
    """Session fixation: a token from outside stays unknown, and each sign-in makes a new one."""
    browser = house.browser()
    planted = "A" * 43
    browser.cookies["orqen_session"] = planted
    fields = {"email": "ours-owner@example.com", "password": PASSWORD}
    assert browser.post("/signin", fields).status == 303
    first = browser.cookies["orqen_session"]
    assert first != planted
    victim = Browser(house.app, cookies={"orqen_session": planted})
    assert victim.get("/you").status == 303
    again = {"csrf": browser.get("/you").csrf, **fields}
    assert browser.post("/signin", again).status == 303
    second = browser.cookies["orqen_session"]
    assert second != first
    assert Browser(house.app, cookies={"orqen_session": first}).get("/you").status == 303
    assert Browser(house.app, cookies={"orqen_session": second}).get("/you").status == 200


def test_a_new_password_ends_the_other_sessions(house: House) -> None:
    browser, other = house.browser("ours-owner"), house.browser("ours-owner")
    new = "another horse battery"
    fields = {"csrf": browser.get("/you").csrf, "name": "x", "email": "ours-owner@example.com", "current": PASSWORD, "password": new}  # fmt: skip
    assert browser.post("/you", fields).status == 303
    assert browser.get("/you").status == 200
    assert other.get("/you").status == 303
    assert house.browser().post("/signin", {"email": "ours-owner@example.com", "password": new}).status == 303  # fmt: skip


def test_nobody_takes_an_address_that_they_have_not_proved(house: House) -> None:
    """By the address, an identity of OpenID Connect is linked to a person."""
    browser = house.browser("ours-owner")
    fields = {"csrf": browser.get("/you").csrf, "name": "x", "current": PASSWORD}
    answer = browser.post("/you", {**fields, "email": "boss@example.com"})
    assert (answer.status, "invitation" in answer.text) == (400, True)
    with house.database.read() as c:
        assert find_person_by_email(c, "boss@example.com") is None


def test_a_person_ends_a_session_of_their_own(house: House) -> None:
    browser, other = house.browser("ours-owner"), house.browser("ours-owner")
    page = browser.get("/you")
    with house.database.read() as c:
        found = sessions.list_sessions(c, house.ids["ours-owner"])
    ended = [s.id for s in found if f"/you/sessions/{s.id}/end" in page.text]
    assert len(ended) == 1
    assert browser.post(f"/you/sessions/{ended[0]}/end", {"csrf": page.csrf}).status == 303
    assert [browser.get("/you").status, other.get("/you").status] == [200, 303]


def test_somebody_new_accepts_an_invite_and_somebody_known_while_signed_in(house: House) -> None:
    with house.database.write() as c:
        _, new = create_invite(c, house.ids["ours"], "new@example.com", Role.MEMBER, SYSTEM)
        _, known = create_invite(c, house.ids["ours"], "theirs-owner@example.com", Role.VIEWER, SYSTEM)  # fmt: skip
    browser = house.browser()
    assert "new@example.com" in browser.get(f"/invite?token={new}").text
    fields = {"token": new, "name": "New", "password": PASSWORD}
    assert browser.post("/invite", fields).status == 303
    assert ">New</a>" in browser.get("/you").text
    assert house.browser().post("/invite", fields).status == 404
    browser = house.browser("theirs-owner")
    page = browser.get(f"/invite?token={known}")
    assert 'type="password"' not in page.text
    assert browser.post("/invite", {"csrf": page.csrf, "token": known}).status == 303
    with house.database.read() as c:
        assert role_of(c, house.ids["ours"], house.ids["theirs-owner"]) is Role.VIEWER


def test_behind_https_the_cookie_is_of_this_host_alone(
    furnished: Furnished, shipped_configuration: Loaded, tmp_path: Path
) -> None:
    admin = Admin(host="0.0.0.0", public_url="https://gateway.example")
    house = open_house(furnished, shipped_configuration, tmp_path, admin)
    browser = Browser(house.app, origin="https://gateway.example")
    fields = {"email": "ours-owner@example.com", "password": PASSWORD}
    reply = browser.post("/signin", fields)
    cookie = reply.header("set-cookie") or ""
    assert cookie.startswith("__Host-orqen-session=")
    assert "; Secure" in cookie
    assert "Domain" not in cookie
    assert reply.header("strict-transport-security") == "max-age=31536000"
    assert browser.get("/you").status == 200
    token = browser.cookies["__Host-orqen-session"]
    plain = Browser(house.app, browser.origin, {"orqen_session": token})
    assert plain.get("/you").status == 303
    assert send(house.app, "GET", "/signin", [("host", "evil.example")]).status == 421
    assert send(house.app, "GET", "/healthz", [("host", "10.0.0.7:8081")]).status == 200
    house.database.close()


def test_a_stylesheet_is_sent_once(house: House) -> None:
    first = house.browser().get("/static/dashboard.css")
    assert first.header("content-type") == "text/css; charset=utf-8"
    tag = [("if-none-match", first.header("etag") or "")]
    assert house.browser().get("/static/dashboard.css", tag).status == 304


def test_head_has_the_headers_of_get_and_no_body(house: House) -> None:
    reply = send(house.app, "HEAD", "/signin", [("host", "127.0.0.1:8081")])
    assert (reply.status, reply.body) == (200, b"")
    assert int(reply.header("content-length") or 0) > 500


def test_a_fault_is_answered_without_what_it_says(house: House, caplog: pytest.LogCaptureFixture) -> None:  # fmt: skip
    def broken(_: PageRequest) -> Response:
        raise RuntimeError("sk-orq-secret")

    app = create_app(house.context, [Page("GET", "/", broken, Access.PUBLIC)])
    reply = send(app, "GET", "/", [("host", "127.0.0.1:8081")])
    assert reply.status == 500
    assert "secret" not in reply.text + caplog.text
    assert "RuntimeError at" in caplog.text
