"""Which TLS files a server can use, and what is said of others."""

from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509 import ExtensionType

from engine.config.compile.listener_tls import TlsFileError, check_tls_files, validity_problem
from engine.plan.tls import ListenerTls
from tests.certificates import KNOWN, UNKNOWN, PrivateKey, issue

ISSUED = issue()
KEY = load_pem_private_key(ISSUED.key, None)
FORMATS = (PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL)
LOCKED = BestAvailableEncryption(b"passphrase")

BROKEN: list[tuple[str, bytes | None, str]] = [
    ("cert.pem", None, "certificate is not there"),
    ("cert.pem", b"", "certificate has no certificate in PEM"),
    ("cert.pem", ISSUED.key, "certificate has no certificate in PEM"),
    ("cert.pem", ISSUED.certificate.replace(b"M", b"A", 3), "certificate cannot be used with this key"),
    ("cert.pem", issue(2).certificate, "key is not the key of the first certificate"),
    ("key.pem", None, "key is not there"),
    ("key.pem", ISSUED.certificate, "key has no private key in PEM"),
    ("key.pem", issue(2).key, "key is not the key of the first certificate"),
    *(("key.pem", KEY.private_bytes(Encoding.PEM, kind, LOCKED), "key has a passphrase") for kind in FORMATS),
    ("cert.pem", b"\xef\xbb\xbf" + ISSUED.certificate, "certificate has no certificate in PEM"),
    ("key.pem", b"\xef\xbb\xbf" + ISSUED.key, "key has no private key in PEM"),
    ("ca.pem", b"\xef\xbb\xbf" + ISSUED.certificate, "client_ca has no certificate in PEM"),
    ("ca.pem", b"no certificate", "client_ca has no certificate in PEM"),
    ("ca.pem", None, "client_ca is not there"),
]  # fmt: skip


def pem(label: str, der: bytes) -> bytes:
    return f"-----BEGIN {label}-----\n{b64encode(der).decode()}\n-----END {label}-----\n".encode()


@pytest.fixture
def tls(tmp_path: Path) -> ListenerTls:
    ISSUED.write(tmp_path / "cert.pem", tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(ISSUED.certificate)
    return ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")


# Made by the tests that use them: RSA takes a tenth of a second.
USABLE: dict[str, Callable[[], PrivateKey]] = {
    "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "Ed25519": ed25519.Ed25519PrivateKey.generate,
    "RSA 2048": lambda: rsa.generate_private_key(65537, 2048),
}
UNUSABLE: dict[str, Callable[[], PrivateKey]] = {
    "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
    "secp256k1": lambda: ec.generate_private_key(ec.SECP256K1()),
    "Ed448": ed448.Ed448PrivateKey.generate,
    "RSA 1024": lambda: rsa.generate_private_key(65537, 1024),
    "RSA 2560": lambda: rsa.generate_private_key(65537, 2560),
    "RSA with exponent 3": lambda: rsa.generate_private_key(3, 2048),
}


@pytest.mark.parametrize("name", USABLE)
def test_keys_that_the_server_can_sign_with_are_used(tls: ListenerTls, name: str) -> None:
    issue(key=USABLE[name]()).write(tls.certificate, tls.key)
    check_tls_files(tls)


def test_what_is_wrong_with_its_dates_depends_on_the_time(tls: ListenerTls) -> None:
    """Both limits are among the times at which it is valid (RFC 5280, 4.1.2.5)."""
    found = check_tls_files(tls)
    assert found.end - found.start == 3 * 24 * 3600
    times = found.start - 1, found.start, found.end, found.end + 1
    assert [validity_problem(found, time)[0] for time in times] == ["E410", "", "", "E409"]


@pytest.mark.parametrize("name", UNUSABLE)
def test_other_keys_are_refused(tls: ListenerTls, name: str) -> None:
    """OpenSSL takes them; a worker would die of them."""
    issue(key=UNUSABLE[name]()).write(tls.certificate, tls.key)
    with pytest.raises(TlsFileError, match="of a kind that the server cannot use"):
        check_tls_files(tls)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_key_may_have_either_form(tls: ListenerTls, kind: PrivateFormat) -> None:
    tls.key.write_bytes(KEY.private_bytes(Encoding.PEM, kind, NoEncryption()))
    check_tls_files(tls)


VERSION_3, VERSION_1 = bytes.fromhex("a003020102"), bytes.fromhex("a003020100")


@pytest.mark.parametrize("name", KNOWN)
def test_a_critical_extension_that_the_server_knows_is_taken(tls: ListenerTls, name: str) -> None:
    issue(critical=[KNOWN[name]]).write(tls.certificate, tls.key)
    check_tls_files(tls)


@pytest.mark.parametrize(("critical", "version", "words"), [([], VERSION_3, ""), ([], VERSION_1, "version 1"), ([UNKNOWN], VERSION_3, "critical extension")])  # fmt: skip
def test_a_certificate_that_the_server_does_not_read_is_refused(
    tls: ListenerTls, critical: list[ExtensionType], version: bytes, words: str
) -> None:
    """OpenSSL takes it, and makes those of version 1 itself; a worker would die of it."""
    key = ec.generate_private_key(ec.SECP256R1())
    issued = issue(key=key, critical=critical)
    der = b64decode(b"".join(issued.certificate.splitlines()[1:-1]))
    assert VERSION_3 in der
    tls.certificate.write_bytes(pem("CERTIFICATE", der.replace(VERSION_3, version, 1)))
    tls.key.write_bytes(issued.key)
    if not words:
        check_tls_files(tls)
        return
    with pytest.raises(TlsFileError, match=words) as refused:
        check_tls_files(tls)
    assert refused.value.name == "certificate"


def test_a_key_without_its_public_key_is_refused(tls: ListenerTls) -> None:
    """That is optional (RFC 5915), and the server's library does not derive it: a worker would die of it."""
    head = (
        "3041020100301306072a8648ce3d020106082a8648ce3d030107042730250201010420"  # P-256 in PKCS #8
    )
    private = ec.generate_private_key(ec.SECP256R1())
    der = bytes.fromhex(head) + private.private_numbers().private_value.to_bytes(32)
    issue(key=private).write(tls.certificate, tls.key)
    check_tls_files(tls)
    tls.key.write_bytes(pem("PRIVATE KEY", der))
    with pytest.raises(TlsFileError, match="does not hold its public key") as refused:
        check_tls_files(tls)
    assert refused.value.name == "key"


@pytest.mark.parametrize(("name", "text", "words"), BROKEN)
def test_a_file_that_cannot_be_used_is_named_with_the_reason(
    tls: ListenerTls, name: str, text: bytes | None, words: str
) -> None:
    path = tls.key.with_name(name)
    path.unlink() if text is None else path.write_bytes(text)
    with pytest.raises(TlsFileError) as refused:
        check_tls_files(tls)
    assert f"{refused.value.name} {refused.value}".startswith(words)
    assert refused.value.is_absent == (text is None)
