"""Bills in the columns of FOCUS, the FinOps Open Cost and Usage Specification, as clouds and vendors export them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab._internal.text import counted
from costlab.errors import LogError
from costlab.monitoring.importers.conversion import NOTHING, Kind, duckdb_reason, select
from costlab.monitoring.importers.protocol import LogFormat, LogRows
from costlab.monitoring.usage import require_columns
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles

REQUIRED: Final[dict[str, Kind]] = {"BilledCost": "number", "ChargePeriodStart": "time", "ChargeCategory": "text"}

#: Since FOCUS 1.3 the provider is ServiceProviderName; columns with x_ are those that costlab writes.
OPTIONAL: Final[dict[str, Kind]] = {
    "EffectiveCost": "number",
    "BillingCurrency": "text",
    "ProviderName": "text",
    "ServiceProviderName": "text",
    "ServiceName": "text",
    "ServiceCategory": "text",
    "SkuMeter": "text",
    "ChargeDescription": "text",
    "ConsumedQuantity": "number",
    "ConsumedUnit": "text",
    "SubAccountId": "text",
    "SubAccountName": "text",
    "x_Model": "text",
    "x_ServiceTier": "text",
    "x_Requests": "count",
    "x_InputTokens": "count",
    "x_CachedInputTokens": "count",
    "x_CacheWriteTokens": "count",
    "x_OutputTokens": "count",
    "x_ReasoningTokens": "count",
    "x_Searches": "count",
}


def read_focus(files: LogFiles) -> LogRows:
    """The charges of a bill, each a row without requests unless the file counts them.

    Raises
    ------
    LogError
        If a column is missing, or amounts are not all in US dollars.

    Notes
    -----
    What was billed counts (`BilledCost`): usage, purchases, taxes and adjustments; negative charges are credits. Each
    charge is rounded to the nearest micro-dollar, so that the sum of many is not biased. The service is the tier, the
    model is in `x_Model` where costlab wrote the file, otherwise the meter or the service is taken for it. Tokens
    count where the consumed unit is tokens; of those a meter or a description with "output" or "completion" is output.
    """
    require_columns(files.name, files.column_names, tuple(REQUIRED))
    rows = files.table(REQUIRED | OPTIONAL)
    _require_dollars(files, rows)

    def text(name: str) -> str:
        # The specification's sample has the word NULL for nothing.
        return f"CASE WHEN {name} NOT IN {NOTHING} THEN {name} END"

    meter = f"coalesce({text('SkuMeter')}, '') || ' ' || coalesce({text('ChargeDescription')}, '')"
    scale = (
        f"CASE WHEN lower({text('ConsumedUnit')}) IN ('tokens', 'token') THEN 1 "
        f"WHEN lower({text('ConsumedUnit')}) IN ('1k tokens', '1k token', 'thousand tokens') THEN 1000 "
        f"WHEN lower({text('ConsumedUnit')}) IN ('1m tokens', '1m token', 'million tokens') THEN 1000000 ELSE 0 END"
    )
    tokens = f"CAST(round(greatest(coalesce(ConsumedQuantity, 0), 0) * ({scale})) AS BIGINT)"
    output = f"regexp_matches(lower({meter}), 'output|completion')"
    columns = {
        "time_s": "ChargePeriodStart",
        "tier": f"coalesce({text('ServiceName')}, {text('ServiceCategory')}, 'charges')",
        "provider": f"coalesce({text('ServiceProviderName')}, {text('ProviderName')}, '')",
        "model": f"coalesce({text('x_Model')}, {text('SkuMeter')}, {text('ServiceName')}, 'charges')",
        "input_tokens": f"coalesce(x_InputTokens, CASE WHEN {output} THEN 0 ELSE {tokens} END)",
        "cached_input_tokens": "coalesce(x_CachedInputTokens, 0)",
        "cache_write_tokens": "coalesce(x_CacheWriteTokens, 0)",
        "output_tokens": f"coalesce(x_OutputTokens, CASE WHEN {output} THEN {tokens} ELSE 0 END)",
        "reasoning_tokens": "coalesce(x_ReasoningTokens, 0)",
        "searches": "coalesce(x_Searches, 0)",
        "service_tier": f"coalesce({text('x_ServiceTier')}, 'standard')",
        "cost_micro_usd": f"CAST(round(BilledCost * {MICRO_USD_PER_USD}) AS BIGINT)",
        "tenant": f"coalesce({text('SubAccountName')}, {text('SubAccountId')}, '')",
        "requests": "coalesce(x_Requests, 0)",
    }
    notes = ["what was billed counts (BilledCost): purchases and taxes with it, credits as less"]
    if "x_Requests" not in files.column_names:
        notes.append("a bill counts charges, not requests: there is no cost per request")
    return LogRows(select(rows, columns), tuple(notes))


def _require_dollars(files: LogFiles, rows: duckdb.DuckDBPyRelation) -> None:
    import duckdb

    try:
        ((count, example),) = (
            rows.filter("BillingCurrency <> 'USD'").aggregate("count(*), min(BillingCurrency)").fetchall()
        )
    except duckdb.Error as error:
        raise LogError(f"{files.name} cannot be read: {duckdb_reason(error)}") from error
    if count:
        raise LogError(
            f"{files.name} has {counted(count, 'charge')} in other currencies, such as {example}; only USD is read"
        )


FOCUS_FORMAT: Final = LogFormat(
    "focus",
    "bills in the columns of FOCUS",
    lambda files: {"BilledCost", "ChargePeriodStart"} <= set(files.column_names),
    read_focus,
)
