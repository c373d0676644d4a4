"""What is read of a certificate is what a library reads, and of anything else nothing."""

import contextlib
from datetime import datetime
from functools import cache

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from engine.config.compile.x509 import read_certificate, read_rsa
from tests.certificates import PrivateKey

EDWARDS = ed25519.Ed25519PrivateKey.generate()
P384 = ec.generate_private_key(ec.SECP384R1())
SECONDS = st.datetimes(datetime(1950, 1, 1), datetime(9999, 12, 31, 23, 59, 59)).map(
    lambda time: time.replace(microsecond=0)
)


@cache
def keys() -> list[PrivateKey]:
    return [EDWARDS, P384, rsa.generate_private_key(3, 1024), rsa.generate_private_key(65537, 2048)]


def made(
    key: PrivateKey, dates: list[datetime], number: int, name: str, extensions: dict[int, bool]
) -> x509.Certificate:
    """A certificate with extensions 1.2.3.NUMBER that are critical or not."""
    named = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(named, named, key.public_key(), number)
    start, end = sorted(dates)
    built = builder.not_valid_before(start).not_valid_after(end)
    for last, is_critical in extensions.items():
        unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier(f"1.2.3.{last}"), b"x")
        built = built.add_extension(unknown, is_critical)
    return built.sign(key, None if key is EDWARDS else SHA256())


@given(
    st.deferred(lambda: st.sampled_from(keys())),
    st.lists(SECONDS, min_size=2, max_size=2),
    st.integers(1, 1 << 158),
    st.text("abc é", min_size=1, max_size=64),
    st.dictionaries(st.integers(0, 127), st.booleans(), max_size=3),
)
def test_what_is_read_is_what_a_library_wrote(
    key: PrivateKey, dates: list[datetime], number: int, name: str, extensions: dict[int, bool]
) -> None:
    certificate = made(key, dates, number, name, extensions)
    found = read_certificate(certificate.public_bytes(Encoding.DER))
    assert [found.start, found.end] == [
        date.timestamp()
        for date in (certificate.not_valid_before_utc, certificate.not_valid_after_utc)
    ]
    assert found.is_version_3
    assert found.critical == {bytes((0x2A, 3, last)) for last in extensions if extensions[last]}
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        assert read_rsa(found.public_key) == (numbers.n, numbers.e)


WHOLE = made(P384, [datetime(2020, 1, 1), datetime(2060, 1, 1)], 1, "a", {1: True}).public_bytes(
    Encoding.DER
)


@given(st.integers(0, len(WHOLE) - 1), st.binary(max_size=3))
def test_what_is_no_certificate_is_refused_with_one_error(at: int, put: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_certificate(WHOLE[:at])
    with contextlib.suppress(ValueError):  # and nothing else
        read_certificate(WHOLE[:at] + put + WHOLE[at + len(put) :])
