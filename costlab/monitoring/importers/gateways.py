"""What gateways and tools of observability export: OpenRouter, Langfuse, Helicone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from costlab.monitoring.importers.conversion import BAD, DROPPED, Kind, select, wrong_count
from costlab.monitoring.importers.json_rows import fields, members
from costlab.monitoring.importers.protocol import LogFormat, LogRows

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles


def _rows(files: LogFiles, kinds: Mapping[str, Kind]) -> duckdb.DuckDBPyRelation:
    """Columns of a table, or fields of JSON objects, also of those in `data`: a list, or a single one."""
    return fields(files, members(files.objects(), "data"), kinds) if files.kind == "json" else files.table(kinds)


def _first(*names: str) -> str:
    """The first of several columns that says something."""
    told = ", ".join(f"nullif({name}, '')" for name in names)
    return f"coalesce({told})"


def _least(part: str, whole: str) -> str:
    return f"least(coalesce({part}, 0), {whole})"


# OpenRouter: the activity page's CSV, an answer of /api/v1/generation, and the days of /api/v1/activity

OPENROUTER: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        ("generation_id", "id", "model", "model_permaslug", "provider_name", "cancelled", "is_byok"), "text"
    ),
    **dict.fromkeys(("app_name", "api_key_name", "user", "external_user"), "text"),
    **dict.fromkeys(("created_at", "date"), "time"),
    **dict.fromkeys(("cost_total", "total_cost", "usage", "byok_usage_inference", "upstream_inference_cost"), "number"),
    **dict.fromkeys(("tokens_prompt", "tokens_completion", "tokens_reasoning", "tokens_cached"), "count"),
    **dict.fromkeys(("native_tokens_prompt", "native_tokens_completion", "native_tokens_reasoning"), "count"),
    **dict.fromkeys(("native_tokens_cached", "prompt_tokens", "completion_tokens", "reasoning_tokens"), "count"),
    **dict.fromkeys(("requests",), "count"),
    **dict.fromkeys(("generation_time_ms", "generation_time"), "number"),
}


def read_openrouter(files: LogFiles) -> LogRows:
    """Generations that went through OpenRouter, each or by day.

    Notes
    -----
    Costs are the credits that OpenRouter took, and what the provider asks where one's own key was used, as OpenRouter
    estimates it. Tokens are those of the model's own tokenizer where they are told, which are those that are billed.
    """
    rows = _rows(files, OPENROUTER)
    tokens_in = "coalesce(native_tokens_prompt, tokens_prompt, prompt_tokens)"
    tokens_out = "coalesce(native_tokens_completion, tokens_completion, completion_tokens)"
    who = _first("app_name", "api_key_name", "external_user", '"user"')
    own_key = "coalesce(byok_usage_inference, CASE WHEN is_byok = 'true' THEN upstream_inference_cost END, 0)"
    columns = {
        "request_id": _first("generation_id", "id"),
        "time_s": 'coalesce(created_at, "date")',
        "model": f"coalesce({_first('model_permaslug', 'model')}, 'unknown')",
        "provider": "'openrouter'",
        "input_tokens": tokens_in,
        "cached_input_tokens": _least("coalesce(native_tokens_cached, tokens_cached)", tokens_in),
        "output_tokens": tokens_out,
        "reasoning_tokens": _least("coalesce(native_tokens_reasoning, tokens_reasoning, reasoning_tokens)", tokens_out),
        "cost_usd": f"coalesce(cost_total, total_cost, usage) + {own_key}",
        "latency_s": "coalesce(generation_time_ms, generation_time) / 1000",
        "outcome": "CASE WHEN lower(cancelled) = 'true' THEN 'cancelled' ELSE 'ok' END",
        "tenant": f"coalesce({who}, '')",
        "requests": "coalesce(requests, 1)",
    }
    return LogRows(select(rows, columns), ("costs are OpenRouter's, and of one's own keys what it estimates",))


def _is_openrouter(files: LogFiles) -> bool:
    names = set(files.column_names)
    if files.kind == "json" and '"data"' in files.head[:200]:
        names |= {name for name in OPENROUTER if f'"{name}"' in files.head}
    return {"model_permaslug", "provider_name"} <= names or {"native_tokens_prompt", "provider_name"} <= names


# Langfuse: observations, as its tables and its API export them, and as blob storage has them

#: Names of the API and of the user interface, and then those of blob storage.
LANGFUSE_NAMES: Final = {
    "traceId": "trace_id",
    "startTime": "start_time",
    "endTime": "end_time",
    "providedModelName": "provided_model_name",
    "usageDetails": "usage_details",
    "costDetails": "cost_details",
    "totalCost": "total_cost",
    "userId": "user_id",
    "traceName": "trace_name",
}
LANGFUSE_KINDS: Final[dict[str, Kind]] = {
    **dict.fromkeys(("traceId", "providedModelName", "userId", "traceName"), "text"),
    **dict.fromkeys(("startTime", "endTime"), "time"),
    **dict.fromkeys(("usageDetails", "costDetails"), "json"),
    "totalCost": "number",
}
LANGFUSE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("id", "type", "level", "model", "environment"), "text"),
    **LANGFUSE_KINDS,
    **{LANGFUSE_NAMES[name]: kind for name, kind in LANGFUSE_KINDS.items()},
    "calculatedTotalCost": "number",
}


def read_langfuse(files: LogFiles) -> LogRows:
    """Observations of Langfuse that used a model.

    Notes
    -----
    Langfuse keeps each kind of token in a bucket of its own, of which none contains another: all of `input` are the
    input, all of `output` the output. A cost of 0 is what it writes for a model whose price it does not know; it counts
    as unknown.
    """
    rows = _rows(files, LANGFUSE)

    def told(name: str) -> str:
        return f'coalesce("{name}", "{LANGFUSE_NAMES[name]}")'

    told_usage = f"map_entries(TRY_CAST({told('usageDetails')} AS MAP(VARCHAR, JSON)))"
    usage = f"map_entries(TRY_CAST({told('usageDetails')} AS MAP(VARCHAR, DOUBLE)))"

    def bucket(pattern: str) -> str:
        found = f"[one.value for one in {usage} if regexp_matches(lower(one.key), '{pattern}')]"
        return f"CAST(coalesce(list_sum({found}), 0) AS BIGINT)"

    model = _first("providedModelName", "provided_model_name", "model")
    cost = (
        f"coalesce({told('totalCost')}, TRY_CAST(json_extract_string({told('costDetails')}, '$.total') AS DOUBLE), "
        '"calculatedTotalCost")'
    )
    no_model = f"({model} IS NULL AND coalesce(len({usage}), 0) = 0 AND coalesce({cost}, 0) = 0)"
    # As LangChain marks an answer out of its own cache, whose tokens Langfuse prices again.
    replayed = f"TRY_CAST(json_extract_string({told('usageDetails')}, '$.total_cost') AS DOUBLE) = 0"
    start, end = told("startTime"), told("endTime")
    columns = {
        "request_id": "id",
        "time_s": f"coalesce({end}, {start})",
        "model": f"coalesce({model}, 'unknown')",
        "input_tokens": bucket("^(input|prompt|cache)"),
        "cached_input_tokens": bucket("(cached|cache_read)"),
        "cache_write_tokens": bucket("(cache_creation|cache_write)"),
        "cache_write_1h_tokens": (
            f"CASE WHEN {bucket('(cache_creation|cache_write)')} = 0 THEN 0 ELSE nullif({bucket('_1h')}, 0) END"
        ),
        "output_tokens": bucket("^(output|completion)"),
        "reasoning_tokens": bucket("^(output|completion).*reasoning"),
        "cost_usd": f"CASE WHEN {replayed} THEN 0 ELSE nullif({cost}, 0) END",
        "latency_s": f"greatest(0, {end} - {start})",
        "outcome": f"CASE WHEN level = 'ERROR' THEN 'error' WHEN {replayed} THEN 'cached' ELSE 'ok' END",
        "tenant": f"coalesce({_first('userId', 'user_id', 'traceName', 'trace_name', 'environment')}, '')",
        BAD: wrong_count("usage", f"[json_extract_string(one.value, '$') for one in {told_usage}]"),
        DROPPED: f"CASE WHEN {no_model} THEN 'observations that used no model' END",
    }
    return LogRows(select(rows, columns), ("a cost of 0 counts as unknown, not as free",))


def _is_langfuse(files: LogFiles) -> bool:
    names = set(files.column_names)
    trace, usage = {"traceId", "trace_id"} & names, {"usageDetails", "usage_details", "costDetails", "cost_details"}
    return bool(trace and usage & names and {"startTime", "start_time"} & names)


# Helicone

HELICONE: Final[dict[str, Kind]] = {
    **dict.fromkeys(("request_id", "response_id", "model", "request_model", "response_model", "provider"), "text"),
    **dict.fromkeys(("request_user_id", "helicone_user", "cache_reference_id"), "text"),
    **dict.fromkeys(("request_created_at", "response_created_at"), "time"),
    "response_status": "whole",  # -2 and the like where there was no answer
    **dict.fromkeys(("prompt_tokens", "completion_tokens", "reasoning_tokens"), "count"),
    **dict.fromkeys(("prompt_cache_read_tokens", "prompt_cache_write_tokens"), "count"),
    **dict.fromkeys(("prompt_audio_tokens", "completion_audio_tokens"), "count"),
    **dict.fromkeys(("latency", "delay_ms", "cost", "costUSD"), "number"),
    **dict.fromkeys(("request_properties", "properties"), "json"),
}

#: What an answer refers to that did not come from Helicone's cache.
NO_CACHE: Final = "00000000-0000-0000-0000-000000000000"


def read_helicone(files: LogFiles) -> LogRows:
    """Requests that went through Helicone.

    Notes
    -----
    Helicone counts tokens of the prompt cache, of audio and of reasoning beside those of prompt and completion. Its
    table of exports has no columns for them: then they are missing, and the cost is what it tells. A cost of 0 is what
    it writes for a model whose price it does not know; it counts as unknown.
    """
    rows = _rows(files, HELICONE)

    def count(name: str) -> str:
        return f"coalesce({name}, 0)"

    read, written = count("prompt_cache_read_tokens"), count("prompt_cache_write_tokens")
    failed = "coalesce(response_status, 200) NOT BETWEEN 200 AND 399"
    cached = f"coalesce(nullif(cache_reference_id, ''), '{NO_CACHE}') <> '{NO_CACHE}'"
    tags = [f"json_extract_string(coalesce(request_properties, properties), '$.{name}')" for name in ("tenant", "team")]
    who = _first("request_user_id", "helicone_user")
    columns = {
        "request_id": _first("request_id", "response_id"),
        "time_s": "coalesce(response_created_at, request_created_at)",
        "model": f"coalesce({_first('response_model', 'model', 'request_model')}, 'unknown')",
        "provider": "lower(coalesce(provider, ''))",
        "input_tokens": (
            f"CASE WHEN prompt_tokens IS NOT NULL OR {read} + {written} > 0 "
            f"THEN {count('prompt_tokens')} + {read} + {written} + {count('prompt_audio_tokens')} END"
        ),
        "cached_input_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": f"CASE WHEN {written} = 0 THEN 0 END",
        "audio_input_tokens": count("prompt_audio_tokens"),
        "output_tokens": f"completion_tokens + {count('reasoning_tokens')} + {count('completion_audio_tokens')}",
        "reasoning_tokens": count("reasoning_tokens"),
        "audio_output_tokens": count("completion_audio_tokens"),
        "cost_usd": f'CASE WHEN {cached} THEN 0 ELSE nullif(coalesce(cost, "costUSD"), 0) END',
        "latency_s": "coalesce(latency, delay_ms) / 1000",
        "outcome": f"CASE WHEN {cached} THEN 'cached' WHEN {failed} THEN 'error' ELSE 'ok' END",
        "tenant": f"coalesce({', '.join(tags)}, {who}, '')",
    }
    notes = ["a cost of 0 for an answer that was not in Helicone's cache counts as unknown, not as free"]
    if "prompt_cache_read_tokens" not in files.column_names and files.kind == "csv":
        notes.append("Helicone's CSV leaves out tokens of the prompt cache; its export as JSON has them")
    return LogRows(select(rows, columns), tuple(notes))


OPENROUTER_FORMAT: Final = LogFormat(
    "openrouter", "activity and generations of OpenRouter", _is_openrouter, read_openrouter, ("request_id",)
)
LANGFUSE_FORMAT: Final = LogFormat("langfuse", "observations of Langfuse", _is_langfuse, read_langfuse)
HELICONE_FORMAT: Final = LogFormat(
    "helicone",
    "requests of Helicone",
    lambda files: {"response_status", "request_created_at", "prompt_tokens"} <= set(files.column_names),
    read_helicone,
)
