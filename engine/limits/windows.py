"""Calendar days, weeks and months in a time zone, as POSIX seconds."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from engine.plan.limits import Budget, Period


def window(per: Period, zone: ZoneInfo, now: float) -> tuple[int, int]:
    """The first second of the window that holds `now`, and the first second after it."""
    today = datetime.fromtimestamp(now, zone).date()
    first, after = today, today + timedelta(days=1)
    if per is Period.WEEK:
        first = today - timedelta(days=today.weekday())
        after = first + timedelta(days=7)
    elif per is Period.MONTH:
        first = today.replace(day=1)
        after = (first + timedelta(days=31)).replace(day=1)
    start, end = (
        int(datetime(d.year, d.month, d.day, tzinfo=zone).timestamp()) for d in (first, after)
    )
    return start, end


class Windows:
    """The present windows; each is computed once, and again when the clock has left it."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, int]] = {}

    def of(self, budget: Budget, now: float) -> tuple[int, int]:
        """The window of `budget` that holds `now`."""
        found = self._found.get(budget.calendar)
        if found is None or not found[0] <= now < found[1]:
            made = window(budget.per, ZoneInfo(budget.zone), now)
            found = self._found[budget.calendar] = made
        return found
