"""Prices of GPUs and of managed stores, as dated rows: a later one supersedes an earlier one."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache
from typing import Final, Protocol, TypeVar

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog.gpu_specs import gpu as gpu_spec
from costlab.errors import AmbiguousPriceError, InvalidValueError, PriceNotFoundError
from costlab.units import BYTES_PER_GB, BYTES_PER_GIB, HOURS_PER_MONTH

#: ``lesson``: the table of the lesson that the book tests. ``list``: published list prices, each with its source.
SNAPSHOTS: Final = ("lesson", "list")

#: Ways to buy an hour of a GPU.
PRICINGS: Final = ("on_demand", "spot", "reserved_1y", "reserved_3y")

#: Those of them that are paid for every hour of their term, used or not.
COMMITMENTS: Final = ("reserved_1y", "reserved_3y")

#: What a store's price buys: a GB for an hour, a GB for a month, or a node for an hour, used or not.
STORE_UNITS: Final = ("gb_hour", "gb_month", "node_hour")

#: What a row is based on: a published price, a paper, an estimate (with its reasoning), or the lesson's own claim.
KINDS: Final = ("list_price", "literature", "estimate", "lesson")

_KIND_WORDS: Final = dict(
    zip(KINDS, ("list price", "price in the literature", "estimate", "price of the source lesson"), strict=True)
)


class Dated(Protocol):
    """A row that a later one of its series may supersede."""

    @property
    def checked(self) -> date:
        """The day for which it holds."""

    @property
    def series(self) -> tuple[str, ...]:
        """What must be equal for two rows to be the same price at two dates."""


Row = TypeVar("Row", bound=Dated)


def newest_rows(rows: Iterable[Row], as_of: date | None) -> tuple[Row, ...]:
    """The newest row of every series at the end of a day, in the order in which the series begin."""
    newest: dict[tuple[str, ...], Row] = {}
    for row in rows:
        if as_of is not None and row.checked > as_of:
            continue
        if row.series not in newest or row.checked >= newest[row.series].checked:
            newest[row.series] = row
    return tuple(newest.values())


def _stale(rows: Iterable[Row], days: int, today: date) -> tuple[Row, ...]:
    checks.integer("days", days)
    return tuple(sorted((r for r in rows if (today - r.checked).days > days), key=lambda r: (r.checked, r.series)))


def parse_day(name: str, value: date | str | None) -> date | None:
    """`value` as a date, whether it is one, an ISO string, or None; `name` is the parameter that an error names."""
    if isinstance(value, datetime):
        return value.date()
    if value is None or isinstance(value, date):
        return value
    try:
        return date.fromisoformat(value)
    except (TypeError, ValueError):
        raise InvalidValueError(name, "a date such as 2026-01-31", value) from None


def _check_evidence(snapshot: str, kind: str, source_url: str, note: str) -> None:
    checks.one_of("snapshot", snapshot, SNAPSHOTS)
    checks.one_of("kind", kind, KINDS)
    if kind in ("list_price", "literature") and not source_url.startswith("https://"):
        raise InvalidValueError("source_url", f"an https address for kind {kind!r}", source_url)
    if kind in ("estimate", "lesson") and not note:
        raise InvalidValueError("note", f"given for kind {kind!r}", note)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPrice:
    """The price of one GPU for one hour, with its source.

    Attributes
    ----------
    snapshot, pricing, kind : str
        The table the row belongs to (`SNAPSHOTS`), how the hour is bought (`PRICINGS`), what the evidence is (`KINDS`).
    gpu : str
        Canonical name of the GPU, as :func:`costlab.catalog.gpu` knows it.
    usd_per_hour : float
        Price of one GPU for one hour in USD: the instance's price over its number of GPUs.
    provider, region, zone : str
        Who sells it and where, in the provider's own words (``aws``, ``us-east-1``); the availability zone where the
        price holds only there (spot), otherwise empty.
    checked : datetime.date
        The day for which the source gives the price.
    source_url, note : str
        The page that gives it, empty only for kinds ``estimate`` and ``lesson``, which then have a note; other remarks.
    instance : str
        The machine type that is really billed: it is sold whole. Given for every row of the snapshot ``list``.
    instance_gpus : int or None
        GPUs of that machine, the unit of sale; None where no machine is named, so that no one can tell.
    instance_usd_per_hour : float or None
        Price of that machine per hour in USD, where the row was derived from it.
    """

    snapshot: str
    gpu: str
    pricing: str
    usd_per_hour: float
    provider: str
    region: str
    checked: date
    kind: str
    source_url: str = ""
    note: str = ""
    zone: str = ""
    instance: str = ""
    instance_gpus: int | None = None
    instance_usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        _check_evidence(self.snapshot, self.kind, self.source_url, self.note)
        checks.one_of("pricing", self.pricing, PRICINGS)
        checks.positive("usd_per_hour", self.usd_per_hour)
        if self.instance_gpus is not None:
            checks.integer("instance_gpus", self.instance_gpus, at_least=1)
        if gpu_spec(self.gpu).name != self.gpu:
            raise InvalidValueError("gpu", f"the canonical name {gpu_spec(self.gpu).name!r}", self.gpu)
        if not self.provider or not self.region:
            raise InvalidValueError("provider and region", "given", (self.provider, self.region))
        if self.snapshot == "list" and not self.instance:
            raise InvalidValueError("instance", "given for a row of snapshot 'list'", self.instance)
        if bool(self.instance) != (self.instance_gpus is not None):
            raise InvalidValueError("instance_gpus", "given with the instance, and only then", self.instance_gpus)

    @property
    def series(self) -> tuple[str, ...]:
        """What must be equal for two rows to be the same price at two dates; a size of machine has its own."""
        size = "" if self.instance_gpus is None else str(self.instance_gpus)
        return (self.snapshot, self.gpu, self.pricing, self.provider, self.region, self.zone, size)

    @property
    def machine_usd_per_hour(self) -> float | None:
        """Price of the machine that is really billed, per hour in USD; None where no machine is named."""
        if self.instance_gpus is None:
            return None
        read = self.instance_usd_per_hour
        return self.usd_per_hour * self.instance_gpus if read is None else read

    @property
    def evidence(self) -> str:
        """What kind of price it is and of which day, such as ``list price of 2026-09-06``."""
        return f"{_KIND_WORDS[self.kind]} of {self.checked}"

    @property
    def place(self) -> str:
        """Provider, region and zone in one word, such as ``aws/us-east-1/use1-az1``."""
        return "/".join(part for part in (self.provider, self.region, self.zone) if part)


@cache
def _gpu_rows() -> tuple[GpuPrice, ...]:
    return tuple(GpuPrice(**row) for row in shipped_rows("costlab.catalog", "gpu_prices.toml", "price"))


def gpu_prices(snapshot: str | None = None) -> tuple[GpuPrice, ...]:
    """Every row of the catalogue or of one table, superseded ones too, in the order in which they were added.

    Examples
    --------
    How many GPUs has the lesson's table?

    >>> len({price.gpu for price in gpu_prices("lesson")})
    6
    """
    if snapshot is None:
        return _gpu_rows()
    checks.one_of("snapshot", snapshot, SNAPSHOTS)
    return tuple(price for price in _gpu_rows() if price.snapshot == snapshot)


def current_gpu_prices(snapshot: str | None = None, as_of: date | str | None = None) -> tuple[GpuPrice, ...]:
    """The newest row of every price, of one table or of both, as the catalogue was at the end of the day `as_of`.

    Rows checked after that day, a date or its ISO string, are left out.
    """
    return newest_rows(gpu_prices(snapshot), parse_day("as_of", as_of))


@cache
def _index() -> dict[tuple[str, str, str], tuple[GpuPrice, ...]]:
    index: dict[tuple[str, str, str], tuple[GpuPrice, ...]] = {}
    for price in _gpu_rows():
        key = (price.snapshot, price.gpu, price.pricing)
        index[key] = (*index.get(key, ()), price)
    return index


def gpu_price(
    name: str,
    pricing: str = "on_demand",
    snapshot: str = "lesson",
    provider: str | None = None,
    region: str | None = None,
    as_of: date | str | None = None,
    zone: str | None = None,
    instance: str | None = None,
) -> GpuPrice:
    """The price of one GPU-hour: the one row that fits.

    A GPU that is sold in machines of several sizes has a row for each. Without `instance` it is the one that is
    cheapest per GPU, and of equal ones the largest; :func:`gpu_machines` has them all.

    Parameters
    ----------
    name : str
        Name or alias of the GPU.
    pricing : {'on_demand', 'spot', 'reserved_1y', 'reserved_3y'}
        How the hour is bought.
    snapshot : {'lesson', 'list'}
        The lesson's table, or published list prices.
    provider, region, zone : str, optional
        Needed as far as several rows fit without them.
    as_of : datetime.date or ISO date string, optional
        See the catalogue as it was on that day.
    instance : str, optional
        Of machines in several sizes, this one.

    Raises
    ------
    UnknownNameError
        If the GPU, the pricing or the snapshot is unknown; the message suggests the nearest.
    PriceNotFoundError
        If no row fits; the message says what there is for this GPU, and which other snapshot has the row.
    AmbiguousPriceError
        If several places fit: which provider's price you pay is not ours to choose.

    Examples
    --------
    What does the lesson say that an A10G costs per hour?

    >>> gpu_price("A10G", "on_demand").usd_per_hour
    1.01

    And what does AWS ask for an H100, when the whole machine of eight is rented?

    >>> price = gpu_price("H100", "on_demand", snapshot="list", provider="aws")
    >>> price.usd_per_hour, price.instance
    (6.88, 'p5.48xlarge')
    """
    sizes = gpu_machines(name, pricing, snapshot, provider, region, as_of, zone)
    if instance is not None:
        checks.one_of("instance", instance, [price.instance for price in sizes])
        return next(price for price in sizes if price.instance == instance)
    return min(reversed(sizes), key=lambda price: price.usd_per_hour)


def gpu_machines(
    name: str,
    pricing: str = "on_demand",
    snapshot: str = "lesson",
    provider: str | None = None,
    region: str | None = None,
    as_of: date | str | None = None,
    zone: str | None = None,
) -> tuple[GpuPrice, ...]:
    """The machines in which one place sells a GPU, a row for each size, the smallest first.

    Parameters
    ----------
    name, pricing, snapshot, provider, region, as_of, zone
        As for :func:`gpu_price`.

    Raises
    ------
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        As :func:`gpu_price`.

    Examples
    --------
    In which numbers does AWS sell the A10G, and the A100?

    >>> [row.instance_gpus for row in gpu_machines("A10G", snapshot="list", provider="aws")]
    [1, 4, 8]
    >>> [row.instance_gpus for row in gpu_machines("A100 40GB", snapshot="list", provider="aws")]
    [8]
    """
    canonical = gpu_spec(name).name
    checks.one_of("pricing", pricing, PRICINGS)
    checks.one_of("snapshot", snapshot, SNAPSHOTS)
    day = parse_day("as_of", as_of)

    def fitting(snapshot: str) -> list[GpuPrice]:
        return [
            price
            for price in newest_rows(_index().get((snapshot, canonical, pricing), ()), day)
            if provider in (None, price.provider) and region in (None, price.region) and zone in (None, price.zone)
        ]

    found = fitting(snapshot)
    if len(found) == 1 or (found and len({price.place for price in found}) == 1):
        return tuple(sorted(found, key=lambda price: price.instance_gpus or 1))
    asked = {"snapshot": snapshot, "provider": provider, "region": region, "zone": zone, "as_of": day and str(day)}
    query = ", ".join([repr(canonical), repr(pricing), *(f"{k}={v!r}" for k, v in asked.items() if v is not None)])
    if found:
        cheapest: dict[str, float] = {}
        for price in found:
            cheapest[price.place] = min(price.usd_per_hour, cheapest.get(price.place, math.inf))
        places = _some(f"{place} at {usd:g}" for place, usd in cheapest.items())
        missing = "provider" if len({price.provider for price in found}) > 1 else "region or zone"
        raise AmbiguousPriceError(f"{len(cheapest)} prices fit ({query}): {places}; name the {missing}")
    same_gpu = [p for p in newest_rows(_gpu_rows(), day) if p.gpu == canonical and p.snapshot == snapshot]
    offers = dict.fromkeys(f"{p.pricing} from {p.place}" for p in same_gpu)
    there_is = _some(offers) or f"nothing for {canonical} in this snapshot"
    elsewhere = "".join(f"; snapshot {other!r} has it" for other in SNAPSHOTS if other != snapshot and fitting(other))
    raise PriceNotFoundError(f"no price for ({query}); there is {there_is}{elsewhere}")


def stale_gpu_prices(days: int, today: date) -> tuple[GpuPrice, ...]:
    """The current prices that were checked more than `days` days before `today`, oldest first.

    The lesson's own table is left out: it quotes a text, and a text does not go stale. Today is a parameter, so that
    the answer does not depend on when it is asked.
    """
    return _stale(current_gpu_prices("list"), days, today)


def _some(texts: Iterable[str], limit: int = 6) -> str:
    found = list(texts)
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return ", ".join(found[:limit] + more)


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePrice:
    """The price of keeping data in a managed store, with its source.

    Attributes
    ----------
    name : str
        What is bought: ``elasticache-serverless-valkey``, ``cache.r7g.large-redis`` ...
    usd, per
        The price as it was read, in USD, and what it buys (`STORE_UNITS`).
    usd_per_million_kb : float
        Price of moving a million kB in or out by simple commands, in USD; 0 where requests cost nothing extra.
    minimum_gb : float
        Amount that is billed at least, in GB.
    node_gib, reserved_fraction : float
        For ``node_hour``: memory of a node in GiB, and the share of it that is kept free of data.
    snapshot, provider, region, checked, kind, source_url, note
        As in :class:`GpuPrice`.
    """

    snapshot: str
    name: str
    usd: float
    per: str
    usd_per_million_kb: float
    provider: str
    region: str
    checked: date
    kind: str
    source_url: str = ""
    note: str = ""
    minimum_gb: float = 0.0
    node_gib: float = 0.0
    reserved_fraction: float = 0.0

    def __post_init__(self) -> None:
        _check_evidence(self.snapshot, self.kind, self.source_url, self.note)
        checks.one_of("unit", self.per, STORE_UNITS)
        checks.positive("usd", self.usd)
        checks.non_negative("usd_per_million_kb", self.usd_per_million_kb)
        checks.non_negative("minimum_gb", self.minimum_gb)
        checks.fraction("reserved_fraction", self.reserved_fraction, one=False)
        if (self.per == "node_hour") != (checks.non_negative("node_gib", self.node_gib) > 0):
            raise InvalidValueError("node_gib", "given for a price per node and for no other", self.node_gib)
        if not self.name or not self.provider or not self.region:
            raise InvalidValueError("name, provider and region", "given", (self.name, self.provider, self.region))

    @property
    def evidence(self) -> str:
        """What kind of price it is and of which day, such as ``list price of 2026-09-06``."""
        return f"{_KIND_WORDS[self.kind]} of {self.checked}"

    @property
    def node_gb(self) -> float:
        """GB of data that fit into a node; 0 where no nodes are bought."""
        return self.node_gib * BYTES_PER_GIB / BYTES_PER_GB * (1.0 - self.reserved_fraction)

    @property
    def series(self) -> tuple[str, ...]:
        """What must be equal for two rows to be the same price at two dates."""
        return (self.name,)

    @property
    def usd_per_gb_hour(self) -> float:
        """Price of a GB for an hour in USD; of a node, when it is full. A month has 730 hours."""
        if self.per == "gb_month":
            return self.usd / HOURS_PER_MONTH
        return self.usd / self.node_gb if self.per == "node_hour" else self.usd

    def billed_gb(self, gb: float) -> float:
        """GB that are paid when `gb` are kept: the minimum at least, whole nodes where nodes are bought."""
        checks.non_negative("gb", gb)
        if self.per == "node_hour":
            # A product of sizes that fills its nodes exactly must not buy one more for a rounding error.
            return max(1, math.ceil(gb / self.node_gb - 1e-9)) * self.node_gb
        return max(self.minimum_gb, gb)

    def usd_per_hour(self, gb: float) -> float:
        """Price of keeping `gb` GB for an hour, in USD.

        Examples
        --------
        What do 10 GB cost a month, as the lesson says and on ElastiCache Serverless?

        >>> round(store_price("redis").usd_per_hour(10) * 730, 2)
        1.0
        >>> round(store_price("elasticache-serverless-redis").usd_per_hour(10) * 730, 2)
        912.5
        """
        return self.billed_gb(gb) * self.usd_per_gb_hour

    def usd_per_transfer(self, size_bytes: float) -> float:
        """Price of a simple command that moves `size_bytes` bytes, in USD; a kB is billed at least."""
        return max(1.0, checks.non_negative("size_bytes", size_bytes) / 1000) * self.usd_per_million_kb / 1e6


@cache
def store_prices() -> tuple[StorePrice, ...]:
    """Every row of the catalogue, superseded ones too, in the order in which they were added."""
    return tuple(StorePrice(**row) for row in shipped_rows("costlab.catalog", "store_prices.toml", "price"))


def current_store_prices(as_of: date | str | None = None) -> tuple[StorePrice, ...]:
    """The newest row of every store, as the catalogue was at the end of the day `as_of`, a date or its ISO string."""
    return newest_rows(store_prices(), parse_day("as_of", as_of))


def stale_store_prices(days: int, today: date) -> tuple[StorePrice, ...]:
    """The current prices that were checked more than `days` days before `today`, as :func:`stale_gpu_prices`."""
    return _stale((price for price in current_store_prices() if price.snapshot == "list"), days, today)


def store_price(name: str, as_of: date | str | None = None) -> StorePrice:
    """The price of the store called `name`: ``redis`` is the lesson's, the others carry the provider's own names.

    Raises
    ------
    UnknownNameError
        If no row has the name; the message suggests the nearest.
    PriceNotFoundError
        If every row of that name is later than `as_of`.

    Examples
    --------
    By what factor is ElastiCache Serverless more expensive than the lesson's 10 cents per GB and month?

    >>> lesson, aws = store_price("redis"), store_price("elasticache-serverless-redis")
    >>> round(aws.usd_per_gb_hour / lesson.usd_per_gb_hour, 1)
    912.5
    """
    checks.one_of("store", name, dict.fromkeys(price.name for price in store_prices()))
    for price in current_store_prices(as_of):
        if price.name == name:
            return price
    raise PriceNotFoundError(f"no price for {name!r} on or before {as_of}")
