"""What a certificate says in DER (RFC 5280, 4.1): when it is valid, its public key and a little more.

The standard library gives the dates of CA certificates alone, and nothing of a key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

_VERSION, _EXTENSIONS, _UTC_TIME = 0xA0, 0xA3, 0x17
_VERSION_3, _TRUE = b"\x02\x01\x02", (0x01, b"\xff")


@dataclass(frozen=True, slots=True)
class Certificate:
    """`start` and `end` are POSIX seconds. `algorithm` is that of the key, in DER without its outer head.

    `critical` are the object identifiers of its critical extensions, in DER without their heads.
    """

    start: float
    end: float
    algorithm: bytes
    public_key: bytes
    is_version_3: bool
    critical: frozenset[bytes]


def read_certificate(der: bytes) -> Certificate:
    """Read one certificate.

    Raises:
        ValueError: it is not written as RFC 5280 has it.
    """
    (_, outer), *_ = elements(der)
    (_, signed), *_ = elements(outer)
    fields = elements(signed)
    tagged = dict(fields)
    _, _, _, validity, _, key, *_ = [contents for tag, contents in fields if tag != _VERSION]
    (start, end), ((_, algorithm), (_, public_key)) = elements(validity), elements(key)
    return Certificate(
        _seconds(*start),
        _seconds(*end),
        algorithm,
        public_key[1:],
        tagged.get(_VERSION) == _VERSION_3,
        frozenset(_critical(tagged.get(_EXTENSIONS, b""))),
    )


def read_rsa(public_key: bytes) -> tuple[int, int]:
    """Modulus and exponent of an RSA key (RFC 8017, A.1.1).

    Raises:
        ValueError: it is none.
    """
    ((_, numbers),) = elements(public_key)
    (_, modulus), (_, exponent) = elements(numbers)
    return int.from_bytes(modulus), int.from_bytes(exponent)


def elements(der: bytes) -> list[tuple[int, bytes]]:
    """Tag and contents of each element (X.690, 8.1.3).

    Raises:
        ValueError: one is cut short, or has no definite length.
    """
    found, at = [], 0
    while at < len(der):
        tag, length, at = der[at], int.from_bytes(der[at + 1 : at + 2]), at + 2
        if length >= 0x80:  # the length of the length
            size = length & 0x7F
            length, at = int.from_bytes(der[at : at + size]), at + size
            if not size:
                raise ValueError("no definite length")
        if at + length > len(der):
            raise ValueError("cut short")
        found.append((tag, der[at : at + length]))
        at += length
    return found


def _critical(extensions: bytes) -> Iterator[bytes]:
    for _, listed in elements(extensions):
        for _, extension in elements(listed):
            (_, identifier), *more = elements(extension)
            if _TRUE in more:
                yield identifier


def _seconds(tag: int, text: bytes) -> float:
    """A time in POSIX seconds; of a year with two digits, those from 50 are of the century before."""
    digits = text.decode("ascii")
    if tag == _UTC_TIME:
        digits = ("19" if digits >= "50" else "20") + digits
    return datetime.strptime(f"{digits}+0000", "%Y%m%d%H%M%SZ%z").timestamp()
