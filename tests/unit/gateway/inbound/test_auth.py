"""Who holds which key, and that every refusal of a key reads the same."""

import hashlib

import pytest

from engine.gateway.errors import GatewayError
from engine.gateway.inbound.auth import ANONYMOUS, MAX_KEY, authenticate
from engine.plan.never_forwarded import KEY_HEADERS
from engine.plan.plan import Caller
from tests.tables import each

NOW = 1_000.0
GOOD, OTHER, OLD = "sk-orq-good", "sk-orq-other", "sk-orq-old"


def caller(name: str, expires: float | None = None) -> Caller:
    return Caller(name, None, None, (), expires)


CALLERS = {
    hashlib.sha256(key.encode()).digest(): caller(key, expires)
    for key, expires in ((GOOD, None), (OTHER, NOW + 1), (OLD, NOW))
}


def refusal(*headers: tuple[bytes, bytes]) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        authenticate(headers, CALLERS, NOW)
    return caught.value


def bearer(token: str | bytes) -> tuple[bytes, bytes]:
    return b"authorization", b"Bearer " + (token if isinstance(token, bytes) else token.encode())


@each("name", sorted(KEY_HEADERS - {b"authorization"}))
def test_a_key_in_each_header(name: bytes) -> None:
    assert authenticate([(name, GOOD.encode())], CALLERS, NOW).name == GOOD


@each("scheme", [b"Bearer ", b"bearer ", b"BEARER  "])
def test_the_scheme_has_no_case(scheme: bytes) -> None:
    assert authenticate([(b"authorization", scheme + GOOD.encode())], CALLERS, NOW).name == GOOD


def test_no_keys_configured_asks_for_none() -> None:
    assert authenticate([bearer("anything")], None, NOW) is ANONYMOUS


def test_an_empty_list_of_keys_admits_nobody() -> None:
    with pytest.raises(GatewayError):
        authenticate([bearer(GOOD)], {}, NOW)


def test_a_foreign_credential_beside_the_key() -> None:
    headers = [(b"x-api-key", b"sk-ant-1"), bearer(GOOD), (b"api-key", b"")]
    assert authenticate(headers, CALLERS, NOW).name == GOOD


def test_one_key_in_two_headers() -> None:
    assert authenticate([bearer(GOOD), (b"api-key", GOOD.encode())], CALLERS, NOW).name == GOOD


WRONG = {
    "unknown": [bearer("sk-orq-unknown")],
    "two holders": [bearer(GOOD), (b"x-api-key", OTHER.encode())],
    "valid and expired": [bearer(GOOD), (b"x-api-key", OLD.encode())],
    "twice": [bearer(GOOD), bearer(GOOD)],
    "twice, one wrong": [bearer(GOOD), bearer("x")],
    "nul": [bearer(GOOD + "\0")],
    "non-ascii": [bearer(b"\xff\xfe")],
    "huge": [bearer("k" * 100_000)],
    "overlong": [bearer(GOOD + "x" * MAX_KEY)],
    "digest": [bearer(hashlib.sha256(GOOD.encode()).digest())],
    "hex digest": [bearer(hashlib.sha256(GOOD.encode()).hexdigest())],
    "padded elsewhere": [(b"x-api-key", b" " + GOOD.encode())],
}


@each("headers", WRONG.values())
def test_wrong_keys_read_the_same(headers: list[tuple[bytes, bytes]]) -> None:
    error = refusal(*headers)
    expected = refusal(bearer("sk-orq-x"))
    assert error.code == "invalid_api_key"
    assert (error.message, error.param, error.headers) == (expected.message, None, ())


FORMS = {
    "no scheme": ((b"authorization", b"%b"), "without a scheme"),
    "basic": ((b"authorization", b"Basic %b"), "another scheme"),
    "token": ((b"authorization", b"Token %b"), "another scheme"),
    "bearer with a colon": ((b"authorization", b"Bearer: %b"), "another scheme"),
    "bearer twice": ((b"authorization", b"Bearer bearer %b"), "twice"),
    "bearer elsewhere": ((b"x-api-key", b"Bearer %b"), "without `Bearer`"),
}


@each(("header", "told"), FORMS.values())
def test_a_key_in_the_wrong_form_is_told_so_whatever_the_key(
    header: tuple[bytes, bytes], told: str
) -> None:
    """A key that is right, wrong or expired, in a form that does not count: one answer."""
    name, form = header
    errors = [refusal((name, form % key.encode())) for key in (GOOD, OLD, "sk-orq-unknown")]
    assert {error.code for error in errors} == {"invalid_api_key"}
    (message,) = {error.message for error in errors}
    assert told in message
    assert "good" not in message


BLANK = [b"", b" ", b"\t"]
NOTHING = hashlib.sha256(b"").digest()


@each(
    "headers",
    [[(name, value)] for name in sorted(KEY_HEADERS) for value in BLANK]
    + [[(b"authorization", value)] for value in (b"Bearer", b"bearer ", b"BEARER   ")]
    + [[bearer(""), (b"x-api-key", b""), (b"api-key", b" ")]],
)
def test_an_empty_key_is_no_key(headers: list[tuple[bytes, bytes]]) -> None:
    """Not even where an entry of keys.yaml has the digest of nothing."""
    callers = {NOTHING: caller("nobody"), hashlib.sha256(b" ").digest(): caller("blank")}
    with pytest.raises(GatewayError) as caught:
        authenticate(headers, callers, NOW)
    assert caught.value.code == "missing_api_key"


@each("scheme", [b"Basic", b"Bearer", b"Bearer "])
def test_a_scheme_without_a_key_never_is_the_key_of_nothing(scheme: bytes) -> None:
    callers = {NOTHING: caller("nobody")}
    with pytest.raises(GatewayError):
        authenticate([(b"authorization", scheme), (b"x-api-key", b"other")], callers, NOW)


def test_no_key() -> None:
    assert refusal((b"cookie", GOOD.encode())).code == "missing_api_key"


def test_a_key_ends_at_the_second_it_expires() -> None:
    assert refusal(bearer(OLD)).code == "expired_api_key"
    assert authenticate([bearer(OTHER)], CALLERS, NOW).name == OTHER


def test_no_refusal_quotes_a_key() -> None:
    for error in (refusal(bearer("sk-orq-secret")), refusal(bearer(OLD)), refusal()):
        assert "secret" not in error.message
        assert OLD not in error.message
