"""Certificates of tests, made as they are needed."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = (
    ec.EllipticCurvePrivateKey
    | ed25519.Ed25519PrivateKey
    | ed448.Ed448PrivateKey
    | rsa.RSAPrivateKey
)
UNKNOWN = x509.ObjectIdentifier("1.2.3.4")
NAMES = [x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
USES = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]


@dataclass(frozen=True)
class Issued:
    """A certificate for localhost with its key, by itself; `number` is its serial number."""

    certificate: bytes
    key: bytes
    number: int

    def write(self, certificate: Path, key: Path) -> None:
        certificate.write_bytes(self.certificate)
        key.write_bytes(self.key)


def issue(
    number: int = 1,
    key: PrivateKey | None = None,
    days: tuple[float, float] = (-1, 2),
    *,
    critical: bool = False,
) -> Issued:
    """A new one, which is also its own CA certificate; `days` from now it is valid.

    It has an extension that nobody knows, which may be `critical`.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"localhost {number}")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), number)
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
        .add_extension(x509.SubjectAlternativeName(NAMES), critical=False)
        .add_extension(x509.ExtendedKeyUsage(USES), critical=False)
        .add_extension(x509.UnrecognizedExtension(UNKNOWN, b"\x05\x00"), critical=critical)
        .sign(key, None if is_edwards else SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(made.public_bytes(Encoding.PEM), private, number)
