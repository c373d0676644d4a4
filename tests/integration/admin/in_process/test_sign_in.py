"""Signing in and out, in process."""

from typing import Literal

import pytest
from argon2 import Parameters, PasswordHasher, extract_parameters

from engine.accounts import passwords, people, sessions
from engine.accounts.audit import SYSTEM
from engine.admin.request import FormValues, PageError, PageRequest
from engine.admin.server import MAX_CONCURRENT_SIGN_INS, create_server
from engine.admin.sign_in import SIGN_IN_PAGES, sign_in_by_password
from engine.admin.throttle import MAX_NAMES, Throttle
from tests.integration.admin.in_process.conftest import PASSWORD, House
from tests.unit.accounts.all_audit import list_all_audit


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


class Watched(PasswordHasher):
    """Keeps the parameters of each hash that it compares with: they decide how long that takes."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.compared: list[Parameters] = []

    def verify(self, hash: str | bytes, password: str | bytes) -> Literal[True]:  # noqa: A002 as argon2 names it
        self.compared.append(extract_parameters(str(hash)))
        return super().verify(hash, password)


def test_a_wrong_password_and_an_unknown_person_look_the_same(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    hasher = Watched()
    monkeypatch.setattr(passwords, "_HASHER", hasher)
    passwords._dummy.cache_clear()
    with house.database.write() as c:
        people.set_password(c, house.ids["ours-owner"], PASSWORD, SYSTEM)
    replies = [
        house.browser().post("/signin", {"email": email, "password": "wrong" * 4})
        for email in ("ours-owner@example.com", "nobody@example.com")
    ]
    first, second = (reply.text.replace("ours-owner@", "nobody@") for reply in replies)
    assert first == second
    assert [reply.status for reply in replies] == [403, 403]
    known, unknown = hasher.compared  # both take as long
    assert known == unknown


def test_a_weak_hash_is_renewed_when_its_person_signs_in(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    email = "ours-owner@example.com"
    fields = {"email": email, "password": PASSWORD}
    other = house.browser()
    assert other.post("/signin", fields).status == 303
    with house.database.read() as c:
        weak = people.read_password_hash(c, email)[1]
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(2, 16, 1))
    assert house.browser().post("/signin", fields | {"password": "wrong" * 4}).status == 403
    with house.database.read() as c:
        assert people.read_password_hash(c, email)[1] == weak
    assert house.browser().post("/signin", fields).status == 303
    with house.database.read() as c:
        renewed = people.read_password_hash(c, email)[1]
    assert renewed is not None
    assert extract_parameters(renewed).time_cost == 2
    assert house.browser().post("/signin", fields).status == 303
    with house.database.read() as c:
        assert people.read_password_hash(c, email)[1] == renewed
    assert other.get("/signin").status == 303  # the sessions of before are valid


def test_a_hash_that_was_changed_meanwhile_is_not_renewed(house: House) -> None:
    email = "ours-owner@example.com"
    with house.database.write() as c:
        before = people.read_password_hash(c, email)
        people.renew_password_hash(c, house.ids["ours-owner"], "an older one", "new")
        assert people.read_password_hash(c, email) == before


def test_a_disabled_person_is_refused_at_the_next_request(house: House) -> None:
    fields = {"email": "ours-owner@example.com", "password": PASSWORD}
    browser, person_id = house.browser(), house.ids["ours-owner"]
    assert browser.post("/signin", fields).status == 303
    assert browser.get("/signin").status == 303
    with house.database.write() as c:
        token = sessions.create_sign_in_link(c, person_id, SYSTEM)
        people.set_person_disabled(c, person_id, SYSTEM, is_disabled=True)
    assert browser.get("/signin").status == 200
    assert house.browser().post("/signin", fields).status == 403
    assert house.browser().post("/signin/link", {"token": token}).status == 403


def test_tries_are_bounded_for_a_person_and_for_an_address() -> None:
    now = [0.0]
    throttle = Throttle(clock=lambda: now[0])
    tries = [throttle.attempt("A@example.com" if n % 2 else " a@EXAMPLE.com", "127.0.0.1") for n in range(11)]  # fmt: skip
    assert tries == [0] * 10 + [900 + 1]
    assert throttle.attempt("b@example.com", "127.0.0.1") == 0
    now[0] = 899.5
    assert throttle.attempt("a@example.com", "192.0.2.1") == 1
    now[0] = 900.0
    assert throttle.attempt("a@example.com", "192.0.2.1") == 0
    tries = [throttle.attempt("a@example.com", "127.0.0.1") for _ in range(10)]
    assert tries == [0] * 9 + [900 + 1], "as many as before in the next window"
    throttle.succeeded("a@example.com")
    assert throttle.attempt("a@example.com", "127.0.0.1") == 0
    tries = [throttle.attempt(f"{n}@example.com", "192.0.2.7") for n in range(51)]
    assert [seconds > 0 for seconds in tries] == [False] * 50 + [True]
    assert throttle.attempt("c@example.com", "127.0.0.1") == 0


def test_the_throttle_forgets_the_oldest_names() -> None:
    throttle = Throttle()
    for number in range(MAX_NAMES + 5):
        throttle.attempt(f"{number}@example.com", "127.0.0.1")
    assert len(throttle._failures) == MAX_NAMES


def test_a_person_who_is_tried_too_often_has_to_wait(house: House) -> None:
    fields = {"email": "ours-owner@example.com", "password": ""}
    statuses = [house.browser().post("/signin", fields).status for _ in range(11)]
    assert statuses == [403] * 10 + [429]
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


def test_a_flood_of_passwords_leaves_threads_for_the_rest(house: House) -> None:
    server = create_server(house.context)
    form = FormValues((("email", "ours-owner@example.com"), ("password", PASSWORD)))
    request = PageRequest(server, SIGN_IN_PAGES[1], {}, form=form)
    for _ in range(MAX_CONCURRENT_SIGN_INS):
        assert server.sign_ins.acquire(blocking=False)
    with pytest.raises(PageError) as refused:
        sign_in_by_password(request)
    assert refused.value.status == 503
    server.sign_ins.release()
    assert sign_in_by_password(request).status_code == 303
    assert server.sign_ins.acquire(blocking=False)  # it was given back
