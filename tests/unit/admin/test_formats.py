"""Numbers and times as the dashboard writes them."""

from engine.admin import formats
from tests.tables import each

NOW = 1_795_725_000.0  # 26 Nov 2026, 20:30 UTC


@each(
    ("value", "text"),
    [(0, "0"), (1204, "1,204"), (123_456, "123,456"), (1_200_000, "1.2M"), (123_456_789, "123M")],
)
def test_counts(value: float, text: str) -> None:
    assert formats.format_count(value) == text


@each(("ms", "text"), [(87.4, "87 ms"), (1400, "1.4 s"), (150_000, "2.5 min")])
def test_durations(ms: float, text: str) -> None:
    assert formats.duration(ms) == text


@each(
    ("part", "whole", "text"),
    [(0, 10, "0%"), (1, 10_000, "<0.1%"), (42, 1000, "4.2%"), (1, 2, "50%"), (0, 0, "–")],
)
def test_percent(part: float, whole: float, text: str) -> None:
    assert formats.percent(part, whole) == text


@each(
    ("gap", "text"),
    [(5, "just now"), (300, "5 min ago"), (-7200, "in 2 h"), (3 * 86400, "3 d ago")],
)
def test_how_long_ago(gap: float, text: str) -> None:
    assert formats.ago(NOW - gap, NOW) == text


def test_dates_are_of_utc() -> None:
    assert formats.ago(NOW - 40 * 86400, NOW) == "17 Oct 2026"
    assert formats.moment(NOW) == "26 Nov 2026, 20:30"
    assert formats.iso(NOW) == "2026-11-26T20:30:00Z"
    assert (formats.day(NOW), formats.hour(NOW)) == ("26 Nov", "26 Nov, 20:00")


@each(
    ("agent", "text"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (Windows NT 10.0) Chrome/150.0 Safari/537.36 Edg/150.0", "Edge on Windows"),
        ("curl/8.5", "curl/8.5"),
    ],
)  # fmt: skip
def test_what_a_browser_is_called(agent: str, text: str) -> None:
    assert formats.browser(agent) == text
