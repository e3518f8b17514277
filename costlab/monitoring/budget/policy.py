"""What may be spent, and what happens above it."""

from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from costlab._internal import checks
from costlab.errors import BudgetFileError, CostlabError, InvalidValueError
from costlab.events import Priority, micro_usd
from costlab.monitoring.budget.limits import Limit, Limits, time_zone


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetPolicy:
    r"""What may be spent in a day and in a month.

    =========================================== ======================== ==================================
    spent + reserved                            runs                     told
    =========================================== ======================== ==================================
    below the soft limit                        everything
    above `daily_soft_usd`, `monthly_soft_usd`  standard and essential   once a day, once a month
    above `daily_hard_usd`, `monthly_usd`       essential                once a day, once a month
    at `emergency_fraction` times those         nothing                  until a person resets it, with a reason
    =========================================== ======================== ==================================

    Parameters
    ----------
    daily_soft_usd, daily_hard_usd : float
        Daily amounts in USD up to which batch work (>= 0) and standard work (> 0, >= the soft one) run.
    monthly_usd : float
        Up to which standard work runs in a calendar month, >= `daily_hard_usd`.
    monthly_soft_usd : float, optional
        Up to which batch work does; by default `monthly_usd`.
    emergency_fraction : float
        The stop, as a multiple of `daily_hard_usd` and of `monthly_usd`, >= 1.
    timezone : str
        Where days and months begin at midnight; a name of the IANA database.
    on_store_failure : {'refuse', 'allow'}
        What a guard does that cannot reach its store: run nothing, or run everything unguarded.
    reservation_ttl_s : float
        Seconds after which a reservation expires that was neither settled nor released, > 0: longer than calls take
        that do not extend it. From then on its estimate counts as spent, until someone says what the call has cost.

    Raises
    ------
    InvalidValueError
        If an amount is outside its domain or the limits are not in order.
    UnknownNameError
        If the time zone or `on_store_failure` is unknown.

    Examples
    --------
    The source lesson's budget: at which daily and monthly amount does everything stop?

    >>> policy = BudgetPolicy(daily_soft_usd=4000, daily_hard_usd=5000, monthly_usd=120_000)
    >>> [limit.micro_usd // 10**6 for limit in (*policy.limits.daily, *policy.limits.monthly) if limit.stops]
    [7500, 180000]
    """

    daily_soft_usd: float
    daily_hard_usd: float
    monthly_usd: float
    monthly_soft_usd: float | None = None
    emergency_fraction: float = 1.5
    timezone: str = "UTC"
    on_store_failure: Literal["refuse", "allow"] = "refuse"
    reservation_ttl_s: float = 600.0
    #: The same as whole micro-dollars, which is what is decided on.
    limits: Limits = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checks.non_negative("daily_soft_usd", self.daily_soft_usd)
        checks.positive("daily_hard_usd", self.daily_hard_usd)
        checks.positive("monthly_usd", self.monthly_usd)
        checks.positive("reservation_ttl_s", self.reservation_ttl_s)
        if checks.finite("emergency_fraction", self.emergency_fraction, "a number >= 1") < 1.0:
            raise InvalidValueError("emergency_fraction", "a number >= 1", self.emergency_fraction)
        self._in_order("daily_soft_usd", "daily_hard_usd")
        self._in_order("daily_hard_usd", "monthly_usd")
        if self.monthly_soft_usd is not None:
            checks.non_negative("monthly_soft_usd", self.monthly_soft_usd)
            self._in_order("monthly_soft_usd", "monthly_usd")
        checks.one_of("on_store_failure", self.on_store_failure, ("refuse", "allow"))
        time_zone(self.timezone)
        object.__setattr__(self, "limits", self._limits())

    @classmethod
    def from_toml(cls, path: str | Path) -> "BudgetPolicy":
        """The policy in a TOML file, as of :func:`parse_policy`; an ``OSError`` where it cannot be read."""
        from costlab._internal.toml_tables import read_text

        path = Path(path)
        return parse_policy(read_text(path, BudgetFileError), path.name)

    def _in_order(self, less: str, more: str) -> None:
        if getattr(self, less) > getattr(self, more):
            raise InvalidValueError(less, f"at most {more} ({getattr(self, more):g})", getattr(self, less))

    def _limits(self) -> Limits:
        def limit(name: str, usd: float, stops: bool = False) -> Limit:
            return Limit(name, name.startswith("monthly"), micro_usd(name, usd), stops)

        soft, hard = limit("daily_soft", self.daily_soft_usd), limit("daily_hard", self.daily_hard_usd)
        emergency = limit("daily_emergency", self.daily_hard_usd * self.emergency_fraction, True)
        month_hard = limit("monthly", self.monthly_usd)
        month_emergency = limit("monthly_emergency", self.monthly_usd * self.emergency_fraction, True)
        monthly: tuple[Limit, ...] = (month_hard, month_emergency)
        if self.monthly_soft_usd is not None:
            monthly = (limit("monthly_soft", self.monthly_soft_usd), *monthly)
        by_priority: dict[Priority, tuple[Limit, Limit]] = {
            "batch": (soft, monthly[0]), "standard": (hard, month_hard), "essential": (emergency, month_emergency),
        }  # fmt: skip
        stops_when_lost = self.on_store_failure == "refuse"
        return Limits((soft, hard, emergency), monthly, by_priority, (hard, month_hard), stops_when_lost)


def parse_policy(text: str, name: str = "the policy") -> BudgetPolicy:
    r"""A policy from the text of a TOML file with a table ``[budget]``; error messages call it `name`.

    Its keys are the parameters of :class:`BudgetPolicy`. Other tables are other programs' business.

    Raises
    ------
    BudgetFileError
        If the text is no TOML in UTF-8, or a key is missing, unknown or has a value that it may not have.

    Examples
    --------
    What does a file say that gives the source lesson's budget?

    >>> text = "[budget]\ndaily_soft_usd = 4000\ndaily_hard_usd = 5000\nmonthly_usd = 120000\n"
    >>> parse_policy(text).daily_hard_usd
    5000.0
    """
    # Loaded where a file is read: everything else works with the standard library alone.
    from pydantic import ConfigDict, create_model

    from costlab._internal.toml_tables import parse_table

    keys: dict[str, Any] = {
        f.name: (f.type, ... if f.default is MISSING else f.default) for f in fields(BudgetPolicy) if f.init
    }
    # Strict: "4000" is a text and true is no number, also where Python would take them for one.
    table = create_model("PolicyTable", __config__=ConfigDict(extra="forbid", strict=True), **keys)
    file = create_model("PolicyFile", __config__=ConfigDict(strict=True), budget=(table, ...))
    read = parse_table(file, text, name, "a policy file", BudgetFileError, lambda _: keys)
    try:
        return BudgetPolicy(**dict(read)["budget"].model_dump())
    except CostlabError as error:
        raise BudgetFileError(f"{name}: budget.{error}") from error
