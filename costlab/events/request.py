"""One request as it was served: the row of the ledger and the source of every metric."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from operator import attrgetter
from types import NoneType
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

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

#: How the provider served the request, and what it asks for that: at once, with others within a day, when it had room,
#: before the others.
ServedAs = Literal["standard", "batch", "flex", "priority"]
SERVICE_TIERS: Final[tuple[ServedAs, ...]] = get_args(ServedAs)

#: Each total, and the parts of it that together can be no more.
PARTS: Final = (
    ("input_tokens", ("cached_input_tokens", "cache_write_tokens")),
    ("cache_write_tokens", ("cache_write_1h_tokens",)),
    ("input_tokens", ("audio_input_tokens", "image_input_tokens")),
    ("audio_input_tokens", ("cached_audio_input_tokens",)),
    ("cached_input_tokens", ("cached_audio_input_tokens",)),
    ("output_tokens", ("reasoning_tokens",)),
    ("output_tokens", ("audio_output_tokens", "image_output_tokens")),
)

#: The greatest count that SQLite, Parquet, JSON and a float hold exactly.
MAX_COUNT: Final = 2**53 - 1
#: Times from here on, of the year 10000, are milliseconds, say, that were taken for seconds.
YEAR_10000_S: Final = 253_402_300_800

_NONE: Final = 0

#: What a field of an event may hold.
Value = str | int | float | None


def _absent(value: Value) -> dict[str, Value]:
    """Marks a field that an event must have and a log may lack: what is then assumed of every request."""
    return {"absent": value}


class _Marked:
    """Has room for a mark beside the fields of the event."""

    __slots__ = ("_is_usual",)


@dataclass(frozen=True, slots=True, kw_only=True, init=False)
class RequestEvent(_Marked):
    """One request as it was served.

    Parameters
    ----------
    request_id : str
        Names the request, not empty; a ledger takes each once.
    time_s : float
        When it ended, in seconds since 1970-01-01 UTC, >= 0 and before the year 10000: milliseconds are refused.
    tier : str
        Name of the tier that answered, not empty; the last one tried when none did.
    model : str
        Name of the model, not empty, as in the catalogue where it has a price there.
    input_tokens : int
        All tokens of the request, >= 0: those that were read from the provider's prompt cache, those that were written
        to it, and those of audio and images included.
    cached_input_tokens : int
        Tokens of the request that were read from the prompt cache, 0 to `input_tokens`: a part of them, never added.
    output_tokens : int
        All tokens of the answer, >= 0: those of reasoning, audio and images included.
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
    provider : str
        Who served it, as the catalogue calls it (``openai``, ``azure``, ``aws``) or as the log does; empty where no one
        says.
    cache_write_tokens : int
        Tokens of the request that were written to the prompt cache, for whatever time: a part of `input_tokens` beside
        the cached ones.
    cache_write_1h_tokens : int
        Those of `cache_write_tokens` that were written for an hour: a part of them.
    audio_input_tokens, image_input_tokens : int
        Tokens of the request that are audio, or images: parts of `input_tokens`.
    cached_audio_input_tokens : int
        Audio tokens that were read from the prompt cache: a part of `cached_input_tokens` and of `audio_input_tokens`.
    reasoning_tokens : int
        Tokens of the answer that the model thought and did not say: a part of `output_tokens`.
    audio_output_tokens, image_output_tokens : int
        Tokens of the answer that are audio, or images: parts of `output_tokens`.
    searches : int
        Searches that the provider made for the answer and bills beside its tokens, >= 0.
    service_tier : {'standard', 'batch', 'flex', 'priority'}
        How the provider served it, which may be less than was asked for.
    request_fee_micro_usd : int or None
        The fee for the request beside its tokens where the provider told it, >= 0: a part of `cost_micro_usd`, or of
        the price to be made where there is none. None is the fee of the catalogue.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, parts are more than their whole, or a name is empty. Or if no store could
        hold it: a text that UTF-8 cannot hold, a count or an amount above 2**53 - 1.
    UnknownNameError
        If outcome, priority or service tier is none of those above.

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
    # What ledgers and files of costlab 1.0 lack. A new field comes last: so SQLite adds it to a table.
    provider: str = ""
    service_tier: ServedAs = "standard"
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_input_tokens: int = 0
    image_input_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    searches: int = 0
    request_fee_micro_usd: int | None = None

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Value:
            # Asked for where a slot is empty: most requests have none of the rarer kinds, and are made without them.
            if name in _RARE:
                return _RARE[name]
            if name == "_is_usual":  # of a copy that was made without the constructor
                return False
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

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
        provider: str = "",
        service_tier: ServedAs = "standard",
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        audio_input_tokens: int = 0,
        cached_audio_input_tokens: int = 0,
        image_input_tokens: int = 0,
        reasoning_tokens: int = 0,
        audio_output_tokens: int = 0,
        image_output_tokens: int = 0,
        searches: int = 0,
        request_fee_micro_usd: int | None = None,
    ) -> None:
        # An event is made for every request. The constructor of a frozen dataclass looks every field up by name; with
        # it the cascade answers a hit in 6.0 us instead of 5.2, where benchmarks/router.py wants 5. For the same reason
        # what is plainly right is passed in one expression, and what hardly any request has is not set.
        (
            set_id, set_time, set_tier, set_model, set_input, set_cached, set_output, set_cost, set_latency,
            set_outcome, set_tenant, set_value, set_priority, set_provider, set_served_as, set_usual,
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
        set_provider(self, provider)
        set_served_as(self, service_tier)
        rare = not (
            cache_write_tokens
            is cache_write_1h_tokens
            is audio_input_tokens
            is cached_audio_input_tokens
            is image_input_tokens
            is reasoning_tokens
            is audio_output_tokens
            is image_output_tokens
            is searches
            is _NONE
            and request_fee_micro_usd is None
        )
        set_usual(self, not rare)
        cost, value = cost_micro_usd, conversion_value_micro_usd
        if not (
            type(input_tokens) is type(cached_input_tokens) is type(output_tokens) is int
            and 0 <= cached_input_tokens <= input_tokens <= MAX_COUNT
            and 0 <= output_tokens <= MAX_COUNT
            and (cost is None or (type(cost) is int and 0 <= cost <= MAX_MICRO_USD))
            and (value is None or (type(value) is int and 0 <= value <= MAX_MICRO_USD))
            and type(time_s) is type(latency_s) is float
            and 0.0 <= time_s < YEAR_10000_S
            and 0.0 <= latency_s < math.inf
            and outcome in OUTCOMES
            and priority in PRIORITIES
            and type(request_id) is type(tier) is type(model) is type(tenant) is str
            and request_id
            and tier
            and model
            and type(provider) is str
            and service_tier in SERVICE_TIERS
            and (
                (
                    request_id.isascii()
                    and tier.isascii()
                    and model.isascii()
                    and tenant.isascii()
                    and provider.isascii()
                )
                or checks.utf8(request_id + tier + model + tenant + provider)
            )
        ):
            if rare:
                self._set_rare(locals())
            self._check()
        elif rare:
            self._set_rare(locals())
            fee = request_fee_micro_usd
            if not (
                type(cache_write_tokens)
                is type(cache_write_1h_tokens)
                is type(audio_input_tokens)
                is type(cached_audio_input_tokens)
                is type(image_input_tokens)
                is type(reasoning_tokens)
                is type(audio_output_tokens)
                is type(image_output_tokens)
                is type(searches)
                is int
                and 0 <= cache_write_1h_tokens <= cache_write_tokens <= input_tokens - cached_input_tokens
                and 0 <= cached_audio_input_tokens <= audio_input_tokens <= input_tokens - image_input_tokens
                and cached_audio_input_tokens <= cached_input_tokens
                and image_input_tokens >= 0
                and 0 <= reasoning_tokens <= output_tokens
                and 0 <= audio_output_tokens <= output_tokens - image_output_tokens
                and image_output_tokens >= 0
                and 0 <= searches <= MAX_COUNT
                and (fee is None or (type(fee) is int and 0 <= fee <= MAX_MICRO_USD))
            ):
                self._check()

    def _set_rare(self, values: Mapping[str, Any]) -> None:
        for name, set_value in _RARE_SLOTS:
            set_value(self, values[name])

    def _check(self) -> None:
        """Raise what is wrong; numbers of other types that are as good are taken in the field's own type."""
        for name, column in COLUMNS.items():
            value = getattr(self, name)
            if column.type is str:
                needed = column.required or name == "request_id"
                if not isinstance(value, str) or (needed and not value):
                    raise InvalidValueError(name, "a text that is not empty" if needed else "a text", value)
                if not checks.utf8(value):
                    raise InvalidValueError(name, "a text that UTF-8 can hold, without halves of surrogates", value)
            elif column.type is float:
                object.__setattr__(self, name, checks.non_negative(name, value))
                if name == "time_s" and self.time_s >= YEAR_10000_S:
                    raise InvalidValueError(name, "seconds since 1970, before the year 10000", value)
            elif value is not None or not column.nullable:
                most = MAX_MICRO_USD if name.endswith("_micro_usd") else MAX_COUNT
                object.__setattr__(self, name, checks.integer(name, value, at_most=most))
        for whole, parts in PARTS:
            most, counts = getattr(self, whole), {part: getattr(self, part) for part in parts}
            if sum(counts.values()) > most:
                names = " and ".join(part for part, count in counts.items() if count)
                requirement = f"at most {whole} ({most}), of which they are a part"
                raise InvalidValueError(names, requirement, sum(counts.values()))
        checks.one_of("outcome", self.outcome, OUTCOMES)
        checks.one_of("priority", self.priority, PRIORITIES)
        checks.one_of("service_tier", self.service_tier, SERVICE_TIERS)

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
        row = self.as_short_row()
        return row + RARE_DEFAULTS if len(row) < len(COLUMNS) else row

    def as_short_row(self) -> tuple[Value, ...]:
        """As :meth:`as_row`, without the last fields where all of them are `RARE_DEFAULTS`, as of most requests."""
        return _USUAL_VALUES(self) if self._is_usual else _ALL_VALUES(self)  # type: ignore[attr-defined]


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
_NAMES: Final = list(COLUMNS)
_USUAL, _RARER = _NAMES[: _NAMES.index("cache_write_tokens")], _NAMES[_NAMES.index("cache_write_tokens") :]
_SLOTS: Final = tuple(getattr(RequestEvent, name).__set__ for name in (*_USUAL, "_is_usual"))
_USUAL_VALUES: Final = attrgetter(*_USUAL)
_ALL_VALUES: Final = attrgetter(*_NAMES)
#: The fields that hardly any request has, with the values that stand for that.
_RARE: Final = {name: COLUMNS[name].default for name in _RARER}
_RARE_SLOTS: Final = [(name, getattr(RequestEvent, name).__set__) for name in _RARER]
RARE_DEFAULTS: Final = tuple(_RARE.values())


def arrow_schema() -> "pyarrow.Schema":
    """The columns as ``pyarrow`` has them; raises `MissingExtraError` where that is not installed."""
    with extra("usage"):
        import pyarrow
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    return pyarrow.schema(
        [pyarrow.field(name, types[column.type], nullable=column.nullable) for name, column in COLUMNS.items()]
    )
