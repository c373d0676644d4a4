"""The TLS files of the gateway's listener: whether a server can use them."""

import re
import ssl
from base64 import b64decode
from datetime import UTC, datetime
from pathlib import Path

from engine.config.compile.certificates import read_certificates
from engine.config.compile.files import ABSENT, describe_unreadable, path_hint
from engine.config.compile.x509 import Certificate, read_certificate, read_rsa
from engine.config.source.files import MAX_READ, read_file
from engine.plan.tls import ListenerTls

_ENCRYPTED = (b"ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")
# The server's library wants these at the beginning of a line, and OpenSSL does not.
_CERTIFICATE = re.compile(rb"(?ms)^-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----")
_KEY = re.compile(rb"(?ms)^-----BEGIN (?:RSA |EC )?PRIVATE KEY-----(.+?)-----END")
# What its library can sign with (RFC 5480, RFC 8410, RFC 8017); OpenSSL can more.
_RSA = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"
_ED25519 = b"\x06\x03\x2b\x65\x70"
_ECDSA = {
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",  # P-256
    b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",  # P-384
}
# Usage, names, constraints, revocation lists and extended usage (RFC 5280, 4.2.1).
_EXTENSIONS = {bytes((0x55, 0x1D, number)) for number in (15, 17, 19, 30, 31, 37)}
_MODULUS_BITS = {2048, 3072, 4096}
_EXPONENTS = range(65537, 1 << 33)
_PEM_HINT = "a line of it must begin with -----BEGIN; `openssl x509 -inform der` makes PEM of DER"


class TlsFileError(ValueError):
    """A file cannot be used. `name` is the key of server.yaml that names it; the message says why."""

    def __init__(self, name: str, words: str, fix_hint: str = "", *, is_absent: bool = False):
        super().__init__(words)
        self.name, self.fix_hint, self.is_absent = name, fix_hint, is_absent


def check_tls_files(tls: ListenerTls) -> Certificate:
    """Read the files of `tls`; the server's certificate, which may have expired.

    Raises:
        TlsFileError: one is missing or broken, or the key is not that of the certificate.
    """
    chain = read_tls_file("certificate", tls.certificate)
    key = read_tls_file("key", tls.key)
    first = _CERTIFICATE.search(chain)
    if first is None:
        raise TlsFileError("certificate", "has no certificate in PEM", _PEM_HINT)
    if any(mark in key for mark in _ENCRYPTED):
        fix_hint = "`openssl pkey -in KEY` removes the passphrase; protect the file by its mode"
        raise TlsFileError("key", "has a passphrase, which cannot be entered here", fix_hint)  # fmt: skip
    private = _KEY.search(key)
    if private is None:
        raise TlsFileError("key", "has no private key in PEM")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(error) from None
    certificate = _usable_certificate(b64decode(first[1]), b64decode(private[1]))
    if tls.client_ca is not None:
        trusted = read_tls_file("client_ca", tls.client_ca)
        if not _CERTIFICATE.search(trusted) or read_certificates(trusted) is None:
            problem = "has no certificate in PEM, or a broken one"
            raise TlsFileError("client_ca", problem, _PEM_HINT)
    return certificate


def validity_problem(certificate: Certificate, now: float) -> tuple[str, str]:
    """The code of what is wrong with its dates at `now`, and what to say after its name; "" for nothing."""
    if now > certificate.end:
        return "E409", f"has expired, at {_shown(certificate.end)}"
    if now < certificate.start:
        return "E410", f"is not valid before {_shown(certificate.start)}"
    return "", ""


def _shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _usable_certificate(der: bytes, key: bytes) -> Certificate:
    try:
        certificate = read_certificate(der)
        is_usable = _can_sign_with(certificate)
    except ValueError:
        raise TlsFileError("certificate", "is not written as RFC 5280 has it") from None
    if not is_usable:
        raise _wrong_kind()
    if not certificate.is_version_3:
        fix_hint = "`openssl x509 -req` makes version 3 where `-extfile` names its extensions"
        raise TlsFileError("certificate", "is of version 1, and the server takes 3", fix_hint)
    if not certificate.critical <= _EXTENSIONS:
        raise TlsFileError("certificate", "has a critical extension that the server does not know")
    if certificate.algorithm in _ECDSA and certificate.public_key not in key:  # RFC 5915 lets it be
        fix_hint = "`openssl ec -in KEY` writes the key with it"
        raise TlsFileError("key", "does not hold its public key, which the server needs", fix_hint)
    return certificate


def _can_sign_with(certificate: Certificate) -> bool:
    if certificate.algorithm != _RSA:
        return certificate.algorithm in {*_ECDSA, _ED25519}
    modulus, exponent = read_rsa(certificate.public_key)
    return modulus.bit_length() in _MODULUS_BITS and exponent in _EXPONENTS


def _wrong_kind() -> TlsFileError:
    fix_hint = "take RSA with 2048, 3072 or 4096 bits (exponent 65537), ECDSA with P-256 or P-384, or Ed25519"
    return TlsFileError("key", "is of a kind that the server cannot use", fix_hint)


def _unusable(error: Exception) -> TlsFileError:
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return TlsFileError("key", "is not the key of the first certificate in `certificate`")
    if getattr(error, "reason", "") == "EE_KEY_TOO_SMALL":
        return _wrong_kind()
    reason = getattr(error, "reason", None) or type(error).__name__
    return TlsFileError("certificate", f"cannot be used with this key ({reason})")


def read_tls_file(name: str, path: Path) -> bytes:
    """The bytes of the file at `path`, which the key `name` of server.yaml names.

    Raises:
        TlsFileError: it is missing, cannot be read or is too large.
    """
    try:
        raw = read_file(path)
    except OSError as error:
        words = describe_unreadable(path, error)
        raise TlsFileError(name, words, path_hint(str(path)), is_absent=words == ABSENT) from None
    if len(raw) > MAX_READ:
        raise TlsFileError(name, f"is larger than {MAX_READ >> 20} MiB")
    return raw
