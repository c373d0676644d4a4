"""The TLS files of the gateway's listener: whether a server can use them."""

import ssl
from pathlib import Path

from engine.config.compile.certificates import read_certificates
from engine.config.compile.files import ABSENT, path_hint, why_unread
from engine.config.source.files import MAX_READ, read_file
from engine.plan.tls import ListenerTls

_ENCRYPTED = (b"ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED")


class TlsFileError(ValueError):
    """A file cannot be used. `name` is the key of server.yaml that names it; the message says why."""

    def __init__(self, name: str, words: str, fix_hint: str = "", *, is_absent: bool = False):
        super().__init__(words)
        self.name, self.fix_hint, self.is_absent = name, fix_hint, is_absent


def check_tls_files(tls: ListenerTls) -> None:
    """Read the files of `tls`.

    Raises:
        TlsFileError: one is missing or broken, or the key is not that of the certificate.
    """
    chain = _read("certificate", tls.certificate)
    key = _read("key", tls.key)
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise TlsFileError("certificate", "has no certificate in PEM")
    if any(mark in key for mark in _ENCRYPTED):
        fix_hint = "`openssl pkey -in KEY` removes the passphrase; protect the file by its mode"
        raise TlsFileError("key", "is protected by a passphrase, which nobody can type here", fix_hint)  # fmt: skip
    if b"PRIVATE KEY-----" not in key:
        raise TlsFileError("key", "has no private key in PEM")
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tls.certificate, tls.key)
    except (ssl.SSLError, ValueError) as error:
        raise _unusable(error) from None
    if tls.client_ca is not None and read_certificates(_read("client_ca", tls.client_ca)) is None:
        raise TlsFileError("client_ca", "has no certificate in PEM, or a broken one")


def _unusable(error: Exception) -> TlsFileError:
    if getattr(error, "reason", "") == "KEY_VALUES_MISMATCH":
        return TlsFileError("key", "is not the key of the first certificate in `certificate`")
    reason = getattr(error, "reason", None) or type(error).__name__
    return TlsFileError("certificate", f"cannot be used with this key ({reason})")


def _read(name: str, path: Path) -> bytes:
    try:
        raw = read_file(path)
    except OSError as error:
        words = why_unread(path, error)
        raise TlsFileError(name, words, path_hint(str(path)), is_absent=words == ABSENT) from None
    if len(raw) > MAX_READ:
        raise TlsFileError(name, f"is larger than {MAX_READ >> 20} MiB")
    return raw
