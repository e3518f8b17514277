"""Spend logs of LiteLLM's proxy: the table LiteLLM_SpendLogs, exported as CSV, Parquet or JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from costlab.monitoring.importers.columns import MICRO_USD, seconds

__all__ = ["LITELLM_COLUMNS", "litellm_sql"]

#: What every version of the table has.
LITELLM_COLUMNS: Final = ("request_id", "spend", "prompt_tokens", "completion_tokens", "startTime", "model")

#: Where versions keep the tokens that the provider read from its prompt cache. They repeat one another, so the first
#: that is there counts; adding them up would count the tokens twice.
CACHED: Final = (
    "$.usage_object.prompt_tokens_details.cached_tokens",
    "$.usage_object.cache_read_input_tokens",
    "$.additional_usage_values.prompt_tokens_details.cached_tokens",
    "$.additional_usage_values.cache_read_input_tokens",
)


def litellm_sql(types: Mapping[str, str], *, cached_apart: bool) -> tuple[str, tuple[str, ...]]:
    """The SQL that selects the standard columns from a spend log, and notes on what was assumed.

    Notes
    -----
    LiteLLM writes a spend of 0 for a model that it has no price for. A spend of 0 for an answer with tokens that did
    not come from its cache is therefore no cost at all: unknown, to be priced from the catalogue or reported as
    unpriced. `cache_hit` speaks of LiteLLM's own response cache, not of the provider's prompt cache.
    """

    def has(name: str) -> bool:
        return name in types

    def text(name: str) -> str:
        return f"nullif(CAST(\"{name}\" AS VARCHAR), '')" if has(name) else "NULL"

    cached = "0"
    if has("metadata"):
        meta = "TRY_CAST(metadata AS JSON)"
        reads = [f"TRY_CAST({meta}->>'{path}' AS BIGINT)" for path in CACHED]
        # A zero in one place may stand beside the count in another.
        cached = f"greatest({', '.join(reads)}, 0)"
    spend, tokens_in, tokens_out = (
        f"coalesce(CAST({name} AS {kind}), 0)"
        for name, kind in (("spend", "DOUBLE"), ("prompt_tokens", "BIGINT"), ("completion_tokens", "BIGINT"))
    )
    hit = f"lower(coalesce({text('cache_hit')}, '')) = 'true'"
    failed = f"coalesce({text('status')}, 'success') = 'failure'"
    start = seconds('"startTime"', types["startTime"])
    end = start
    if has("endTime"):
        end = "coalesce({}, {})".format(seconds('"endTime"', types["endTime"]), start)
    model = "coalesce(nullif(CAST(model AS VARCHAR), ''), 'unknown')"
    if has("custom_llm_provider"):
        # "azure/gpt-4o" at azure is gpt-4o.
        prefix = f"{text('custom_llm_provider')} || '/'"
        model = f"CASE WHEN starts_with({model}, {prefix}) THEN substr({model}, length({prefix}) + 1) ELSE {model} END"
    all_input = f"{tokens_in} + {cached}" if cached_apart else tokens_in
    columns = {
        "request_id": "CAST(request_id AS VARCHAR)",
        "time_s": end,
        "tier": f"coalesce({text('model_group')}, {model})",
        "model": model,
        "input_tokens": all_input,
        "cached_input_tokens": cached,
        "output_tokens": tokens_out,
        "cost_micro_usd": (
            f"CASE WHEN {spend} = 0 AND {tokens_in} + {tokens_out} > 0 AND NOT {hit} AND NOT {failed} THEN NULL "
            f"ELSE CAST({MICRO_USD.format(spend)} AS BIGINT) END"
        ),
        "latency_s": f"greatest(0, {end} - {start})" if has("endTime") else "CAST(NULL AS DOUBLE)",
        "outcome": f"CASE WHEN {hit} THEN 'cached' WHEN {failed} THEN 'error' ELSE 'ok' END",
        "tenant": f"coalesce({text('team_id')}, {text('end_user')}, {text('user')}, '')",
    }
    notes = ("a spend of 0 for an answer that was not in LiteLLM's cache counts as unknown, not as free",)
    return ", ".join(f"{expression} AS {field}" for field, expression in columns.items()), notes
