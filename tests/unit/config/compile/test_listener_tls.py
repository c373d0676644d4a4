"""Which TLS files a server can use, and what is said of others."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from engine.config.compile.listener_tls import TlsFileError, check_tls_files
from engine.plan.tls import ListenerTls
from tests.certificates import issue

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
    *(("key.pem", KEY.private_bytes(Encoding.PEM, kind, LOCKED), "key is protected by a passphrase") for kind in FORMATS),
    ("ca.pem", b"no certificate", "client_ca has no certificate in PEM"),
    ("ca.pem", None, "client_ca is not there"),
]  # fmt: skip


@pytest.fixture
def tls(tmp_path: Path) -> ListenerTls:
    ISSUED.write(tmp_path / "cert.pem", tmp_path / "key.pem")
    (tmp_path / "ca.pem").write_bytes(ISSUED.certificate)
    return ListenerTls(tmp_path / "cert.pem", tmp_path / "key.pem", tmp_path / "ca.pem")


@pytest.mark.parametrize("kind", FORMATS)
def test_a_key_may_have_either_form(tls: ListenerTls, kind: PrivateFormat) -> None:
    tls.key.write_bytes(KEY.private_bytes(Encoding.PEM, kind, NoEncryption()))
    check_tls_files(tls)


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
