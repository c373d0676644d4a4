"""Signing in with OpenID Connect, against a provider in a process of its own."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from engine.accounts import people
from engine.accounts.audit import SYSTEM
from engine.accounts.members import Role, create_invite, role_of
from engine.config.load import Loaded
from engine.plan.accounts import Admin, Oidc
from engine.server.ports import wait_until_ready
from tests import loopback
from tests.integration.admin.in_process.conftest import Furnished, House, open_house
from tests.integration.admin.in_process.listener import Browser, Reply
from tests.integration.admin.provider import CLIENT_ID, CLIENT_SECRET, SUBJECT
from tests.ports import free_port
from tests.processes import Command, Process
from tests.unit.accounts.all_audit import list_all_audit

COOKIE = "orqen_session"
REFUSED = (
    "another-issuer", "another-audience", "several-audiences", "for-somebody-else", "another-party", "expired", "no-end", "not-yet",
    "another-nonce", "no-nonce", "no-subject", "a-number-as-subject", "another-access-token", "unsigned", "no-token",
    "signed-with-the-secret", "signed-with-the-public-key", "signed-by-a-stranger", "cut-signature", "token-error",
    "broken-keys", "an-end-as-text", "a-number-as-audience", "a-list-as-nonce",
)  # fmt: skip
UNKNOWN = ("unverified", "verified-as-text", "no-address", "unknown-address", "disabled")
UNUSABLE = ("foreign-metadata", "odd-endpoint", "no-metadata")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the provider; each fault is an issuer below it."""
    port, folder = free_port(), tmp_path_factory.mktemp("provider")
    words = ("tests.integration.admin.provider", str(port))
    process = Process(Command(words, folder / "log", folder / "errors", {}))
    assert wait_until_ready(process, port, "/good/.well-known/openid-configuration")
    yield f"http://127.0.0.1:{port}"
    process.kill()


class Signing:
    """A listener whose people sign in at one issuer."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.browser = Browser(house.app)

    def begin(self, query: str = "") -> str:
        """Off to the provider; where the browser is sent."""
        reply = self.browser.get(f"/signin/oidc{query}")
        assert reply.status == 303, reply.text
        return reply.header("location") or ""

    def at_provider(self, url: str) -> str:
        """The target with which the provider sends the browser back."""
        back = urlsplit(loopback.get(url).headers["location"])
        assert back.path == "/signin/oidc/callback"
        return f"{back.path}?{back.query}"

    def come_back(self, target: str) -> Reply:
        headers = (("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document"))  # fmt: skip
        return self.browser.redirected(target, headers)

    def sign_in(self, login: str = "") -> Reply:
        url = self.begin() + (f"&login={login}" if login else "")
        return self.come_back(self.at_provider(url))


@pytest.fixture
def signing(
    request: pytest.FixtureRequest,
    provider: str,
    furnished: Furnished,
    shipped_configuration: Loaded,
    tmp_path: Path,
) -> Iterator[Signing]:
    """With the issuer that the test's parameter names, or the good one."""
    fault = getattr(request, "param", "good")
    admin = Admin(oidc=Oidc(f"{provider}/{fault}", CLIENT_ID, CLIENT_SECRET, "Example"))
    house = open_house(furnished, shipped_configuration, tmp_path, admin)
    with house.database.write() as c:
        person = people.create_person(c, name="d", email="disabled@example.com", actor=SYSTEM)
        house.ids["disabled"] = person.id
        c.exec_driver_sql("UPDATE people SET is_disabled = 1 WHERE name = 'd'")
    yield Signing(house)
    house.database.close()


def test_a_person_signs_in_with_the_address_that_the_provider_has_verified(
    signing: Signing,
) -> None:
    assert 'href="/signin/oidc">Continue with Example' in signing.browser.get("/signin").text
    assert signing.sign_in().header("location") == "/"
    assert ">ours-member</a>" in signing.browser.get("/you").text
    with signing.house.database.read() as c:
        newest = list_all_audit(c, 2)
        known = people.find_person_by_identity(c, signing.house.context.admin.oidc.issuer, SUBJECT)  # type: ignore[union-attr]
    assert [entry.action for entry in newest] == ["person.sign_in", "person.identity"]
    assert newest[0].detail == {"method": "oidc"}
    assert known is not None
    assert known.id == signing.house.ids["ours-member"]


def test_an_identity_that_is_known_signs_in_whatever_its_address_is_now(signing: Signing) -> None:
    assert signing.sign_in().status == 303
    signing.browser = Browser(signing.house.app)
    assert signing.sign_in("ours-owner@example.com").status == 303
    assert ">ours-member</a>" in signing.browser.get("/you").text


@pytest.mark.parametrize("signing", REFUSED, indirect=True)
def test_a_token_with_one_thing_wrong_signs_nobody_in(
    signing: Signing, caplog: pytest.LogCaptureFixture
) -> None:
    reply = signing.sign_in()
    assert reply.status == 502
    assert COOKIE not in signing.browser.cookies
    assert "signing in with OpenID Connect failed" in caplog.text
    assert "canary" not in caplog.text + reply.text


@pytest.mark.parametrize("signing", UNKNOWN, indirect=True)
def test_an_identity_of_nobody_here_signs_nobody_in(signing: Signing) -> None:
    assert signing.sign_in().status == 403
    assert COOKIE not in signing.browser.cookies


@pytest.mark.parametrize("signing", UNUSABLE, indirect=True)
def test_metadata_that_cannot_be_right_are_not_followed(signing: Signing) -> None:
    assert signing.browser.get("/signin/oidc").status == 502


def test_only_the_browser_that_was_sent_there_comes_back(signing: Signing) -> None:
    target = signing.at_provider(signing.begin())
    stolen = Browser(signing.house.app)
    assert stolen.get(target).status == 400
    stolen.get("/signin/oidc")
    assert stolen.get(target).status == 502  # with a flow of its own, the state is another
    assert signing.come_back(target.replace("state=", "state=x")).status == 502
    assert signing.come_back(target + "&iss=https://evil.example").status == 502
    assert signing.come_back(target + "&error=access_denied").status == 502
    assert signing.come_back(target).status == 303
    assert signing.come_back(target).status == 400  # the flow is used up


def test_a_code_is_of_no_use_without_the_verifier(signing: Signing) -> None:
    """PKCE: an attacker who reads the redirect cannot have the code redeemed in a flow of theirs."""
    target = signing.at_provider(signing.begin())
    other = Signing(signing.house)
    state = urlsplit(other.begin()).query.partition("state=")[2].partition("&")[0]
    code = target.partition("code=")[2].partition("&")[0]
    assert other.come_back(f"/signin/oidc/callback?code={code}&state={state}").status == 502


def test_somebody_new_comes_in_by_an_invite_for_their_address(signing: Signing) -> None:
    with signing.house.database.write() as c:
        account = signing.house.ids["theirs"]
        _, token = create_invite(c, account, "new@example.com", Role.VIEWER, SYSTEM)
    page = signing.browser.get(f"/invite?token={token}").text
    assert f'href="/signin/oidc?invite={token}"' in page
    url = signing.begin(f"?invite={token}")
    assert signing.come_back(signing.at_provider(url + "&login=other@example.com")).status == 403
    url = signing.begin(f"?invite={token}")
    assert signing.come_back(signing.at_provider(url + "&login=new@example.com")).status == 303
    with signing.house.database.read() as c:
        person = people.find_person_by_email(c, "new@example.com")
        assert person is not None
        assert role_of(c, account, person.id) is Role.VIEWER
    assert "{{7*7}}" in signing.browser.get("/you").text


def test_a_provider_that_is_down_is_no_fault_of_the_gateway(
    furnished: Furnished, shipped_configuration: Loaded, tmp_path: Path
) -> None:
    oidc = Oidc(f"http://127.0.0.1:{free_port()}", CLIENT_ID, CLIENT_SECRET)
    house = open_house(furnished, shipped_configuration, tmp_path, Admin(oidc=oidc))
    assert Browser(house.app).get("/signin/oidc").status == 502
    assert Browser(house.app).get("/signin").status == 200
    house.database.close()
