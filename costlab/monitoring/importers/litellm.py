"""Spend logs of LiteLLM's proxy: its table LiteLLM_SpendLogs, and what ``/spend/logs`` answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab.monitoring.importers.conversion import Kind, select
from costlab.monitoring.importers.protocol import LogFormat, LogRows
from costlab.monitoring.usage import require_columns

if TYPE_CHECKING:
    from costlab.monitoring.importers.log_files import LogFiles

#: What every version of the table has, and what it may have besides.
REQUIRED: Final[dict[str, Kind]] = {
    "request_id": "text",
    "spend": "number",
    "prompt_tokens": "whole",
    "completion_tokens": "whole",
    "startTime": "time",
    "model": "text",
}
OPTIONAL: Final[dict[str, Kind]] = {
    "endTime": "time",
    "metadata": "json",
    "cache_hit": "text",
    "status": "text",
    "custom_llm_provider": "text",
    "model_group": "text",
    "team_id": "text",
    "end_user": "text",
    "user": "text",
}

#: Where versions keep the tokens that the provider read from its prompt cache. They repeat one another, so the first
#: that is there counts; adding them up would count the tokens twice.
CACHED: Final = (
    "$.usage_object.prompt_tokens_details.cached_tokens",
    "$.usage_object.cache_read_input_tokens",
    "$.additional_usage_values.prompt_tokens_details.cached_tokens",
    "$.additional_usage_values.cache_read_input_tokens",
)


def read_litellm(files: LogFiles) -> LogRows:
    """The rows of a spend log.

    Notes
    -----
    LiteLLM writes a spend of 0 for a model that it has no price for. A spend of 0 for an answer with tokens that did
    not come from its cache is therefore no cost at all: unknown, to be priced from the catalogue or reported as
    unpriced. `cache_hit` speaks of LiteLLM's own response cache, not of the provider's prompt cache.
    """
    require_columns(files.name, files.column_names, tuple(REQUIRED))

    def text(name: str) -> str:
        return f"nullif({name}, '')"

    # A zero in one place may stand beside the count in another.
    reads = [f"TRY_CAST(metadata->>'{path}' AS BIGINT)" for path in CACHED]
    cached = f"greatest({', '.join(reads)}, 0)"
    spend, tokens_in, tokens_out = (f"coalesce({name}, 0)" for name in ("spend", "prompt_tokens", "completion_tokens"))
    hit = f"lower(coalesce({text('cache_hit')}, '')) = 'true'"
    failed = f"coalesce({text('status')}, 'success') = 'failure'"
    end = 'coalesce("endTime", "startTime")'
    # "azure/gpt-4o" at azure is gpt-4o.
    model, prefix = f"coalesce({text('model')}, 'unknown')", f"({text('custom_llm_provider')} || '/')"
    model = f"CASE WHEN starts_with({model}, {prefix}) THEN substr({model}, length({prefix}) + 1) ELSE {model} END"
    columns = {
        "request_id": "request_id",
        "time_s": end,
        "tier": f"coalesce({text('model_group')}, {model})",
        "model": model,
        "input_tokens": f"{tokens_in} + {cached}" if files.options.cached_apart else tokens_in,
        "cached_input_tokens": cached,
        "output_tokens": tokens_out,
        "cost_usd": (
            f"CASE WHEN {spend} = 0 AND {tokens_in} + {tokens_out} > 0 AND NOT {hit} AND NOT {failed} THEN NULL "
            f"ELSE {spend} END"
        ),
        "latency_s": 'greatest(0, "endTime" - "startTime")',
        "outcome": f"CASE WHEN {hit} THEN 'cached' WHEN {failed} THEN 'error' ELSE 'ok' END",
        "tenant": f"coalesce({text('team_id')}, {text('end_user')}, {text('user')}, '')",
    }
    note = "a spend of 0 for an answer that was not in LiteLLM's cache counts as unknown, not as free"
    return LogRows(select(files.table(REQUIRED | OPTIONAL), columns), (note,))


LITELLM_FORMAT: Final = LogFormat(
    "litellm",
    "spend logs of LiteLLM's proxy",
    lambda files: {"spend", "startTime"} <= set(files.column_names),
    read_litellm,
)
