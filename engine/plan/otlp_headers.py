"""The headers for a collector, as a variable of OpenTelemetry gives them (OTLP exporter specification)."""

import re
from collections.abc import Mapping
from urllib.parse import unquote

HEADERS = "OTEL_EXPORTER_OTLP_HEADERS"
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"([!-~]([ \t!-~]*[!-~])?)?")
_OWN_HEADERS = frozenset(
    [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "te",
        "transfer-encoding",
        "upgrade",
    ]
)


def pairs_of(text: str) -> dict[str, str]:
    """The pairs in `name=value,name=value`, percent-decoded; what is no pair is left out."""
    parts = (part.partition("=") for part in text.split(","))
    return {
        name.strip(): unquote(value.strip()) for name, sign, value in parts if sign and name.strip()
    }


def headers_of(environ: Mapping[str, str]) -> dict[str, str]:
    """Headers for the collector, which may hold a secret; without those of `unusable_headers`."""
    pairs = pairs_of(environ.get(HEADERS, ""))
    return {name: value for name, value in pairs.items() if _is_usable(name, value)}


def unusable_headers(environ: Mapping[str, str]) -> list[str]:
    """What of the variable cannot be sent: the name of a header, or which part it is where that is no name."""
    found = []
    for number, part in enumerate(environ.get(HEADERS, "").split(","), 1):
        name, sign, value = (text.strip() for text in part.partition("="))
        if part.strip() and not (sign and _is_usable(name, unquote(value))):
            found.append(f"`{name}`" if sign and _TOKEN.fullmatch(name) else f"part {number}")
    return found


def _is_usable(name: str, value: str) -> bool:
    """Whether a header can be sent (RFC 9110, 5.5 and 5.6.2) and is not one that the export sets itself."""
    is_free = name.lower() not in _OWN_HEADERS
    return is_free and bool(_TOKEN.fullmatch(name) and _VALUE.fullmatch(value))
