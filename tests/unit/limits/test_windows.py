"""Windows of budgets: by the calendar of a time zone, whatever its clocks do."""

from datetime import UTC, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from engine.limits.windows import Windows, window
from engine.plan.limits import Budget, Period
from tests.tables import each

# Clocks change at midnight in Cairo and Havana, so that a day begins at 1:00, or has its first hour twice.
ZONES = (
    "UTC",
    "Europe/Berlin",
    "Africa/Cairo",
    "America/Havana",
    "Pacific/Kiritimati",
    "Asia/Kathmandu",
)
START = datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()
LENGTHS = {Period.DAY: 25, Period.WEEK: 7 * 24 + 1, Period.MONTH: 31 * 24 + 1}  # hours at most


@each("zone", ZONES)
@each("per", Period)
def test_each_moment_of_a_year_is_in_one_window(zone: str, per: Period) -> None:
    """Its first second and its last one too, by a cache that has just had its neighbour."""
    windows, budget = Windows(), Budget(1, per, zone)
    spans = [windows.of(budget, START)]
    while spans[-1][1] < START + 366 * 24 * 3600:
        spans.append(windows.of(budget, spans[-1][1]))
        assert spans[-1] != spans[-2]
    for one, after in pairwise(spans):
        assert one[1] == after[0]
        assert windows.of(budget, after[0]) == after
        assert windows.of(budget, one[1] - 1) == one, "of a clock that was set back"
        assert 0 < one[1] - one[0] <= LENGTHS[per] * 3600
        for moment in (one[0], (one[0] + one[1]) // 2, one[1] - 1, one[1] - 0.001):
            assert window(per, ZoneInfo(zone), moment) == one
        first = datetime.fromtimestamp(one[0], ZoneInfo(zone))
        assert first.hour <= 1
        assert per is not Period.WEEK or first.weekday() == 0
        assert per is not Period.MONTH or first.day == 1


def test_budgets_of_several_zones_have_windows_of_their_own() -> None:
    windows = Windows()
    found = [windows.of(Budget(1, Period.DAY, zone), START) for zone in ZONES]
    assert found == [window(Period.DAY, ZoneInfo(zone), START) for zone in ZONES]
    assert len(set(found)) == len(ZONES)
