"""TLS towards callers."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class TlsVersion(StrEnum):
    """The oldest version of TLS that a caller may use."""

    TLS_1_2 = "1.2"
    TLS_1_3 = "1.3"


@dataclass(frozen=True, slots=True)
class ListenerTls:
    """How the gateway's listener speaks TLS; the paths are absolute.

    `certificate` is a chain in PEM, `key` its private key. Callers need a certificate that one of
    `client_ca` has signed, if that is given. With `http2`, a caller chooses between HTTP/1.1 and
    HTTP/2 (ALPN, RFC 7301).
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None
    oldest: TlsVersion = TlsVersion.TLS_1_2
    http2: bool = True

    def files(self) -> tuple[Path, ...]:
        """All files; a server that runs reads them again when they change."""
        return tuple(p for p in (self.certificate, self.key, self.client_ca) if p is not None)
