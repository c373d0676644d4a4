"""Numbers and times as people read them; each a pure function, and a filter of the templates."""

from datetime import UTC, datetime

from engine.plan.prices import MILLION, NANO

_BROWSERS = (("Edg/", "Edge"), ("OPR/", "Opera"), ("Firefox/", "Firefox"), ("Chrome/", "Chrome"), ("Safari/", "Safari"))  # fmt: skip
_SYSTEMS = (("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"), ("Linux", "Linux"))  # fmt: skip
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"))


def format_count(value: float) -> str:
    """123,456; from a million on 1.2M."""
    for size, unit in ((1e9, "B"), (1e6, "M")):
        if value >= size:
            scaled = value / size
            return f"{scaled:.0f}{unit}" if scaled >= 100 else f"{scaled:.1f}{unit}"
    return f"{value:,.0f}" if value == round(value) else f"{value:,.1f}"


def usd(nano_usd: int) -> str:
    """`$1,234.50`; below a dollar up to six decimals, `<$0.000001` below them."""
    if nano_usd >= NANO:
        return f"${nano_usd / NANO:,.2f}"
    if 0 < nano_usd < NANO // MILLION:
        return "<$0.000001"
    text = f"{nano_usd / NANO:.6f}".rstrip("0")
    return f"${text:0<4}"


def duration(ms: float) -> str:
    """`87 ms`, `1.4 s`, `2.5 min`."""
    if ms < 1000:
        return f"{ms:.0f} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    return f"{ms / 60_000:.1f} min"


def percent(part: float, whole: float) -> str:
    """`0%`, `<0.1%`, `4.2%`; a dash where there is nothing to divide by."""
    if not whole:
        return "–"
    value = 100 * part / whole
    if 0 < value < 0.1:
        return "<0.1%"
    return f"{value:.1f}%" if 0 < value < 10 else f"{value:.0f}%"


def moment(time: float) -> str:
    """`24 Nov 2026, 14:02` in UTC."""
    at = datetime.fromtimestamp(time, UTC)
    return f"{at.day} {at:%b %Y, %H:%M}"


def iso(time: float) -> str:
    """`2026-11-24T14:02:00Z`."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def day(time: float) -> str:
    """`24 Nov`, in UTC."""
    at = datetime.fromtimestamp(time, UTC)
    return f"{at.day} {at:%b}"


def hour(time: float) -> str:
    """`24 Nov, 14:00`, in UTC."""
    at = datetime.fromtimestamp(time, UTC)
    return f"{at.day} {at:%b}, {at:%H}:00"


def ago(time: float, now: float) -> str:
    """`just now`, `5 min ago`, `in 3 d`; beyond 30 days the date."""
    gap = abs(now - time)
    if gap < 60:
        return "just now"
    if gap > 30 * 86400:
        at = datetime.fromtimestamp(time, UTC)
        return f"{at.day} {at:%b %Y}"
    size, unit = next(each for each in _UNITS if gap >= each[0])
    return f"{gap // size:.0f} {unit} ago" if time <= now else f"in {gap // size:.0f} {unit}"


def browser(agent: str) -> str:
    """`Firefox on Linux`, from what a browser calls itself; that, if it is no known one."""
    name, system = (
        next((word for start, word in table if start in agent), "")
        for table in (_BROWSERS, _SYSTEMS)
    )
    return f"{name} on {system}" if name and system else agent
