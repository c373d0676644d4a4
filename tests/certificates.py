"""Certificates of tests, made as they are needed."""

from collections.abc import Collection
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
NAMES = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])  # fmt: skip
USES = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
UNKNOWN = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
# Those that the server reads, as certification authorities mark some of them.
KNOWN: dict[str, x509.ExtensionType] = {
    "usage": x509.KeyUsage(True, False, False, False, False, True, False, False, False),
    "names": NAMES,
    "basic constraints": x509.BasicConstraints(ca=False, path_length=None),
    "constraints of names": x509.NameConstraints([x509.DNSName("localhost")], None),
    "revocation lists": x509.CRLDistributionPoints([x509.DistributionPoint([x509.UniformResourceIdentifier("http://localhost/list")], None, None, None)]),
    "extended usage": USES,
}  # fmt: skip


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
    critical: Collection[x509.ExtensionType] = (),
) -> Issued:
    """A new one, which is also its own CA certificate; `days` from now it is valid.

    It has an extension that nobody knows. Those in `critical` are there and critical.
    """
    key = key or ec.generate_private_key(ec.SECP256R1())
    is_edwards = isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"localhost {number}")])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder(name, name, key.public_key(), number)
        .not_valid_before(now + timedelta(days[0]))
        .not_valid_after(now + timedelta(days[1]))
    )
    for extension in dict.fromkeys((NAMES, USES, UNKNOWN, *critical)):
        builder = builder.add_extension(extension, critical=extension in critical)
    made = builder.sign(key, None if is_edwards else SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return Issued(made.public_bytes(Encoding.PEM), private, number)
