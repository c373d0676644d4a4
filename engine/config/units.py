"""Durations, sizes, shares and dates as they are written in the files."""

from datetime import UTC, datetime

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_BYTES = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3, "B": 1}


def parse_duration(text: str) -> float:
    """`"1.5m"` as seconds. The text has passed the schema."""
    unit = text.lstrip("0123456789.")
    return float(text.removesuffix(unit)) * _SECONDS[unit]


def parse_share(text: str) -> float:
    """`"20%"` as 0.2. The text has passed the schema."""
    return float(text.removesuffix("%")) / 100


def parse_size(text: str) -> int:
    """`"32MiB"` as bytes. The text has passed the schema."""
    unit = text.lstrip("0123456789")
    return int(text.removesuffix(unit)) * _BYTES[unit]


def parse_expiry(text: str) -> float | None:
    """A date (its first second, UTC) or an RFC 3339 time as POSIX time; None when it is neither."""
    try:
        moment = datetime.fromisoformat(text.upper())  # 3.11 knows `T` and `Z` in capitals only
    except ValueError:
        return None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
