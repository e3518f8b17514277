"""Spend logs of LiteLLM's proxy: its table LiteLLM_SpendLogs, and what ``/spend/logs`` and its version 2 answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab.errors import LogError
from costlab.events.usage_object import USAGE_PATHS
from costlab.monitoring.importers.conversion import BAD, DROPPED, OWN_SERVER, Kind, select, sql_text, wrong_count
from costlab.monitoring.importers.protocol import LogFormat, LogRows
from costlab.monitoring.usage import require_columns

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles

#: What every version of the table has, and what it may have besides.
REQUIRED: Final[dict[str, Kind]] = {
    "request_id": "text",
    "spend": "number",
    "prompt_tokens": "count",
    "completion_tokens": "count",
    "startTime": "time",
    "model": "text",
}
OPTIONAL: Final[dict[str, Kind]] = {
    "total_tokens": "count",
    "call_type": "text",
    "endTime": "time",
    "metadata": "json",
    "cache_hit": "text",
    "status": "text",
    "custom_llm_provider": "text",
    "api_base": "text",
    "model_group": "text",
    "team_id": "text",
    "end_user": "text",
    "user": "text",
}

#: The usage in a row's `metadata`, as it was answered, and what LiteLLM adds to it. They repeat each other.
USAGE: Final = ("$.usage_object", "$.additional_usage_values")

#: The parts of the tokens, and the field of a request that each is. A zero in one of the places that name it may stand
#: beside the count in another, as versions of LiteLLM differ: the largest counts.
PART_FIELDS: Final = {
    "cached": "cached_input_tokens",
    "written": "cache_write_tokens",
    "written_1h": "cache_write_1h_tokens",
    "audio_in": "audio_input_tokens",
    "image_in": "image_input_tokens",
    "reasoning": "reasoning_tokens",
    "audio_out": "audio_output_tokens",
    "image_out": "image_output_tokens",
    "searches": "searches",
}

#: How many requests of a batch were answered, and how many failed, in the `metadata` of the row that bills it.
BATCH_PATHS: Final = ("$.batch_successful_requests", "$.batch_failed_requests")

#: What a request was billed as, in `metadata`.
TIER_PATHS: Final = ("$.cost_breakdown.service_tier", *(f"{usage}.service_tier" for usage in USAGE))

#: Calls that manage something, and are no request for a model where they have neither tokens nor a price.
NO_MODEL: Final = (
    "batch|file|assistant|thread|add_message|get_messages|vector_store|fine_tun|client_secret|mcp|_(list|get)$"
)


def read_litellm(files: LogFiles) -> LogRows:
    """The rows of a spend log.

    Notes
    -----
    LiteLLM writes a spend of 0 or none for a model that it has no price for. A spend of 0 for an answer that did not
    come from its cache is therefore no cost at all: unknown, to be priced from the catalogue or reported as unpriced.
    `cache_hit` speaks of LiteLLM's own response cache, not of the provider's prompt cache. `prompt_tokens` count what
    was read from that and written to it; where the parts are more than the whole, an older version left them out. The
    row that bills a batch stands for its requests that were answered, or for those that failed if none was.
    """
    present = files.column_names
    if "request_id" not in present and {"startTime", "spend", "models"} <= set(present):
        raise LogError(
            f"{files.name} is LiteLLM's summary by day, which tells no requests: ask /spend/logs with summarize=false, "
            "or /spend/logs/v2"
        )
    require_columns(files.name, present, tuple(REQUIRED))
    rows = _with_parts(files)

    def text(name: str) -> str:
        return f"nullif({name}, '')"

    hit = f"lower(coalesce({text('cache_hit')}, '')) = 'true'"
    all_failed = "coalesce(answered, 1) = 0 AND coalesce(not_answered, 0) > 0"
    failed = f"(coalesce({text('status')}, metadata->>'$.status', 'success') = 'failure' OR ({all_failed}))"
    apart = "true" if files.options.cached_apart else "cached + written > tokens_in"
    tokens_in = f"tokens_in + CASE WHEN {apart} THEN cached + written ELSE 0 END"
    # Some vendors count the tokens of reasoning beside those of the answer; a total proves it.
    beside = "reasoning > 0 AND total_tokens = tokens_in + tokens_out + reasoning"
    tokens_out = f"tokens_out + CASE WHEN {beside} THEN reasoning ELSE 0 END"
    asked = "tokens_in + tokens_out > 0"
    # "azure/gpt-4o" at azure is gpt-4o.
    model, prefix = f"coalesce({text('model')}, 'unknown')", f"({text('custom_llm_provider')} || '/')"
    model = f"CASE WHEN starts_with({model}, {prefix}) THEN substr({model}, length({prefix}) + 1) ELSE {model} END"
    # What an API was paid for is not one's own, whatever its address; what cost nothing may be, and only that shows it.
    provider, base = text("custom_llm_provider"), text("api_base")
    by_name, by_address = (
        f"{OWN_SERVER}(coalesce({provider}, ''), {address}, {model})" for address in ("''", f"coalesce({base}, '')")
    )
    own = f"coalesce(spend, 0) = 0 AND {base} IS NOT NULL AND NOT {by_name} AND {by_address}"

    def part(name: str, whole: str) -> str:
        # What is no part of the whole is not told rightly.
        return f"CASE WHEN {name} <= {whole} THEN {name} ELSE 0 END"

    columns = {
        # A row without an id has this text.
        "request_id": "nullif(request_id, 'None')",
        "time_s": 'coalesce("endTime", "startTime")',
        "tier": f"coalesce({text('model_group')}, {model})",
        "model": model,
        "provider": f"CASE WHEN {own} THEN 'own server' ELSE {provider} END",
        "input_tokens": tokens_in,
        "cached_input_tokens": "cached",
        "cache_write_tokens": "written",
        # Null where no one tells for how long.
        "cache_write_1h_tokens": "CASE WHEN written = 0 THEN 0 WHEN written_1h <= written THEN written_1h END",
        "audio_input_tokens": part("audio_in", f"{tokens_in} - image_in"),
        "image_input_tokens": part("image_in", f"{tokens_in} - audio_in"),
        "output_tokens": tokens_out,
        "reasoning_tokens": part("reasoning", f"({tokens_out})"),
        "audio_output_tokens": part("audio_out", f"({tokens_out}) - image_out"),
        "image_output_tokens": part("image_out", f"({tokens_out}) - audio_out"),
        "searches": "searches",
        "service_tier": "coalesce(service_tier, CASE WHEN answered IS NOT NULL THEN 'batch' END)",
        "requests": "coalesce(nullif(answered, 0), nullif(not_answered, 0), 1)",
        "cost_usd": f"CASE WHEN {hit} OR {failed} THEN coalesce(spend, 0) ELSE nullif(spend, 0) END",
        "latency_s": 'greatest(0, "endTime" - "startTime")',
        "outcome": f"CASE WHEN {hit} THEN 'cached' WHEN {failed} THEN 'error' ELSE 'ok' END",
        "tenant": f"coalesce({text('team_id')}, {text('end_user')}, {text('user')}, '')",
        BAD: "wrong",
        DROPPED: (
            f"CASE WHEN coalesce(spend, 0) = 0 AND NOT ({asked}) AND NOT {failed} AND NOT {hit} "
            f"AND regexp_matches(coalesce(call_type, ''), {sql_text(NO_MODEL)}) THEN 'calls that ask no model' END"
        ),
    }
    note = "a spend of 0 for an answer that was not in LiteLLM's cache counts as unknown, not as free"
    return LogRows(select(rows, columns), (note,))


def _with_parts(files: LogFiles) -> duckdb.DuckDBPyRelation:
    """Rows with the parts of their tokens that `metadata` tells, and what was billed for how they were served."""
    rows = files.table(REQUIRED | OPTIONAL)
    paths = [f"{usage}.{path}" for usage in USAGE for field in PART_FIELDS.values() for path in USAGE_PATHS[field]]
    # All at once, as each look reads the whole text.
    counts, all_paths = [*paths, *BATCH_PATHS], [*paths, *BATCH_PATHS, *TIER_PATHS]
    found = f"json_extract_string(metadata, [{', '.join(map(sql_text, all_paths))}])"
    places = {path: f"found[{place}]" for place, path in enumerate(all_paths, 1)}
    told_in = {
        name: ", ".join(
            f"TRY_CAST({places[f'{usage}.{path}']} AS BIGINT)" for usage in USAGE for path in USAGE_PATHS[field]
        )
        for name, field in PART_FIELDS.items()
    }
    parts = {name: f"greatest({'' if name == 'written_1h' else '0, '}{where})" for name, where in told_in.items()}
    tier = f"lower(coalesce({', '.join(places[path] for path in TIER_PATHS)}))"
    told = {
        "tokens_in": "coalesce(prompt_tokens, 0)",
        "tokens_out": "coalesce(completion_tokens, 0)",
        "wrong": wrong_count("metadata", f"found[:{len(counts)}]"),
        "answered": f"TRY_CAST({places[BATCH_PATHS[0]]} AS BIGINT)",
        "not_answered": f"TRY_CAST({places[BATCH_PATHS[1]]} AS BIGINT)",
        "service_tier": tier,
    }
    added = ", ".join(f"{value} AS {name}" for name, value in (parts | told).items())
    return rows.project(f"*, {found} AS found").project(f"* EXCLUDE (found), {added}")


LITELLM_FORMAT: Final = LogFormat(
    "litellm",
    "spend logs of LiteLLM's proxy",
    lambda files: {"spend", "startTime"} <= set(files.column_names),
    read_litellm,
    answer_ids=("request_id",),
)
