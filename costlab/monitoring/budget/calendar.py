"""Which day and month it is where the budget is kept."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from costlab.errors import UnknownNameError

__all__ = ["Calendar", "Periods", "time_zone"]


class Periods(NamedTuple):
    """Names of a day and of its month: ``2026-03-29`` and ``2026-03``."""

    day: str
    month: str


def time_zone(name: str) -> tzinfo:
    """The time zone of this name in the IANA database, as ``Europe/Berlin``.

    Raises
    ------
    UnknownNameError
        If there is none; the message suggests the nearest.
    """
    if name == "UTC":
        return UTC  # needs no database, which Windows lacks
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError, TypeError):
        raise UnknownNameError("time zone", name, ("UTC", *sorted(available_timezones()))) from None


class Calendar:
    """Days and months of one time zone. A day ends at midnight there, after 23 or 25 hours when clocks are changed.

    Parameters
    ----------
    timezone : str
        Name in the IANA database.

    Raises
    ------
    UnknownNameError
        If there is no such time zone.

    Examples
    --------
    At 22:30 in UTC, what day is it in Berlin in summer, and in winter?

    >>> berlin = Calendar("Europe/Berlin")
    >>> summer, winter = 1_782_858_600.0, 1_764_541_800.0
    >>> berlin.periods(summer).day, berlin.periods(winter).day
    ('2026-07-01', '2025-11-30')
    """

    def __init__(self, timezone: str) -> None:
        self._zone = time_zone(timezone)
        self._today: tuple[float, float, Periods] = (0.0, 0.0, Periods("", ""))

    def periods(self, now_s: float) -> Periods:
        """The day and the month at `now_s` seconds since 1970-01-01 UTC."""
        # One tuple, replaced as a whole, so that threads need no lock.
        start_s, end_s, periods = self._today
        if start_s <= now_s < end_s:
            return periods
        midnight = datetime.fromtimestamp(now_s, self._zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        day = midnight.date().isoformat()
        tomorrow = midnight + timedelta(days=1)  # by the wall clock: the offset may be another by then
        self._today = (midnight.timestamp(), tomorrow.timestamp(), Periods(day, day[:7]))
        return self._today[2]
