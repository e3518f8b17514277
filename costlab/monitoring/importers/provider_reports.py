"""What providers' own APIs report of an organization: sums by day, hour or minute of what was used and what it cost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from costlab.errors import LogError
from costlab.monitoring.importers.conversion import DROPPED, Kind, select, sql_text
from costlab.monitoring.importers.json_rows import fields, members
from costlab.monitoring.importers.protocol import LogFormat, LogRows
from costlab.units import MICRO_USD_PER_USD

if TYPE_CHECKING:
    import duckdb

    from costlab.monitoring.importers.log_files import LogFiles

#: Where a usage has no model because the API was not asked to tell models apart.
ALL_MODELS: Final = "(all models)"

#: What stands for the model of a charge that names none.
CHARGES: Final = "charges"

NOT_BY_MODEL: Final = "usage that is not told apart by model has no price: ask the API with group_by=model"
WITHOUT_TOKENS: Final = "usage that is not of tokens (images, seconds, searches, storage): the costs tell its price"
TOLD_BY_COSTS: Final = (
    "what was used in the time of the costs is not priced once more: its dollars are those of the costs"
)
CHARGES_ONLY: Final = "costs count charges, not requests"

OPENAI: Final = re.compile(r'"object"\s*:\s*"(?:bucket"|organization\.(?:usage|costs)\.)')
ANTHROPIC: Final = re.compile(r'"(?:starting_at|ending_at)"\s*:')

#: Fields of OpenAI's results that tell them apart; one of an hour ago may be told again on the next page, grown.
OPENAI_KEYS: Final = (
    "object", "model", "project_id", "user_id", "api_key_id", "api_source", "batch", "service_tier", "line_item",
)  # fmt: skip
OPENAI_COUNTS: Final = (
    "input_tokens", "input_cached_tokens", "input_uncached_tokens", "input_cache_write_tokens", "input_audio_tokens",
    "input_cached_audio_tokens", "input_image_tokens", "input_cached_image_tokens", "output_tokens",
    "output_audio_tokens", "output_image_tokens", "num_model_requests",
)  # fmt: skip

#: And those of Anthropic's.
ANTHROPIC_KEYS: Final = (
    "model", "workspace_id", "api_key_id", "account_id", "service_account_id", "service_tier", "context_window",
    "inference_geo", "speed", "product", "description", "cost_type", "token_type",
)  # fmt: skip
ANTHROPIC_COUNTS: Final = ("uncached_input_tokens", "cache_read_input_tokens", "output_tokens", "requests")


def _results(files: LogFiles, start: str, end: str) -> tuple[duckdb.DuckDBPyRelation, dict[str, str]]:
    """The results of all pages with the buckets that they are in, and where their times are."""
    buckets = members(files.objects(), "data")
    results = members(buckets, "results", keep="bucket")
    times = {name: f"json_extract_string(bucket, {sql_text(f'$.{field}')})" for name, field in
             (("start", start), ("end", end))}  # fmt: skip
    return results, times


def _key(*names: str) -> str:
    """What names a result, as text."""
    return "md5(concat_ws('|', {}))".format(", ".join(f"coalesce(CAST({name} AS VARCHAR), '')" for name in names))


def _costs_span(files: LogFiles, rows: duckdb.DuckDBPyRelation, is_cost: str) -> tuple[float, float] | None:
    """From when to when there are costs."""
    ((first, last),) = files.fetch(rows.filter(is_cost).aggregate('min("start"), max(coalesce("end", "start" + 1))'))
    return None if first is None or last is None else (first, last)


def _require_dollars(files: LogFiles, rows: duckdb.DuckDBPyRelation) -> None:
    ((other,),) = files.fetch(rows.filter("upper(currency) <> 'USD'").aggregate("min(currency)"))
    if other is not None:
        raise LogError(f"{files.name} has costs in {other}; only USD is read")


def _usage_cost(span: tuple[float, float] | None, priced_apart: str = "false") -> str:
    """The cost of a usage: none of its own where costs of the same time are told, otherwise unknown."""
    if span is None:
        return "CAST(NULL AS BIGINT)"
    return f'CASE WHEN "start" >= {span[0]} AND "start" < {span[1]} AND NOT ({priced_apart}) THEN 0 END'


def _has(files: LogFiles, rows: duckdb.DuckDBPyRelation, condition: str) -> bool:
    ((found,),) = files.fetch(rows.aggregate(f"coalesce(bool_or({condition}), false)"))
    return bool(found)


def read_openai_usage(files: LogFiles) -> LogRows:
    """Sums of OpenAI's usage and costs API, in pages as it answers them.

    Notes
    -----
    Where both are in the log, the costs are the dollars and the usage is the requests and tokens: what was used in the
    time of the costs is not priced once more. Where only costs are, a line item's quantity is its tokens. A usage
    without costs is priced from the catalogue at the beginning of its bucket. Audio and images are parts of the input
    where the uncached input is told, as it is since 2026; before, audio was counted beside it. Results of one bucket
    and one group are one, the later.
    """
    kinds: dict[str, Kind] = {
        **dict.fromkeys(OPENAI_KEYS, "text"),
        **dict.fromkeys(OPENAI_COUNTS, "count"),
        **dict.fromkeys(("start", "end"), "time"),
        **dict.fromkeys(("value", "quantity"), "number"),
        **dict.fromkeys(("currency", "quantity_unit"), "text"),
    }
    results, paths = _results(files, "start_time", "end_time")
    paths |= {name: f"json_extract_string(json, '$.amount.{name}')" for name in ("value", "currency")}
    rows = fields(files, results, kinds, paths)
    is_cost, is_usage = "object = 'organization.costs.result'", "starts_with(object, 'organization.usage.')"
    of_tokens = "regexp_matches(object, 'usage\\.(completions|embeddings|moderations|decisions)\\.')"
    _require_dollars(files, rows)
    span, has_usage = _costs_span(files, rows, is_cost), _has(files, rows, is_usage)

    def count(name: str) -> str:
        return f"coalesce({name}, 0)"

    # Only since the parts are told, audio is one of them.
    parts_told = "input_uncached_tokens IS NOT NULL"
    audio_in, audio_out = count("input_audio_tokens"), count("output_audio_tokens")
    cached_audio = count("input_cached_audio_tokens")
    scale = "CASE quantity_unit WHEN 'tokens' THEN 1 WHEN '1000_tokens' THEN 1000 ELSE 0 END"
    bought = "0" if has_usage else f"CAST(round(coalesce(quantity, 0) * ({scale})) AS BIGINT)"
    item = "lower(coalesce(line_item, ''))"
    output, cached = f"regexp_matches({item}, 'output|completion')", f"regexp_matches({item}, 'cached')"
    tier = "lower(coalesce(service_tier, 'default'))"
    columns = {
        "request_id": _key('"start"', '"end"', *OPENAI_KEYS),
        "time_s": '"start"',
        "model": (
            f"CASE WHEN {is_cost} THEN coalesce(trim(regexp_extract(line_item, '^[^,|]+')), '{CHARGES}') "
            f"ELSE coalesce(model, '{ALL_MODELS}') END"
        ),
        "provider": "'openai'",
        "input_tokens": (
            f"CASE WHEN {is_cost} THEN CASE WHEN {output} THEN 0 ELSE {bought} END "
            f"ELSE {count('input_tokens')} + CASE WHEN {parts_told} THEN 0 ELSE {audio_in} END END"
        ),
        "cached_input_tokens": (
            f"CASE WHEN {is_cost} THEN CASE WHEN {cached} AND NOT {output} THEN {bought} ELSE 0 END "
            f"ELSE {count('input_cached_tokens')} END"
        ),
        "cache_write_tokens": count("input_cache_write_tokens"),
        # 30 minutes and 12 hours are one price.
        "cache_write_1h_tokens": "0",
        "audio_input_tokens": f"{audio_in} + {cached_audio}",
        "cached_audio_input_tokens": cached_audio,
        "image_input_tokens": f"{count('input_image_tokens')} + {count('input_cached_image_tokens')}",
        "output_tokens": (
            f"CASE WHEN {is_cost} THEN CASE WHEN {output} THEN {bought} ELSE 0 END "
            f"ELSE {count('output_tokens')} + CASE WHEN {parts_told} THEN 0 ELSE {audio_out} END END"
        ),
        "audio_output_tokens": audio_out,
        "image_output_tokens": count("output_image_tokens"),
        "service_tier": (
            f"CASE WHEN batch = 'true' THEN 'batch' WHEN {tier} IN ('default', 'auto') THEN 'standard' ELSE {tier} END"
        ),
        "requests": count("num_model_requests"),
        "tenant": "coalesce(project_id, user_id, api_key_id, '')",
        "cost_micro_usd": (
            f"CASE WHEN {is_cost} THEN CAST(round(value * {MICRO_USD_PER_USD}) AS BIGINT) "
            # Moderation is free of charge.
            f"WHEN object = 'organization.usage.moderations.result' THEN 0 ELSE {_usage_cost(span)} END"
        ),
        DROPPED: f"CASE WHEN {is_usage} AND NOT {of_tokens} THEN {sql_text(WITHOUT_TOKENS)} END",
    }
    notes = ["usage and costs are sums by the bucket that the API was asked for"]
    if span is not None:
        notes.append(TOLD_BY_COSTS if has_usage else CHARGES_ONLY)
    if _has(files, rows, f"{of_tokens} AND model IS NULL"):
        notes.append(NOT_BY_MODEL)
    return LogRows(select(rows, columns), tuple(notes))


def read_anthropic_usage(files: LogFiles) -> LogRows:
    """Sums of Anthropic's usage and cost reports, in pages as its API answers them.

    Notes
    -----
    Amounts are cents, as decimal texts; of the newer reports those after discounts count. What costs cover is not
    priced once more, save for the priority tier, which they leave out. The older reports count no requests: then no one
    knows how long a request was, and the window that a usage is told for says whether it has the price of long ones;
    such a row counts as one request. Results of one bucket and one group are one, the later.
    """
    kinds: dict[str, Kind] = {
        **dict.fromkeys(ANTHROPIC_KEYS, "text"),
        **dict.fromkeys(ANTHROPIC_COUNTS, "count"),
        **dict.fromkeys(("start", "end"), "time"),
        **dict.fromkeys(("written_5m", "written_1h", "searches"), "count"),
        "amount": "number",
        "currency": "text",
    }
    results, paths = _results(files, "starting_at", "ending_at")
    paths |= {
        "written_5m": "json_extract_string(json, '$.cache_creation.ephemeral_5m_input_tokens')",
        "written_1h": "json_extract_string(json, '$.cache_creation.ephemeral_1h_input_tokens')",
        "searches": "json_extract_string(json, '$.server_tool_use.web_search_requests')",
    }
    rows = fields(files, results, kinds, paths)
    is_cost = "amount IS NOT NULL"
    tier = "lower(coalesce(service_tier, 'standard'))"
    priority, long = f"starts_with({tier}, 'priority')", "context_window = '200k-1M'"
    _require_dollars(files, rows)
    span, has_usage = _costs_span(files, rows, is_cost), _has(files, rows, "output_tokens IS NOT NULL")
    written = "(coalesce(written_5m, 0) + coalesce(written_1h, 0))"
    of_charge = f"coalesce(model, description, cost_type, '{CHARGES}')"
    name = f"CASE WHEN {is_cost} THEN {of_charge} ELSE coalesce(model, '{ALL_MODELS}') END"
    tiers = f"CASE WHEN {priority} THEN 'priority' WHEN starts_with({tier}, 'flex') THEN 'flex' ELSE {tier} END"
    columns = {
        "request_id": _key('"start"', '"end"', is_cost, *ANTHROPIC_KEYS),
        "time_s": '"start"',
        # The same model at a higher price.
        "model": f"{name} || CASE WHEN speed = 'fast' THEN '-fast' ELSE '' END",
        "provider": "'anthropic'",
        "input_tokens": f"coalesce(uncached_input_tokens, 0) + coalesce(cache_read_input_tokens, 0) + {written}",
        "cached_input_tokens": "coalesce(cache_read_input_tokens, 0)",
        "cache_write_tokens": written,
        "cache_write_1h_tokens": "coalesce(written_1h, 0)",
        "output_tokens": "coalesce(output_tokens, 0)",
        "searches": "coalesce(searches, 0)",
        "service_tier": tiers,
        "requests": f"coalesce(requests, CASE WHEN {long} AND NOT {is_cost} THEN 1 END, 0)",
        "tenant": "coalesce(workspace_id, product, account_id, service_account_id, api_key_id, '')",
        "cost_micro_usd": (
            f"CASE WHEN {is_cost} THEN CAST(round(amount / 100 * {MICRO_USD_PER_USD}) AS BIGINT) "
            f"ELSE {_usage_cost(span, priority)} END"
        ),
    }
    notes = ["usage and costs are sums by the bucket that the API was asked for"]
    if span is not None:
        notes.append(TOLD_BY_COSTS if has_usage else CHARGES_ONLY)
    if _has(files, rows, f"NOT {is_cost} AND model IS NULL"):
        notes.append(NOT_BY_MODEL)
    if _has(files, rows, f"NOT {is_cost} AND requests IS NULL"):
        notes.append("the report counts no requests: there is no cost per request")
    if _has(files, rows, f"NOT {is_cost} AND inference_geo = 'us'"):
        notes.append("usage in the US alone is billed at 1.1 times the price, which is not contained")
    return LogRows(select(rows, columns), tuple(notes))


def _looks_like(pattern: re.Pattern[str], files: LogFiles) -> bool:
    return files.kind == "json" and pattern.search(files.head) is not None


OPENAI_FORMAT: Final = LogFormat(
    "openai-usage",
    "OpenAI's usage and costs API, as pages of JSON",
    lambda files: _looks_like(OPENAI, files),
    read_openai_usage,
)
ANTHROPIC_FORMAT: Final = LogFormat(
    "anthropic-usage",
    "Anthropic's usage and cost reports, as pages of JSON",
    lambda files: _looks_like(ANTHROPIC, files) and '"results"' in files.head,
    read_anthropic_usage,
)
