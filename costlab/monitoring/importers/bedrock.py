"""Logs of model invocations that Amazon Bedrock writes to S3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from costlab.monitoring.importers.conversion import BAD, Kind, select, wrong_count
from costlab.monitoring.importers.protocol import LogFormat, LogRows

if TYPE_CHECKING:
    from costlab.monitoring.importers.log_files import LogFiles

KINDS: Final[dict[str, Kind]] = {
    "timestamp": "time",
    **dict.fromkeys(("schemaType", "accountId", "requestId", "operation", "modelId", "errorCode"), "text"),
    **dict.fromkeys(("input", "output", "identity", "requestMetadata"), "json"),
}

#: Where an answer says how it was used, if answers are logged too: Anthropic's models, and the Converse API.
USAGE: Final = "$.outputBodyJson.usage"


def read_bedrock(files: LogFiles) -> LogRows:
    """The invocations in logs of Bedrock.

    Notes
    -----
    Tokens that were read from the prompt cache, or written to it, are counted beside the input. For how long they were
    written is told in the answer alone, where answers are logged. The tenant is who called: a tag `tenant` or `user` of
    the request, otherwise the role or the user of its identity. The model behind one's own inference profile is not
    told.
    """
    counts: list[str] = []

    def whole(column: str, path: str) -> str:
        text = f"json_extract_string({column}, '{path}')"
        counts.append(text)
        return f"TRY_CAST({text} AS BIGINT)"

    read, written = (f"coalesce({whole('input', f'$.cache{name}InputTokenCount')}, 0)" for name in ("Read", "Write"))
    tokens_in, tokens_out = whole("input", "$.inputTokenCount"), whole("output", "$.outputTokenCount")
    details = f"json_extract(output, '{USAGE}.cacheDetails[*]')"
    for_an_hour = (
        f"coalesce({whole('output', f'{USAGE}.cache_creation.ephemeral_1h_input_tokens')}, "
        f"CASE WHEN len({details}) > 0 THEN coalesce(list_sum([TRY_CAST(json_extract_string(one, '$.inputTokens') AS "
        f"BIGINT) for one in {details} if json_extract_string(one, '$.ttl') = '1h']), 0) END)"
    )
    tier = "lower(coalesce(json_extract_string(output, '$.outputBodyJson.serviceTier.type'), 'default'))"
    failed = "errorCode IS NOT NULL"
    # A session's name says less than its role.
    role = "regexp_extract(json_extract_string(identity, '$.arn'), '^(?:[^:]*:){5}((?:assumed-role/[^/]+|.+))', 1)"
    asked = [f"json_extract_string(requestMetadata, '$.{name}')" for name in ("tenant", "user")]
    columns = {
        "request_id": "requestId",
        "time_s": "timestamp",
        "model": "coalesce(modelId, 'unknown')",
        "provider": "'aws'",
        # What has no tokens, such as an image, has no price here; it is a request all the same.
        "input_tokens": f"CASE WHEN {failed} THEN {tokens_in} ELSE coalesce({tokens_in}, 0) END + {read} + {written}",
        "cached_input_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": f"CASE WHEN {written} = 0 THEN 0 ELSE {for_an_hour} END",
        "output_tokens": f"CASE WHEN {failed} THEN {tokens_out} ELSE coalesce({tokens_out}, 0) END",
        "latency_s": "TRY_CAST(json_extract_string(output, '$.outputBodyJson.metrics.latencyMs') AS DOUBLE) / 1000",
        "outcome": f"CASE WHEN {failed} THEN 'error' ELSE 'ok' END",
        "service_tier": f"CASE WHEN {tier} = 'default' THEN 'standard' ELSE {tier} END",
        "tenant": f"coalesce({', '.join(asked)}, nullif({role}, ''), accountId, '')",
    }
    columns[BAD] = wrong_count("the row", f"[{', '.join(counts)}]")
    return LogRows(select(files.table(KINDS), columns), ("Bedrock's log tells no costs",))


BEDROCK_FORMAT: Final = LogFormat(
    "bedrock",
    "model invocation logs of Amazon Bedrock",
    lambda files: files.kind == "json" and '"ModelInvocationLog"' in files.head,
    read_bedrock,
    answer_ids=("request_id",),
)
