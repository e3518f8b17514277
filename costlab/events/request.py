"""One request as it was served: the row of the ledger and the source of every metric."""

import math
from dataclasses import MISSING, Field, dataclass, field, fields
from types import NoneType
from typing import TYPE_CHECKING, Final, Literal, get_args, get_origin

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError
from costlab.events.rounding import MAX_MICRO_USD
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    import pyarrow

#: How a request ended. The set is closed because metrics have a time series for each: answered by a model, answered
#: from a cache, failed, gave up waiting, not admitted (budget, rate, overload), given up by the one who asked.
Outcome = Literal["ok", "cached", "error", "timeout", "refused", "cancelled"]
OUTCOMES: Final[tuple[Outcome, ...]] = get_args(Outcome)

#: Who goes first when money runs short: batch work is refused at the soft limit, standard at the hard one.
Priority = Literal["batch", "standard", "essential"]
PRIORITIES: Final[tuple[Priority, ...]] = get_args(Priority)

#: What a field of an event may hold.
Value = str | int | float | None


def _absent(value: Value) -> dict[str, Value]:
    """Marks a field that an event must have and a log may lack: what is then assumed of every request."""
    return {"absent": value}


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class RequestEvent:
    """One request as it was served.

    Parameters
    ----------
    request_id : str
        Names the request, not empty; a ledger takes each once.
    time_s : float
        When it ended, in seconds since 1970-01-01 UTC, >= 0.
    tier : str
        Name of the tier that answered, not empty; the last one tried when none did.
    model : str
        Name of the model, not empty, as in the catalogue where it has a price there.
    input_tokens : int
        Tokens of the request, >= 0, those that were read from the provider's prompt cache included.
    cached_input_tokens : int
        Tokens of the request that were read from the prompt cache, in 0..`input_tokens`: a part of them, never added.
    output_tokens : int
        Tokens of the answer, >= 0.
    cost_micro_usd : int or None
        What the request cost in micro-dollars, >= 0; None where no price is known, which is not the same as free.
    latency_s : float
        Seconds from request to answer, >= 0.
    outcome : {'ok', 'cached', 'error', 'timeout', 'refused', 'cancelled'}
        How it ended.
    tenant : str
        Who is shown the cost: a customer, a team, a product. Empty where there is one only.
    conversion_value_micro_usd : int or None
        What the request earned in micro-dollars, >= 0, where it led to a conversion; None where it did not.
    priority : {'batch', 'standard', 'essential'}
        As it was asked of the budget guard.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain or a name is empty.
    UnknownNameError
        If outcome or priority is none of those above.

    Examples
    --------
    How many tokens of a question of 1,200 are billed in full when 1,000 of them were in the prompt cache?

    >>> event = RequestEvent(
    ...     request_id="r-1", time_s=1_800_000_000.0, tier="small", model="gpt-4o-mini", input_tokens=1200,
    ...     cached_input_tokens=1000, output_tokens=80, cost_micro_usd=153, latency_s=0.4, outcome="ok",
    ... )
    >>> event.uncached_input_tokens, event.total_tokens, event.cost_usd
    (200, 1280, 0.000153)
    """

    request_id: str = field(metadata=_absent(None))
    time_s: float
    tier: str
    model: str
    input_tokens: int
    cached_input_tokens: int = 0
    output_tokens: int
    cost_micro_usd: int | None
    latency_s: float = field(metadata=_absent(None))
    outcome: Outcome = field(metadata=_absent("ok"))
    tenant: str = ""
    conversion_value_micro_usd: int | None = None
    priority: Priority = "standard"

    def __init__(
        self,
        *,
        request_id: str,
        time_s: float,
        tier: str,
        model: str,
        input_tokens: int,
        cached_input_tokens: int = 0,
        output_tokens: int,
        cost_micro_usd: int | None,
        latency_s: float,
        outcome: Outcome,
        tenant: str = "",
        conversion_value_micro_usd: int | None = None,
        priority: Priority = "standard",
    ) -> None:
        # An event is made for every request. The constructor of a frozen dataclass looks every field up by name; with
        # it the cascade answers a hit in 6.0 us instead of 5.2, where benchmarks/router.py wants 5. For the same reason
        # what is plainly right is passed in one expression.
        (
            set_id, set_time, set_tier, set_model, set_input, set_cached, set_output, set_cost, set_latency,
            set_outcome, set_tenant, set_value, set_priority,
        ) = _SLOTS  # fmt: skip
        set_id(self, request_id)
        set_time(self, time_s)
        set_tier(self, tier)
        set_model(self, model)
        set_input(self, input_tokens)
        set_cached(self, cached_input_tokens)
        set_output(self, output_tokens)
        set_cost(self, cost_micro_usd)
        set_latency(self, latency_s)
        set_outcome(self, outcome)
        set_tenant(self, tenant)
        set_value(self, conversion_value_micro_usd)
        set_priority(self, priority)
        cost, value = cost_micro_usd, conversion_value_micro_usd
        if not (
            type(input_tokens) is type(cached_input_tokens) is type(output_tokens) is int
            and 0 <= cached_input_tokens <= input_tokens
            and output_tokens >= 0
            and (cost is None or (type(cost) is int and 0 <= cost <= MAX_MICRO_USD))
            and (value is None or (type(value) is int and 0 <= value <= MAX_MICRO_USD))
            and type(time_s) is type(latency_s) is float
            and 0.0 <= time_s < math.inf
            and 0.0 <= latency_s < math.inf
            and outcome in OUTCOMES
            and priority in PRIORITIES
            and type(request_id) is type(tier) is type(model) is type(tenant) is str
            and request_id
            and tier
            and model
        ):
            self._check()

    def _check(self) -> None:
        """Raise what is wrong; numbers of other types that are as good are taken in the field's own type."""
        for name, column in COLUMNS.items():
            value = getattr(self, name)
            if column.type is str:
                if not isinstance(value, str) or (value == "" and name != "tenant"):
                    raise InvalidValueError(name, "a text" if name == "tenant" else "a text that is not empty", value)
            elif column.type is float:
                object.__setattr__(self, name, checks.non_negative(name, value))
            elif value is not None or not column.nullable:
                most = MAX_MICRO_USD if name.endswith("_micro_usd") else None
                object.__setattr__(self, name, checks.integer(name, value, at_most=most))
        if self.cached_input_tokens > self.input_tokens:
            requirement = f"at most input_tokens ({self.input_tokens}), of which they are a part"
            raise InvalidValueError("cached_input_tokens", requirement, self.cached_input_tokens)
        checks.one_of("outcome", self.outcome, OUTCOMES)
        checks.one_of("priority", self.priority, PRIORITIES)

    @property
    def cost_usd(self) -> float | None:
        """The cost in USD, or None where no price is known."""
        return None if self.cost_micro_usd is None else self.cost_micro_usd / MICRO_USD_PER_USD

    @property
    def uncached_input_tokens(self) -> int:
        """Tokens of the request that were billed in full."""
        return self.input_tokens - self.cached_input_tokens

    @property
    def total_tokens(self) -> int:
        """Tokens of request and answer; cached ones count once."""
        return self.input_tokens + self.output_tokens

    def as_row(self) -> tuple[Value, ...]:
        """The values in the order of `COLUMNS`."""
        return tuple(getattr(self, name) for name in COLUMNS)


@dataclass(frozen=True, slots=True)
class Column:
    """A field of :class:`RequestEvent` as ledger, Parquet files, data frames and the logs of others have it.

    Attributes
    ----------
    type : type
        `str`, `int` or `float`.
    nullable : bool
        Whether an event may have none.
    required : bool
        Whether no figure can do without it. A cost may be null where a request has no price, but the column is there: a
        log that lost it must not look like one without prices.
    default : str, int or None
        What is assumed of every request of a log that lacks the column.
    """

    type: type[str] | type[int] | type[float]
    nullable: bool
    required: bool
    default: Value

    @property
    def sql_type(self) -> str:
        """As SQLite has it."""
        return {str: "TEXT", int: "INTEGER", float: "REAL"}[self.type] + ("" if self.nullable else " NOT NULL")


def _column(source: Field[Value]) -> Column:
    kinds = [str] if get_origin(source.type) is Literal else list(get_args(source.type) or (source.type,))
    (kind,) = (kind for kind in kinds if kind is not NoneType)
    absent = source.metadata.get("absent", source.default)
    return Column(kind, NoneType in kinds, absent is MISSING, None if absent is MISSING else absent)


#: The one table of an event's fields, by name, from which every other list of columns follows.
COLUMNS: Final = {source.name: _column(source) for source in fields(RequestEvent)}
_SLOTS: Final = tuple(getattr(RequestEvent, name).__set__ for name in COLUMNS)


def arrow_schema() -> "pyarrow.Schema":
    """The columns as ``pyarrow`` has them; raises `MissingExtraError` where that is not installed."""
    with extra("usage"):
        import pyarrow
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    return pyarrow.schema(
        [pyarrow.field(name, types[column.type], nullable=column.nullable) for name, column in COLUMNS.items()]
    )
