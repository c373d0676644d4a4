"""Signing in and out, in process."""

import time

import pytest

from engine.accounts import sessions
from engine.accounts.audit import SYSTEM, list_all_audit
from tests.unit.admin.conftest import PASSWORD, House


def test_a_person_signs_in_with_a_password_and_out(house: House) -> None:
    browser = house.browser()
    page = browser.get("/signin?next=/keys")
    assert page.status == 200
    assert 'name="next" value="/keys"' in page.text
    fields = {"email": "OURS-owner@example.com", "password": PASSWORD, "next": "/keys"}
    reply = browser.post("/signin", fields)
    assert (reply.status, reply.header("location")) == (303, "/keys")
    cookie = reply.header("set-cookie") or ""
    assert "HttpOnly" in cookie
    assert "SameSite=lax" in cookie
    assert "Path=/" in cookie
    assert "Secure" not in cookie  # browsers come by http here
    assert browser.get("/signin").status == 303
    csrf = browser.get("/signin/link").csrf
    assert (
        browser.post("/signout", {"csrf": csrf}).header("location") == "/signin?notice=signed-out"
    )
    assert "orqen_session" not in browser.cookies
    assert browser.get("/signin").status == 200


def test_a_wrong_password_and_an_unknown_person_look_the_same(house: House) -> None:
    replies, times = [], []
    for email in ("ours-owner@example.com", "nobody@example.com"):
        started = time.process_time()
        replies.append(house.browser().post("/signin", {"email": email, "password": "wrong" * 4}))
        times.append(time.process_time() - started)
    first, second = (reply.text.replace("ours-owner@", "nobody@") for reply in replies)
    assert first == second
    assert [reply.status for reply in replies] == [403, 403]
    assert min(times) > max(times) / 3  # both hash; one that does not takes a hundredth


def test_tries_are_bounded_for_a_person_known_or_not(house: House) -> None:
    for email in ("ours-owner@example.com", "nobody@example.com"):
        statuses = []
        for number in range(12):
            fields = {"email": email.upper() if number % 2 else email, "password": ""}
            statuses.append(house.browser().post("/signin", fields).status)
        assert statuses == [403] * 10 + [429] * 2
    other = {"email": "ours-viewer@example.com", "password": PASSWORD}
    assert house.browser().post("/signin", other).status == 303


def test_a_one_time_link_works_once_and_not_by_opening_it(house: House) -> None:
    with house.database.write() as c:
        token = sessions.create_sign_in_link(c, house.ids["operator"], SYSTEM)
    browser = house.browser()
    for _ in range(2):
        assert token in browser.get(f"/signin/link?token={token}").text
    assert browser.post("/signin/link", {"token": token}).status == 303
    assert browser.cookies
    assert house.browser().post("/signin/link", {"token": token}).status == 403
    with house.database.read() as c:
        assert list_all_audit(c)[0].action == "person.sign_in"


@pytest.mark.parametrize(
    "target",
    ["//evil.example", "https://evil.example", "/\\evil.example", "/%0d%0aset-cookie:x", "javascript:alert(1)", "/a//b?x", "/x" * 200],
)  # fmt: skip
def test_signing_in_leads_to_this_dashboard_alone(house: House, target: str) -> None:
    fields = {"email": "ours-owner@example.com", "password": PASSWORD, "next": target}
    assert house.browser().post("/signin", fields).header("location") in ("/", "/a//b")
