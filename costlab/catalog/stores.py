"""Prices of managed key-value stores as dated rows."""

import math
import tomllib
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

from costlab._internal import checks
from costlab.catalog.dated import newest_rows, parse_day
from costlab.catalog.prices import KINDS, SNAPSHOTS
from costlab.errors import InvalidValueError, PriceNotFoundError
from costlab.units import BYTES_PER_GB, BYTES_PER_GIB, HOURS_PER_MONTH

__all__ = ["STORE_UNITS", "StorePrice", "current_store_prices", "stale_store_prices", "store_price", "store_prices"]

#: What a store's price buys: a GB for an hour, a GB for a month, or a node for an hour, used or not.
STORE_UNITS: Final = ("gb_hour", "gb_month", "node_hour")


@dataclass(frozen=True, slots=True, kw_only=True)
class StorePrice:
    """The price of keeping data in a managed store, with what stands behind it.

    Attributes
    ----------
    snapshot : {'lesson', 'list'}
        The table the row belongs to.
    name : str
        What is bought: ``elasticache-serverless-valkey``, ``cache.r7g.large-redis`` ...
    usd : float
        The price as it was read, in USD.
    per : {'gb_hour', 'gb_month', 'node_hour'}
        What `usd` buys.
    usd_per_million_kb : float
        Price of moving a million kB in or out by simple commands, in USD; 0 where requests cost nothing extra.
    minimum_gb : float
        Amount that is billed at least, in GB.
    node_gib : float
        Memory of a node in GiB, for ``node_hour``.
    reserved_fraction : float
        Share of a node's memory that is kept free of data.
    provider, region, checked, kind, source_url, note
        As in :class:`costlab.catalog.GpuPrice`.
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
        checks.one_of("snapshot", self.snapshot, SNAPSHOTS)
        checks.one_of("unit", self.per, STORE_UNITS)
        checks.one_of("kind", self.kind, KINDS)
        checks.positive("usd", self.usd)
        checks.non_negative("usd_per_million_kb", self.usd_per_million_kb)
        checks.non_negative("minimum_gb", self.minimum_gb)
        checks.fraction("reserved_fraction", self.reserved_fraction, one=False)
        if (self.per == "node_hour") != (checks.non_negative("node_gib", self.node_gib) > 0):
            raise InvalidValueError("node_gib", "given for a price per node and for no other", self.node_gib)
        if not self.name or not self.provider or not self.region:
            raise InvalidValueError("name, provider and region", "given", (self.name, self.provider, self.region))
        if self.kind in ("list_price", "literature") and not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", f"an https address for kind {self.kind!r}", self.source_url)
        if self.kind in ("estimate", "lesson") and not self.note:
            raise InvalidValueError("note", f"given for kind {self.kind!r}", self.note)

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
def _rows() -> tuple[StorePrice, ...]:
    text = (files("costlab.catalog") / "store_prices.toml").read_text(encoding="utf-8")
    return tuple(StorePrice(**row) for row in tomllib.loads(text)["price"])


def store_prices() -> tuple[StorePrice, ...]:
    """Every row of the catalogue, superseded ones too, in the order in which they were added."""
    return _rows()


def current_store_prices(as_of: date | str | None = None) -> tuple[StorePrice, ...]:
    """The newest row of every store, as the catalogue stood at the end of the day `as_of`.

    Parameters
    ----------
    as_of : datetime.date or ISO date string, optional
        Leave out rows checked after this day. By default none is left out.
    """
    return newest_rows(_rows(), parse_day("as_of", as_of))


def stale_store_prices(days: int, today: date) -> tuple[StorePrice, ...]:
    """The current prices that were checked more than `days` days before `today`, oldest first.

    As in :func:`costlab.catalog.stale_gpu_prices`, the lesson's own row is left out.

    Parameters
    ----------
    days : int
        Age in days that is still accepted.
    today : datetime.date
        The day to count from.
    """
    checks.integer("days", days)
    rows = [p for p in current_store_prices() if p.snapshot == "list" and (today - p.checked).days > days]
    return tuple(sorted(rows, key=lambda price: (price.checked, price.name)))


def store_price(name: str, as_of: date | str | None = None) -> StorePrice:
    """The price of the store called `name`.

    Parameters
    ----------
    name : str
        ``redis`` is the lesson's; the others carry the provider's own names.
    as_of : datetime.date or ISO date string, optional
        See the catalogue as it stood on that day.

    Raises
    ------
    UnknownNameError
        If no row has the name; the message suggests the nearest.
    PriceNotFoundError
        If every row of that name is later than `as_of`.

    Examples
    --------
    By what factor is ElastiCache Serverless dearer than the lesson's 10 cents per GB and month?

    >>> lesson, aws = store_price("redis"), store_price("elasticache-serverless-redis")
    >>> round(aws.usd_per_gb_hour / lesson.usd_per_gb_hour, 1)
    912.5
    """
    checks.one_of("store", name, dict.fromkeys(price.name for price in _rows()))
    for price in current_store_prices(as_of):
        if price.name == name:
            return price
    raise PriceNotFoundError(f"no price for {name!r} on or before {as_of}")
