"""What a budget allows, as arithmetic on whole micro-dollars, and which day and month it is where it is kept."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from costlab.errors import UnknownNameError
from costlab.events.request import Priority

Level = Literal["normal", "soft", "hard", "stopped"]


@dataclass(frozen=True, slots=True)
class Limit:
    """One amount that a day or a month may not pass.

    Attributes
    ----------
    name : str
        ``daily_soft``, ``daily_hard``, ``daily_emergency``, ``monthly_soft``, ``monthly`` or ``monthly_emergency``.
    monthly : bool
        Whether it counts the month; otherwise the day.
    micro_usd : int
        The amount in micro-dollars.
    stops : bool
        Whether reaching it stops everything until a person says otherwise.
    """

    name: str
    monthly: bool
    micro_usd: int
    stops: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """All limits of a policy.

    Attributes
    ----------
    daily, monthly : tuple of Limit
        By what they count, the lowest first: these are watched, and reaching one is told once.
    by_priority : mapping of str to (Limit, Limit)
        The daily and the monthly limit that a request of this priority has to fit under.
    hard : (Limit, Limit)
        The daily and the monthly limit above which only essential work runs.
    stops_when_lost : bool
        Whether a store that lost its records stops the budget.
    """

    daily: tuple[Limit, ...]
    monthly: tuple[Limit, ...]
    by_priority: Mapping[Priority, tuple[Limit, Limit]]
    hard: tuple[Limit, Limit]
    stops_when_lost: bool

    def named(self, name: str) -> Limit | None:
        """The limit of this name, or None."""
        return next((limit for limit in (*self.daily, *self.monthly) if limit.name == name), None)


@dataclass(slots=True)
class Account:
    """What a day or a month holds, in micro-dollars.

    Attributes
    ----------
    spent_micro_usd, reserved_micro_usd : int
        What was spent, and what is admitted but not settled yet.
    extra_micro_usd : int
        By how much a person raised its emergency limit when ending a stop.
    presumed_micro_usd : int
        The part of what was spent that is the estimate of calls whose reservation expired: their processes died, or
        took too long.
    marks : set of str
        What was told already.
    """

    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    extra_micro_usd: int = 0
    presumed_micro_usd: int = 0
    marks: set[str] = field(default_factory=set)

    def cap(self, limit: Limit) -> int:
        """The amount of `limit` for this day or month, in micro-dollars."""
        return limit.micro_usd + self.extra_micro_usd if limit.stops else limit.micro_usd

    def presume(self, micro_usd: int) -> None:
        """A reservation expired: take its amount for spent."""
        self.reserved_micro_usd -= micro_usd
        self.spent_micro_usd += micro_usd
        self.presumed_micro_usd += micro_usd

    def take_back(self, micro_usd: int, lapsed: bool) -> None:
        """A reservation is closed, or goes on after it lapsed: it holds its amount no longer."""
        if lapsed:
            self.spent_micro_usd -= micro_usd
            self.presumed_micro_usd -= micro_usd
        else:
            self.reserved_micro_usd -= micro_usd


class Decision(NamedTuple):
    """The limit that a request does not fit under, or None where it fits, and whether this stops the budget."""

    limit: Limit | None
    trips: bool


FITS = Decision(None, False)


def decide(limits: Limits, priority: Priority, amount_micro_usd: int, day: Account, month: Account) -> Decision:
    r"""Whether a request fits under the limits for its priority.

    With :math:`s` spent and :math:`r` reserved it is admitted when, for the day and for the month,

    .. math:: s + r + a \le L_\text{priority}

    where the limit is the soft one for batch work, the hard one for standard work and the emergency one for essential.
    A budget that is stopped is not asked.

    Parameters
    ----------
    limits : Limits
        Of the policy.
    priority : {'batch', 'standard', 'essential'}
        Of the request.
    amount_micro_usd : int
        What it is estimated to cost, in micro-dollars, >= 0.
    day, month : Account
        What was spent and reserved before it.

    Returns
    -------
    Decision
        An essential request that no longer fits trips the emergency stop, unless spend is still within the hard limit:
        then it is its estimate that is too large, and it alone is refused.

    Examples
    --------
    5 of 10 dollars are left for standard work and nothing for batch work. Who may spend a dollar?

    >>> from costlab.monitoring.budget import BudgetPolicy
    >>> limits = BudgetPolicy(daily_soft_usd=5, daily_hard_usd=10, monthly_usd=100).limits
    >>> used = Account(spent_micro_usd=4_000_000, reserved_micro_usd=1_000_000)
    >>> [(name, decide(limits, name, 1_000_000, used, used).limit is None) for name in limits.by_priority]
    [('batch', False), ('standard', True), ('essential', True)]
    """
    daily, monthly = limits.by_priority[priority]
    day_used = day.spent_micro_usd + day.reserved_micro_usd
    if day_used + amount_micro_usd > (daily.micro_usd + day.extra_micro_usd if daily.stops else daily.micro_usd):
        return Decision(daily, daily.stops and day_used >= limits.hard[0].micro_usd)
    used = month.spent_micro_usd + month.reserved_micro_usd
    if used + amount_micro_usd > (monthly.micro_usd + month.extra_micro_usd if monthly.stops else monthly.micro_usd):
        return Decision(monthly, monthly.stops and used >= limits.hard[1].micro_usd)
    return FITS


def level(limits: Limits, day: Account, month: Account, stopped: bool) -> Level:
    """How far the budget is used: what runs now."""
    if stopped:
        return "stopped"
    used = [account.spent_micro_usd + account.reserved_micro_usd for account in (day, month)]
    if any(amount >= limit.micro_usd for amount, limit in zip(used, limits.hard, strict=True)):
        return "hard"
    if any(amount >= limit.micro_usd for amount, limit in zip(used, limits.by_priority["batch"], strict=True)):
        return "soft"
    return "normal"


class Periods(NamedTuple):
    """Names of a day and of its month: ``2026-03-29`` and ``2026-03``."""

    day: str
    month: str


def time_zone(name: str) -> tzinfo:
    """The time zone of this name in the IANA database; an :class:`UnknownNameError` suggests the nearest."""
    if name == "UTC":
        return UTC  # needs no database, which Windows lacks
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, LookupError, TypeError):
        raise UnknownNameError("time zone", name, ("UTC", *sorted(available_timezones()))) from None


class Calendar:
    """Days and months of a time zone of the IANA database.

    A day ends at midnight there, after 23 or 25 hours when clocks are changed.

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
