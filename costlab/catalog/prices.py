"""GPU prices as dated rows."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from typing import Final

from costlab._internal import checks
from costlab.catalog.dated import newest_rows, parse_day
from costlab.catalog.gpus import gpu as gpu_spec
from costlab.errors import AmbiguousPriceError, InvalidValueError, PriceNotFoundError

__all__ = [
    "KINDS",
    "PRICINGS",
    "SNAPSHOTS",
    "GpuPrice",
    "current_gpu_prices",
    "gpu_price",
    "gpu_prices",
    "stale_gpu_prices",
]

#: ``lesson``: the table of the lesson that the book tests. ``list``: published list prices, each with its source.
SNAPSHOTS: Final = ("lesson", "list")

#: Ways to buy an hour.
PRICINGS: Final = ("on_demand", "spot", "reserved_1y", "reserved_3y")

#: What stands behind a row: a published price, a paper, an estimate (with its reasoning), or the lesson's own claim.
KINDS: Final = ("list_price", "literature", "estimate", "lesson")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuPrice:
    """The price of one GPU for one hour, with what stands behind it.

    Attributes
    ----------
    snapshot : {'lesson', 'list'}
        The table the row belongs to.
    gpu : str
        Canonical name of the GPU, as :func:`costlab.catalog.gpu` knows it.
    pricing : {'on_demand', 'spot', 'reserved_1y', 'reserved_3y'}
        How the hour is bought.
    usd_per_hour : float
        Price of one GPU for one hour in USD: the instance's price over its number of GPUs.
    provider, region : str
        Who sells it and where, in the provider's own words (``aws``, ``us-east-1``).
    zone : str
        The availability zone where the price holds only there (spot), otherwise empty.
    checked : datetime.date
        The day for which the source gives the price.
    source_url : str
        Where it stands; empty only for kinds ``estimate`` and ``lesson``, which then have a note.
    kind : {'list_price', 'literature', 'estimate', 'lesson'}
        What kind of evidence it is.
    note : str
        What the reader of the price should know.
    instance : str
        The machine type that is really billed.
    instance_gpus : int
        Its number of GPUs.
    instance_usd_per_hour : float or None
        Its price, where the row was derived from one.
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
    instance_gpus: int = 1
    instance_usd_per_hour: float | None = None

    def __post_init__(self) -> None:
        checks.one_of("snapshot", self.snapshot, SNAPSHOTS)
        checks.one_of("pricing", self.pricing, PRICINGS)
        checks.one_of("kind", self.kind, KINDS)
        checks.positive("usd_per_hour", self.usd_per_hour)
        checks.integer("instance_gpus", self.instance_gpus, at_least=1)
        if gpu_spec(self.gpu).name != self.gpu:
            raise InvalidValueError("gpu", f"the canonical name {gpu_spec(self.gpu).name!r}", self.gpu)
        if not self.provider or not self.region:
            raise InvalidValueError("provider and region", "given", (self.provider, self.region))
        if self.kind in ("list_price", "literature") and not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", f"an https address for kind {self.kind!r}", self.source_url)
        if self.kind in ("estimate", "lesson") and not self.note:
            raise InvalidValueError("note", f"given for kind {self.kind!r}", self.note)

    @property
    def series(self) -> tuple[str, ...]:
        """What must be equal for two rows to be the same price at two dates."""
        return (self.snapshot, self.gpu, self.pricing, self.provider, self.region, self.zone)

    @property
    def place(self) -> str:
        """Provider, region and zone in one word, such as ``aws/us-east-1/use1-az1``."""
        return "/".join(part for part in (self.provider, self.region, self.zone) if part)


@cache
def _rows() -> tuple[GpuPrice, ...]:
    text = (files("costlab.catalog") / "gpu_prices.toml").read_text(encoding="utf-8")
    return tuple(GpuPrice(**row) for row in tomllib.loads(text)["price"])


def gpu_prices(snapshot: str | None = None) -> tuple[GpuPrice, ...]:
    """Every row of the catalogue, superseded ones too, in the order in which they were added.

    Parameters
    ----------
    snapshot : {'lesson', 'list'}, optional
        Only this table's rows.

    Examples
    --------
    How many GPUs has the lesson's table?

    >>> len({price.gpu for price in gpu_prices("lesson")})
    6
    """
    if snapshot is None:
        return _rows()
    checks.one_of("snapshot", snapshot, SNAPSHOTS)
    return tuple(price for price in _rows() if price.snapshot == snapshot)


def current_gpu_prices(snapshot: str | None = None, as_of: date | str | None = None) -> tuple[GpuPrice, ...]:
    """The newest row of every price, as the catalogue stood at the end of the day `as_of`.

    Parameters
    ----------
    snapshot : {'lesson', 'list'}, optional
        Only this table's rows.
    as_of : datetime.date or ISO date string, optional
        Leave out rows checked after this day. By default none is left out.

    Returns
    -------
    tuple of GpuPrice
    """
    return newest_rows(gpu_prices(snapshot), parse_day("as_of", as_of))


@cache
def _index() -> dict[tuple[str, str, str], tuple[GpuPrice, ...]]:
    index: dict[tuple[str, str, str], tuple[GpuPrice, ...]] = {}
    for price in _rows():
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
) -> GpuPrice:
    """The price of one GPU-hour: the one row that fits.

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
        See the catalogue as it stood on that day.

    Returns
    -------
    GpuPrice

    Raises
    ------
    UnknownNameError
        If the GPU, the pricing or the snapshot is unknown; the message suggests the nearest.
    PriceNotFoundError
        If no row fits; the message says what there is for this GPU.
    AmbiguousPriceError
        If several fit: which provider's price you pay is not ours to choose.

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
    canonical = gpu_spec(name).name
    checks.one_of("pricing", pricing, PRICINGS)
    checks.one_of("snapshot", snapshot, SNAPSHOTS)
    day = parse_day("as_of", as_of)
    rows = newest_rows(_index().get((snapshot, canonical, pricing), ()), day)
    found = [
        price
        for price in rows
        if provider in (None, price.provider) and region in (None, price.region) and zone in (None, price.zone)
    ]
    if len(found) == 1:
        return found[0]
    asked = {"snapshot": snapshot, "provider": provider, "region": region, "zone": zone, "as_of": day and str(day)}
    query = ", ".join([repr(canonical), repr(pricing), *(f"{k}={v!r}" for k, v in asked.items() if v is not None)])
    if found:
        places = _some(f"{price.place} at {price.usd_per_hour:g}" for price in found)
        missing = "provider" if len({price.provider for price in found}) > 1 else "region or zone"
        raise AmbiguousPriceError(f"{len(found)} prices fit ({query}): {places}; name the {missing}")
    same_gpu = [p for p in newest_rows(_rows(), day) if p.gpu == canonical and p.snapshot == snapshot]
    there_is = _some(f"{p.pricing} from {p.place}" for p in same_gpu) or f"nothing for {canonical} in this snapshot"
    raise PriceNotFoundError(f"no price for ({query}); there is {there_is}")


def stale_gpu_prices(days: int, today: date) -> tuple[GpuPrice, ...]:
    """The current prices that were checked more than `days` days before `today`, oldest first.

    The lesson's own table is left out: it quotes a text, and a text does not go stale.

    Parameters
    ----------
    days : int
        Age in days that is still accepted.
    today : datetime.date
        The day to count from. A parameter, so that the answer does not depend on when it is asked.
    """
    checks.integer("days", days)
    rows = [price for price in current_gpu_prices("list") if (today - price.checked).days > days]
    return tuple(sorted(rows, key=lambda price: (price.checked, price.series)))


def _some(texts: Iterable[str], limit: int = 6) -> str:
    found = list(texts)
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return ", ".join(found[:limit] + more)
