"""What guard and stores say to each other, and what a store writes down."""

from dataclasses import dataclass
from typing import Literal, NamedTuple

from costlab.events.request import Priority
from costlab.monitoring.budget.limits import Level
from costlab.units import MICRO_USD_PER_USD

__all__ = ["Answer", "Ask", "AuditEntry", "BudgetStatus", "Change", "Close", "Held", "Outcome", "Restart"]

Outcome = Literal["admitted", "refused", "settled", "late", "cancelled", "known", "reset", "running"]

#: A day or month was begun; a limit was reached; a request was refused by a limit; everything was stopped; a person
#: went on; the store lost its records.
Change = Literal["opened", "reached", "refusing", "stopped", "reset", "lost"]


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change of a budget's state, as it stands in the audit trail.

    Attributes
    ----------
    time_s : float
        When, in seconds since 1970-01-01 UTC, by the clock of the guard that caused it.
    change : {'opened', 'reached', 'refusing', 'stopped', 'reset', 'lost'}
        What changed. ``reached`` and ``refusing`` are written once a limit in its day or month.
    limit_name : str
        The limit, where it is about one.
    period : str
        The day or month, as ``2026-03-29`` or ``2026-03``.
    limit_micro_usd, spent_micro_usd, reserved_micro_usd : int
        The limit, what was spent and what was reserved in the period, in micro-dollars.
    requested_micro_usd : int
        The amount that caused the change, in micro-dollars: of a request, of a settlement, or added by a person.
    person, reason : str
        Who ended a stop, and why.
    """

    time_s: float
    change: Change
    limit_name: str = ""
    period: str = ""
    limit_micro_usd: int = 0
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    requested_micro_usd: int = 0
    person: str = ""
    reason: str = ""

    def __str__(self) -> str:
        amounts = f"{_dollars(self.spent_micro_usd)} spent"
        if self.reserved_micro_usd:
            amounts += f", {_dollars(self.reserved_micro_usd)} reserved"
        limit = f"{self.limit_name.replace('_', ' ')} limit of {_dollars(self.limit_micro_usd)}"
        return {
            "opened": f"{self.period} begins",
            "reached": f"{limit} reached in {self.period}: {amounts}",
            "refusing": f"{limit} refuses work in {self.period}: {amounts}",
            "stopped": f"emergency stop: {self.limit_name.replace('_', ' ')} in {self.period}: {amounts}",
            "reset": f"emergency stop ended by {self.person}: {self.reason}",
            "lost": "the store lost its records of what was spent",
        }[self.change]


class Ask(NamedTuple):
    """May this be spent? Amounts in micro-dollars, times in seconds since 1970-01-01 UTC."""

    token: str
    amount_micro_usd: int
    priority: Priority
    now_s: float
    day: str
    month: str
    expires_s: float


class Close(NamedTuple):
    """So much was spent. Amounts in micro-dollars, times in seconds since 1970-01-01 UTC.

    Attributes
    ----------
    actual_micro_usd : int or None
        What was spent; None for a reservation that is given up.
    day, month : str
        Those of the reservation: its spend belongs there, whenever it is settled.
    amount_micro_usd : int
        What was reserved.
    again : bool
        Whether it may have been said before.
    unbooked : bool
        Whether the request ran without a reservation, because the store could not be reached.
    """

    token: str
    actual_micro_usd: int | None
    now_s: float
    day: str
    month: str
    amount_micro_usd: int
    again: bool = False
    unbooked: bool = False


class Restart(NamedTuple):
    """A person ends the emergency stop, and may raise the emergency limits of this day and month."""

    person: str
    reason: str
    extra_micro_usd: int
    now_s: float
    day: str
    month: str


class Answer(NamedTuple):
    """What the store says.

    Attributes
    ----------
    outcome : str
        ``admitted`` or ``refused``; ``settled``, ``late`` (after its reservation expired), ``cancelled`` or ``known``
        (said before); ``reset`` or ``running`` (there was no stop).
    entries : tuple of AuditEntry
        What was added to the audit trail.
    limit_name : str
        What refused.
    limit_micro_usd, spent_micro_usd, reserved_micro_usd : int
        That limit, and what is spent and reserved in its day or month.
    stopped : bool
        Whether the emergency stop refused.
    """

    outcome: Outcome
    entries: tuple[AuditEntry, ...] = ()
    limit_name: str = ""
    limit_micro_usd: int = 0
    spent_micro_usd: int = 0
    reserved_micro_usd: int = 0
    stopped: bool = False


class Held(NamedTuple):
    """A reservation as the store holds it; one that expired is kept for a while, for a late settlement."""

    amount_micro_usd: int
    day: str
    month: str
    expires_s: float
    lapsed: bool = False


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a budget stands, in micro-dollars.

    Attributes
    ----------
    level : {'normal', 'soft', 'hard', 'stopped'}
        What runs: everything; no batch work; only essential work; nothing.
    day, month : str
        The day and month that are counted now.
    day_spent_micro_usd, day_reserved_micro_usd, month_spent_micro_usd, month_reserved_micro_usd : int
        What was settled in them, and what is reserved.
    day_lapsed_micro_usd, month_lapsed_micro_usd : int
        Reservations of theirs that expired.
    stopped_by : str
        The limit at which the emergency stop was made, or ``lost_records``; empty while there is none.
    """

    level: Level
    day: str
    month: str
    day_spent_micro_usd: int
    day_reserved_micro_usd: int
    month_spent_micro_usd: int
    month_reserved_micro_usd: int
    day_lapsed_micro_usd: int
    month_lapsed_micro_usd: int
    stopped_by: str

    @property
    def day_spent_usd(self) -> float:
        """What was spent today, in USD."""
        return self.day_spent_micro_usd / MICRO_USD_PER_USD

    @property
    def month_spent_usd(self) -> float:
        """What was spent this month, in USD."""
        return self.month_spent_micro_usd / MICRO_USD_PER_USD


def _dollars(micro_usd: int) -> str:
    """As people read it; to the micro-dollar where cents would hide something."""
    return f"{micro_usd / MICRO_USD_PER_USD:,.{2 if micro_usd % 10_000 == 0 else 6}f} USD"
