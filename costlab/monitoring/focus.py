"""The costs of a log as allocation rows of FOCUS, the FinOps Open Cost and Usage Specification, version 1.2."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab._internal.text import counted
from costlab._internal.toml_tables import Positive, parse_table, read_text
from costlab.errors import CostlabError, InvalidValueError, LogError
from costlab.monitoring.gpu_hours import GpuUsage, gpu_usage
from costlab.monitoring.usage import SPANS, LogFrame, UsageTotals, aggregate
from costlab.units import HOURS_PER_DAY, MICRO_USD_PER_USD, PICO_USD_PER_MICRO_USD

if TYPE_CHECKING:
    import pyarrow
    from narwhals.typing import IntoFrame

#: The version whose columns are written.
FOCUS_VERSION: Final = "1.2"

#: The kinds of values a column holds; amounts and quantities are decimals, times are UTC.
_TEXT: Final = (
    "BillingAccountId", "BillingAccountName", "BillingCurrency", "ChargeCategory", "ChargeClass", "ChargeDescription",
    "ChargeFrequency", "CommitmentDiscountCategory", "CommitmentDiscountId", "CommitmentDiscountName",
    "CommitmentDiscountStatus", "CommitmentDiscountType", "CommitmentDiscountUnit", "ConsumedUnit", "InvoiceId",
    "InvoiceIssuerName", "PricingCategory", "PricingUnit", "ProviderName", "PublisherName", "ResourceId",
    "ResourceName", "ResourceType", "ServiceCategory", "ServiceName", "ServiceSubcategory", "SkuId", "SkuMeter",
    "SkuPriceId", "SubAccountId", "SubAccountName", "Tags", "x_Model", "x_ServiceTier",
)  # fmt: skip
_TIMES: Final = ("BillingPeriodEnd", "BillingPeriodStart", "ChargePeriodEnd", "ChargePeriodStart")
_DECIMALS: Final = (
    "BilledCost", "CommitmentDiscountQuantity", "ConsumedQuantity", "ContractedCost", "EffectiveCost", "ListCost",
    "PricingQuantity",
)  # fmt: skip

#: Columns of our own, as the specification names those: counts that no column of its holds.
_COUNTS: Final = (
    "x_Requests", "x_InputTokens", "x_CachedInputTokens", "x_CacheWriteTokens", "x_OutputTokens", "x_ReasoningTokens",
    "x_Searches",
)  # fmt: skip

#: The columns in the order in which they are written.
FOCUS_COLUMNS: Final = tuple(sorted((*_TEXT, *_TIMES, *_DECIMALS), key=lambda name: (name[:2] == "x_", name))) + _COUNTS

#: Digits behind the point of amounts and quantities.
DECIMALS: Final = 9

#: What requests are gathered by: a row each.
BY: Final = ("day", "tenant", "provider", "model", "service_tier")


class CommitmentsFileError(CostlabError, ValueError):
    """A file of commitments that cannot be used; the message names the file, the key and what it should be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuCommitment:
    """GPUs that are paid for every hour, whether they run or not.

    Attributes
    ----------
    id, name : str
        As the provider calls it; the name may be empty.
    gpus : tuple of str
        Names in the log of GPU hours of those GPUs that run under it, at least one.
    count : int
        How many GPUs are paid for, >= 1.
    usd_per_hour : float
        What one of them costs an hour, in USD, > 0.
    """

    id: str
    gpus: tuple[str, ...]
    count: int
    usd_per_hour: float
    name: str = ""


class _CommitmentTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: Annotated[str, Field(min_length=1)]
    name: str = ""
    gpus: Annotated[list[str], Field(min_length=1)]
    count: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    usd_per_hour: Positive


class _CommitmentsFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    commitment: Annotated[list[_CommitmentTable], Field(min_length=1)]


def load_commitments(path: Path | str) -> tuple[GpuCommitment, ...]:
    """The commitments in a TOML file, a table ``[[commitment]]`` each.

    Raises
    ------
    CommitmentsFileError
        If the file is no TOML, a key is missing, unknown or out of its domain, or a GPU or an id is there twice.
    OSError
        If it cannot be read.
    """
    path = Path(path)
    text = read_text(path, CommitmentsFileError)

    def keys_beside(place: tuple[int | str, ...]) -> Sequence[str]:
        return list(_CommitmentTable.model_fields if len(place) > 1 else _CommitmentsFile.model_fields)

    found = parse_table(
        _CommitmentsFile, text, path.name, "a file of commitments", CommitmentsFileError, keys_beside
    ).commitment
    for what, names in (("id", [one.id for one in found]), ("GPU", [gpu for one in found for gpu in one.gpus])):
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise CommitmentsFileError(f"{path.name}: {what} {twice[0]!r} occurs twice")
    return tuple(
        GpuCommitment(
            id=one.id,
            name=one.name,
            gpus=tuple(one.gpus),
            count=len(one.gpus) if one.count is None else one.count,
            usd_per_hour=one.usd_per_hour,
        )
        for one in found
    )


def focus_table(
    frame: IntoFrame,
    gpu_hours: IntoFrame | None = None,
    commitments: Sequence[GpuCommitment] = (),
    *,
    billing_account: str = "costlab",
) -> pyarrow.Table:
    """The costs of a log as rows of FOCUS: who used what, and what it cost, day by day.

    Parameters
    ----------
    frame : data frame
        A log of requests with their costs, as for :func:`costlab.monitoring.aggregate`. A row is made for each day,
        tenant, provider, model and service tier. Requests without a known cost are in no row, since a cost that no one
        knows is not 0; credits are rows of their own.
    gpu_hours : data frame, optional
        A log of GPU hours, as for :func:`costlab.monitoring.gpu_usage`, whose bill comes on top of the requests' costs.
        A row is made for each day and GPU.
    commitments : sequence of GpuCommitment
        What is paid for every hour of the days from the first to the last row of `gpu_hours`. Each day has a row for
        the purchase, whose cost is billed, one for each GPU that used it, and one for the hours that no GPU used; their
        effective costs add up to what was billed. Hours beyond those committed have their own price.
    billing_account : str
        Id of the account that the costs are shown to, not empty.

    Returns
    -------
    pyarrow.Table
        The columns of ``FOCUS_COLUMNS``, amounts as decimals, times in UTC. The sum of `BilledCost` is the cost of the
        priced requests, credits subtracted, and the bill of the GPUs, commitments in full.

    Raises
    ------
    LogError
        If no request has a known cost, or as :func:`costlab.monitoring.aggregate` and `gpu_usage`.
    InvalidValueError
        If there are commitments and no GPU hours, a commitment names a GPU that the hours do not have, or
        `billing_account` is empty.

    Notes
    -----
    `ConsumedQuantity` and `PricingQuantity` of requests are tokens of input and output together; the columns ``x_…``
    tell the kinds. There are no unit prices, since a token's price depends on its kind. The tenant is the sub account,
    and a tag.

    References
    ----------
    FinOps Foundation (2025), FOCUS 1.2, https://focus.finops.org/focus-specification/v1-2/

    Examples
    --------
    Two teams asked a model. What is each billed?

    >>> import pandas
    >>> log = pandas.DataFrame({
    ...     "time_s": [0.0, 60.0, 90.0], "tier": "large", "model": "gpt-4o", "tenant": ["shop", "help", "shop"],
    ...     "input_tokens": 400, "output_tokens": 200, "cost_micro_usd": [3000, 1000, 500],
    ... })
    >>> rows = focus_table(log).to_pylist()
    >>> [(row["SubAccountName"], float(row["BilledCost"])) for row in rows]
    [('help', 0.001), ('shop', 0.0035)]
    """
    if not billing_account:
        raise InvalidValueError("billing_account", "a text that is not empty", billing_account)
    with extra("usage"):
        import pyarrow
    if commitments and gpu_hours is None:
        raise InvalidValueError("commitments", "given with a log of GPU hours", len(commitments))
    log = LogFrame("the log", frame, ["cost_micro_usd"])
    priced = aggregate(log.lazy.filter(~log.value("cost_micro_usd").is_null()).to_native(), by=BY)
    if not priced:
        raise LogError("no request of the log has a known cost, so there is nothing to allocate")
    account = {"BillingAccountId": billing_account, "BillingAccountName": billing_account, "BillingCurrency": "USD"}
    rows = [row for group in priced for row in _request_rows(group)]
    if gpu_hours is not None:
        rows += _gpu_rows(gpu_usage(gpu_hours, by=["day", "gpu"]), commitments)
    for row in rows:
        row |= account
    amount, moment = pyarrow.decimal128(38, DECIMALS), pyarrow.timestamp("s", tz="UTC")
    kinds = {
        **dict.fromkeys(_TEXT, pyarrow.string()),
        **dict.fromkeys(_TIMES, moment),
        **dict.fromkeys(_DECIMALS, amount),
        **dict.fromkeys(_COUNTS, pyarrow.int64()),
    }
    schema = pyarrow.schema([(name, kinds[name]) for name in FOCUS_COLUMNS])
    return pyarrow.Table.from_pylist(sorted(rows, key=lambda row: str(row["ChargePeriodStart"])), schema=schema)


def write_focus(table: pyarrow.Table, path: Path | str) -> None:
    """Write rows of :func:`focus_table` to a file, whole or not at all.

    Parameters
    ----------
    table : pyarrow.Table
        The rows.
    path : path
        A name that ends in ``.csv`` or ``.parquet``.

    Raises
    ------
    InvalidValueError
        If the name ends otherwise.
    """
    path = Path(path)
    writers: dict[str, Callable[[pyarrow.Table, Path], None]] = {".csv": _write_csv, ".parquet": _write_parquet}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise InvalidValueError("focus", f"a file that ends in {' or '.join(writers)}", path.name)
    with atomic_write(path) as file:
        writer(table, file)


def _write_parquet(table: pyarrow.Table, file: Path) -> None:
    from pyarrow import parquet

    parquet.write_table(table, file)


def _write_csv(table: pyarrow.Table, file: Path) -> None:
    import csv

    # pyarrow's own writer gives times as "2026-07-01 00:00:00Z"; the specification wants the T.
    with file.open("w", encoding="utf-8", newline="") as target:
        writer = csv.writer(target)
        writer.writerow(table.column_names)
        for batch in table.to_batches():
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                writer.writerow(map(_csv_text, row))


def _csv_text(value: object) -> object:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, Decimal):
        plain = f"{value.normalize():f}"
        return plain if "." in plain else f"{plain}.0"  # without a point a reader takes the column for whole numbers
    return value


def _period(day_s: int) -> dict[str, object]:
    """The columns of time of a charge of one day, which is billed by the calendar month."""
    start = datetime.fromtimestamp(day_s, UTC)
    month = start.replace(day=1)
    after = month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)
    return {
        "ChargePeriodStart": start,
        "ChargePeriodEnd": datetime.fromtimestamp(day_s + SPANS["day"], UTC),
        "BillingPeriodStart": month,
        "BillingPeriodEnd": after,
    }


def _costs(
    billed_usd: Decimal, effective_usd: Decimal | None = None, list_usd: Decimal | None = None
) -> dict[str, object]:
    return {
        "BilledCost": billed_usd,
        "EffectiveCost": billed_usd if effective_usd is None else effective_usd,
        "ContractedCost": billed_usd if list_usd is None else list_usd,
        "ListCost": billed_usd if list_usd is None else list_usd,
    }


def _usd(micro_usd: int, rest_pico_usd: int = 0) -> Decimal:
    exact = Decimal(micro_usd) + Decimal(rest_pico_usd) / PICO_USD_PER_MICRO_USD
    return round(exact / MICRO_USD_PER_USD, DECIMALS)


def _request_rows(group: UsageTotals) -> Iterator[dict[str, object]]:
    """The usage of a group, and its credits apart."""
    day_s, tenant, told, model, service_tier = group.key
    provider = told or "unknown"
    common: dict[str, object] = {
        **_period(day_s),
        "ProviderName": provider,
        "PublisherName": provider,
        "InvoiceIssuerName": provider,
        "ServiceCategory": "AI and Machine Learning",
        "ServiceSubcategory": "Generative AI",
        "ServiceName": "Model API",
        "SubAccountId": tenant or None,
        "SubAccountName": tenant or None,
        "Tags": json.dumps({"tenant": tenant}) if tenant else "{}",
        "x_Model": model,
        "x_ServiceTier": service_tier,
    }
    if group.requests:
        tokens = Decimal(group.input_tokens + group.output_tokens)
        yield common | {
            **_costs(_usd(group.cost_micro_usd + group.credit_micro_usd, group.cost_rest_pico_usd)),
            "ChargeCategory": "Usage",
            "ChargeDescription": f"{counted(group.requests, 'request')} to {model}",
            "ChargeFrequency": "Usage-Based",
            "PricingCategory": "Standard",
            "PricingQuantity": tokens,
            "PricingUnit": "Tokens",
            "ConsumedQuantity": tokens,
            "ConsumedUnit": "Tokens",
            "SkuId": f"{provider}/{model}",
            "SkuMeter": "Tokens",
            "SkuPriceId": f"{provider}/{model}/{service_tier}",
            "x_Requests": group.requests,
            "x_InputTokens": group.input_tokens,
            "x_CachedInputTokens": group.cached_input_tokens,
            "x_CacheWriteTokens": group.cache_write_tokens,
            "x_OutputTokens": group.output_tokens,
            "x_ReasoningTokens": group.reasoning_tokens,
            "x_Searches": group.searches,
        }
    if group.credits:
        yield common | {
            **_costs(_usd(-group.credit_micro_usd)),
            "ChargeCategory": "Credit",
            "ChargeDescription": f"{group.credits} credits for {model}",
            "ChargeFrequency": "One-Time",
        }


def _gpu_rows(groups: Sequence[GpuUsage], commitments: Sequence[GpuCommitment]) -> Iterator[dict[str, object]]:
    """GPU hours by day and GPU; those under a commitment beside its purchase and its unused rest."""
    known = {group.key[1] for group in groups}
    for commitment in commitments:
        strange = [name for name in commitment.gpus if name not in known]
        if strange:
            raise InvalidValueError(f"gpus of {commitment.id}", "names in the log of GPU hours", ", ".join(strange))
    committed = {gpu: commitment for commitment in commitments for gpu in commitment.gpus}
    days = range(groups[0].key[0], groups[-1].key[0] + SPANS["day"], SPANS["day"]) if groups else range(0)
    for day_s in days:
        left = {commitment.id: Decimal(commitment.count * HOURS_PER_DAY) for commitment in commitments}
        for commitment in commitments:
            yield _gpu_row(day_s, commitment.id, f"commitment to {commitment.count} GPUs") | {
                **_committed(commitment, left[commitment.id]),
                **_costs(left[commitment.id] * _rate(commitment), Decimal()),
                "ChargeCategory": "Purchase",
                "ChargeFrequency": "Recurring",
                "PricingCategory": "Standard",
                "PricingQuantity": left[commitment.id],
            }
        for group in groups:
            if group.key[0] != day_s:
                continue
            gpu, hours = group.key[1], Decimal(str(group.hours))
            row = _gpu_row(day_s, gpu, f"GPU {gpu}") | {"ChargeCategory": "Usage", "ChargeFrequency": "Usage-Based"}
            used = min(hours, left[committed[gpu].id]) if gpu in committed else Decimal()
            if used:
                left[committed[gpu].id] -= used
                yield (
                    row
                    | _committed(committed[gpu], used, "Used")
                    | _quantity(used)
                    | {
                        **_costs(Decimal(), used * _rate(committed[gpu]), used * _rate(committed[gpu])),
                        "PricingCategory": "Committed",
                    }
                )
            if hours > used:
                cost = _usd(group.cost_micro_usd) * (hours - used) / hours
                yield row | _quantity(hours - used) | {**_costs(cost), "PricingCategory": "Standard"}
        for commitment in commitments:
            rest = left[commitment.id]
            if rest:
                yield _gpu_row(day_s, commitment.id, "committed hours that no GPU used") | {
                    **_committed(commitment, rest, "Unused"),
                    **_costs(Decimal(), rest * _rate(commitment), rest * _rate(commitment)),
                    "ChargeCategory": "Usage",
                    "ChargeFrequency": "Usage-Based",
                    "PricingCategory": "Committed",
                    "PricingQuantity": rest,
                }


def _rate(commitment: GpuCommitment) -> Decimal:
    return Decimal(str(commitment.usd_per_hour))


def _quantity(hours: Decimal) -> dict[str, object]:
    return {"PricingQuantity": hours, "ConsumedQuantity": hours, "ConsumedUnit": "Hours"}


def _gpu_row(day_s: int, resource: str, description: str) -> dict[str, object]:
    return {
        **_period(day_s),
        "ChargeDescription": description,
        "ProviderName": "unknown",
        "PublisherName": "unknown",
        "InvoiceIssuerName": "unknown",
        "ServiceCategory": "Compute",
        "ServiceSubcategory": "Virtual Machines",
        "ServiceName": "GPU hours",
        "PricingUnit": "Hours",
        "ResourceId": resource,
        "ResourceName": resource,
        "ResourceType": "GPU",
        "SkuId": f"gpu/{resource}",
        "SkuMeter": "Hours",
        "SkuPriceId": f"gpu/{resource}/hour",
        "Tags": "{}",
    }


def _committed(commitment: GpuCommitment, hours: Decimal, status: str | None = None) -> dict[str, object]:
    return {
        "CommitmentDiscountId": commitment.id,
        "CommitmentDiscountName": commitment.name or commitment.id,
        "CommitmentDiscountCategory": "Usage",
        "CommitmentDiscountType": "Reserved GPUs",
        "CommitmentDiscountStatus": status,
        "CommitmentDiscountQuantity": hours,
        "CommitmentDiscountUnit": "Hours",
    }
