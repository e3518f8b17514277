"""Files in which coding agents keep their sessions: Claude Code's projects, and the rollouts of Codex CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal.extras import extra
from costlab._internal.text import counted, dollars
from costlab.catalog import api_price
from costlab.errors import AmbiguousPriceError, PriceNotFoundError, UnknownNameError
from costlab.monitoring.importers.paths import lines_of
from costlab.monitoring.importers.protocol import BadRow, LogFormat, LogRows, ReadCounts

if TYPE_CHECKING:
    import pyarrow

    from costlab.monitoring.importers.log_files import LogFiles
    from costlab.monitoring.importers.session_lines import ClaudeTokens, CodexTokens

#: This many lines at the beginning of a file tell whose it is.
FIRST_LINES: Final = 50

#: This many bad lines are kept to be shown.
MAX_SHOWN: Final = 5

#: This many calls wait in a list before they become columns.
BATCH: Final = 8_192

#: How long the prompt cache keeps what is read no more, and how many tokens are worth a word.
SHORT_LIFE_S: Final = 300
MIN_REWRITTEN: Final = 5_000

#: What Claude Code names for messages that it wrote itself.
SYNTHETIC: Final = "<synthetic>"

NO_MODEL: Final = "messages that Claude Code wrote itself"
NOT_WHOLE: Final = "a last line that is not written to its end"

NOT_A_BILL: Final = (
    "sessions tell no bill: where they tell no cost, it is what the API asks for such calls. A subscription asks its "
    "own fee instead, however much is used"
)

#: How a line begins that is longer than was looked at.
CLAUDE_LINE: Final = re.compile(r'\{"(?:parentUuid|isSidechain|type)":[^{}\[\]]*"sessionId":')
CODEX_LINE: Final = re.compile(r'\{"timestamp":"[^"]*","type":"(?:session_meta|turn_context)","payload":\{')

#: Lines of Claude Code that do not name the session, and what shows that they are its.
WITHOUT_SESSION: Final = {"summary": "leafUuid", "file-history-snapshot": "messageId"}

#: The kinds of lines of a rollout.
CODEX_TYPES: Final = ("session_meta", "turn_context", "event_msg", "response_item", "compacted")

#: What the lines of a rollout have that tell of calls.
CODEX_MARKS: Final = (b'"token_count"', b'"turn_context"', b'"session_meta"', b'"thread_settings_applied"')

#: What Codex calls the tiers of service that have other names in the catalogue.
CODEX_TIERS: Final = {"default": "standard", "auto": "standard", "fast": "priority"}

#: Who served a message, by the beginning of its id.
SERVED_BY: Final = {"msg_bdrk_": "aws", "msg_vrtx_": "google"}

#: Calls behind an answer that the sums of its usage leave out: what a stronger model was asked (`/advisor`), and what
#: made the conversation shorter (Anthropic's SDK 2.15.0, `BetaUsage.iterations`).
NOT_IN_THE_SUM: Final = ("advisor_message", "compaction")

#: The columns that are read, as Arrow calls their types.
COLUMNS: Final = {
    **dict.fromkeys(("request_id", "model", "provider", "tenant", "service_tier"), "string"),
    **dict.fromkeys(("message_id", "call_id"), "string"),
    **dict.fromkeys(("time_s", "cost_usd"), "float64"),
    **dict.fromkeys(("input_tokens", "cached_input_tokens", "cache_write_tokens", "cache_write_1h_tokens"), "int64"),
    **dict.fromkeys(("output_tokens", "reasoning_tokens", "searches"), "int64"),
    "sidechain": "bool",
}

#: A call as columns.
Row = dict[str, str | int | float | None]


class _Calls:
    """The calls of a log while it is read, and what became of the other lines."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.batches: list[pyarrow.RecordBatch] = []
        self.dropped: dict[str, int] = {}
        self.repeated = 0
        self.bad_rows = 0
        self.bad: list[BadRow] = []

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if len(self.rows) == BATCH:
            self._flush()

    def drop(self, reason: str) -> None:
        self.dropped[reason] = self.dropped.get(reason, 0) + 1

    def spoil(self, path: Path, line: int, error: ValueError) -> None:
        self.bad_rows += 1
        if len(self.bad) < MAX_SHOWN:
            self.bad.append(BadRow(f"{path.name} line {line:,}", str(error)))

    def _flush(self) -> None:
        with extra("usage"):
            import pyarrow
        schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in COLUMNS.items()])
        self.batches.append(pyarrow.RecordBatch.from_pylist(self.rows, schema=schema))
        self.rows = []

    def table(self) -> pyarrow.Table:
        with extra("usage"):
            import pyarrow
        self._flush()
        return pyarrow.Table.from_batches(self.batches).combine_chunks()

    def log_rows(self, files: LogFiles, table: pyarrow.Table, *notes: str) -> LogRows:
        rows = sum(self.dropped.values()) + self.repeated + self.bad_rows
        counts = ReadCounts(rows, self.repeated, self.dropped, self.bad_rows, tuple(self.bad))
        return LogRows(files.connection.from_arrow(table.drop_columns(["sidechain"])), (NOT_A_BILL, *notes), counts)


def _lines(files: LogFiles, path: Path, marks: Sequence[bytes], calls: _Calls) -> Iterator[tuple[int, bytes]]:
    """Number and text of the lines with one of the marks; the others are what was said and done."""
    with files.open(path) as file:
        for number, line in enumerate(lines_of(file, path.name), 1):
            if any(mark in line for mark in marks):
                if line.endswith(b"\n") or _is_json(line):
                    yield number, line
                else:
                    calls.drop(NOT_WHOLE)


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except ValueError:
        return False
    return True


def _begins(files: LogFiles, is_its: Callable[[dict[str, object]], bool], unfinished: re.Pattern[str]) -> bool:
    """Whether one of the first lines is what is looked for."""
    if files.kind != "json":
        return False
    for line in files.head.split("\n")[:FIRST_LINES]:
        try:
            document = json.loads(line)
        except ValueError:
            return unfinished.match(line) is not None
        if isinstance(document, dict) and is_its(document):
            return True
    return False


def _time_s(text: str | None) -> float:
    if text is None:
        raise ValueError("a call without a time")
    return datetime.fromisoformat(text).timestamp()


# Claude Code


class _Rewritten:
    """Calls that wrote to the prompt cache what it had held before: it forgets after five minutes, or an hour."""

    def __init__(self) -> None:
        self.calls = self.tokens = self.after_a_pause = 0
        self.usd: dict[str, float] = {}
        self.rates: dict[str, float | None] = {}
        self.before: dict[bool, Row] = {}

    def begin_file(self) -> None:
        self.before = {}

    def see(self, row: Row, project: str) -> None:
        """The next line of a file."""
        side = bool(row["sidechain"])
        before = self.before.get(side)
        if before is not None and before["request_id"] == row["request_id"]:
            return  # the same answer, further on
        self.before[side] = row
        if before is None or min(_number(row, "cache_write_tokens"), _number(before, "input_tokens")) < MIN_REWRITTEN:
            return
        held = _number(before, "cached_input_tokens") + _number(before, "cache_write_tokens")
        if _number(row, "cached_input_tokens") >= held / 2 or _number(row, "cache_write_tokens") <= held / 2:
            return
        again = min(_number(row, "cache_write_tokens"), held)
        self.calls += 1
        self.tokens += int(again)
        self.after_a_pause += _number(row, "time_s") - _number(before, "time_s") > SHORT_LIFE_S
        self.usd[project] = self.usd.get(project, 0.0) + again * (self._dearer(str(row["model"])) or 0.0)

    def _dearer(self, model: str) -> float | None:
        """How much more a written token costs than one that is read, in USD; None where no one knows."""
        if model not in self.rates:
            try:
                price = api_price(model)
                self.rates[model] = price.usd_per_token("cache_write") - price.usd_per_token("cached_input")
            except (UnknownNameError, PriceNotFoundError, AmbiguousPriceError):
                self.rates[model] = None
        return self.rates[model]

    def note(self, projects: Mapping[str, str]) -> Iterator[str]:
        """What became of it, in a sentence."""
        if not self.calls:
            return
        usd = sum(self.usd.values())
        cost = f", which cost {dollars(usd)} more than reading them" if usd and None not in self.rates.values() else ""
        most = max(self.usd, key=lambda name: self.usd[name]) if self.usd else ""
        where = f", most of it in {projects.get(most, most)}" if len(self.usd) > 1 else ""
        yield (
            f"{counted(self.calls, 'call')} wrote {counted(self.tokens, 'token')} to the prompt cache again that it "
            f"had held before{cost}{where}; {self.after_a_pause:,} of them came after a pause of more than five "
            "minutes, the shorter of its lives. After a pause start a new session rather than continue a long one, or "
            "compact it; to write for an hour costs 2 times the price of input instead of 1.25"
        )


def _number(row: Row, name: str) -> float:
    return float(row[name] or 0)


def _is_claude_code(line: dict[str, object]) -> bool:
    kind = line.get("type")
    return isinstance(kind, str) and ("sessionId" in line or WITHOUT_SESSION.get(kind) in line)


def read_claude_code(files: LogFiles) -> LogRows:
    """The calls in sessions of Claude Code.

    Notes
    -----
    A call is named by the ids of its message and of its request. An answer is written several times while it grows, and
    the line with the most output counts. Where a side conversation tells a message of the main one again, under another
    request, the latter counts. The tenant is the project: the folder in which Claude Code was started.

    What an adviser was asked on the way, or what made the conversation shorter, is a call of its own: the usage of the
    answer names it among its iterations and leaves it out of its sums.

    Input is what was read afresh, written to the cache and read from it. Where a line does not say for how long tokens
    were written, no one knows it. What a line says that it cost (`costUSD`, of old versions) is its cost. A message of
    Bedrock or Vertex AI shows it in its id.
    """
    with extra("usage"):
        import pyarrow
        import pyarrow.compute as pc

    calls, projects, in_us, rewritten = _Calls(), dict[str, str](), 0, _Rewritten()
    for path in files.paths:
        folder = _project_folder(path)
        rewritten.begin_file()
        for number, line in _lines(files, path, (b'"usage"',), calls):
            try:
                found = _claude_rows(line)
            except (ValueError, OverflowError) as error:
                calls.spoil(path, number, ValueError(error))
                continue
            if found is None:
                continue
            rows, cwd, us = found
            if rows[0]["model"] == SYNTHETIC:
                calls.drop(NO_MODEL)
                continue
            if folder and folder not in projects and re.sub(r"[^A-Za-z0-9]", "-", cwd) == folder:
                projects[folder] = cwd
            in_us += us
            rewritten.see(rows[0], folder or cwd)
            for row in rows:
                calls.add(row | {"tenant": folder or cwd})
    table = calls.table()
    # A folder's name has lost what was between the letters of the path.
    folders = pc.dictionary_encode(table["tenant"]).combine_chunks()
    names = pyarrow.array([projects.get(name, name) for name in folders.dictionary.to_pylist()], "string")
    table = table.set_column(table.column_names.index("tenant"), "tenant", names.take(folders.indices))
    of_main = table.filter(pc.invert(table["sidechain"]))["message_id"].drop_null().combine_chunks()
    again = pc.and_(table["sidechain"], pc.is_in(table["message_id"], of_main))
    calls.repeated += pc.sum(again).as_py() or 0
    table = table.filter(pc.invert(again))
    notes = [*rewritten.note(projects)]
    if side := pc.sum(table["sidechain"]).as_py():
        notes.append(
            f"{counted(side, 'line is', 'lines are')} of subagents; what they cost is in the cost of their project"
        )
    if in_us:
        notes.append(
            f"{counted(in_us, 'line asks', 'lines ask')} for inference in the US alone, which Anthropic bills at 1.1 "
            "times the price that is taken here"
        )
    return calls.log_rows(files, table, *notes)


def _project_folder(path: Path) -> str:
    """The folder of a project, as Claude Code calls it: below `projects`, or else one that is named like a path."""
    folders = path.absolute().parts[:-1]
    for place in range(len(folders) - 1, 0, -1):
        if folders[place - 1] == "projects":
            return folders[place]
    return next((folder for folder in reversed(folders) if folder.startswith("-")), "")


def _claude_rows(line: bytes) -> tuple[list[Row], str, bool] | None:
    """The calls that a line tells, the folder in which they were made, and whether they were to stay in the US."""
    from costlab.monitoring.importers.session_lines import claude_call

    found = claude_call(line)
    if found is None:
        return None
    call, message, usage = found
    name, side = message.id or None, bool(call.isSidechain)
    counts, details, tools = _claude_counts(usage), usage.output_tokens_details, usage.server_tool_use
    told = f"{usage.input_tokens}-{counts['cache_write_tokens']}-{counts['cached_input_tokens']}"
    common: Row = {
        "message_id": name,
        "call_id": call.requestId,
        "sidechain": side,
        "time_s": _time_s(call.timestamp),
        "service_tier": (usage.service_tier or "standard").lower(),
    }
    main: Row = {
        **common,
        **counts,
        **_claude_model(message.model or "unknown", name, usage.speed),
        # Side conversations tell a message again under the id of another request. Where there is none, as with other
        # providers than Anthropic, gateways may give all messages one id: their input tells them apart.
        "request_id": name if side or not name else f"{name}/{call.requestId or told}",
        "reasoning_tokens": (details.thinking_tokens or 0) if details else 0,
        "searches": (tools.web_search_requests or 0) if tools else 0,
        # 0 is what was written where no price was known.
        "cost_usd": call.costUSD or None,
    }
    rows = [main]
    for place, one in enumerate(usage.iterations or ()):
        if one.type in NOT_IN_THE_SUM:
            rows.append({
                **common,
                **_claude_counts(one),
                **_claude_model(one.model or message.model or "unknown", name, None if one.model else usage.speed),
                "request_id": main["request_id"] and f"{main['request_id']}/{place}-{one.type}",
                "reasoning_tokens": 0,
                "searches": 0,
                "cost_usd": None,
            })  # fmt: skip
    return rows, call.cwd or "", usage.inference_geo == "us"


def _claude_counts(usage: ClaudeTokens) -> Row:
    """Tokens of a call as columns."""
    lives, read = usage.cache_creation, usage.cache_read_input_tokens or 0
    for_an_hour = (lives.ephemeral_1h_input_tokens or 0) if lives else 0
    told = for_an_hour + ((lives.ephemeral_5m_input_tokens or 0) if lives else 0)
    written = max(usage.cache_creation_input_tokens or 0, told)
    return {
        "input_tokens": (usage.input_tokens or 0) + written + read,
        "cached_input_tokens": read,
        "cache_write_tokens": written,
        "cache_write_1h_tokens": None if written and lives is None else for_an_hour,
        "output_tokens": usage.output_tokens or 0,
    }


def _claude_model(model: str, message: str | None, speed: str | None) -> Row:
    """Who answered, as columns."""
    provider = next((one for start, one in SERVED_BY.items() if (message or "").startswith(start)), "")
    return {
        # The same model at a higher price.
        "model": f"{model}-fast" if speed == "fast" else model,
        "provider": provider or ("anthropic" if model.startswith("claude-") and "@" not in model else ""),
    }


# Codex CLI


def _is_codex(line: dict[str, object]) -> bool:
    return line.get("type") in CODEX_TYPES and {"timestamp", "payload"} <= line.keys()


def read_codex(files: LogFiles) -> LogRows:
    """The calls in rollouts of Codex CLI.

    Notes
    -----
    An event tells the tokens of the session so far; what was added since the event before is a call. Where nothing did,
    the call is told again, as Codex does with news of the rate limits. Where the sum is the first of its file, or less
    than before, what the event says of the last call counts. Cached tokens are a part of the input, and so are those
    written to the cache, which Codex tells since 0.145; those of reasoning are a part of the output. The model is that
    of the turn, the tier of service that of the settings since they were last applied. A session that was branched off
    begins with a copy of the other: events of one time and one sum are one call. The tenant is the folder in which
    Codex was started.
    """
    calls = _Calls()
    untold = sum(_read_rollout(files, path, calls) for path in files.paths)
    notes = [
        f"Codex did not write in which tier of service it made {counted(untold, 'call')}: standard is assumed (--tier)"
    ]
    return calls.log_rows(files, calls.table(), *(notes if untold else ()))


def _read_rollout(files: LogFiles, path: Path, calls: _Calls) -> int:
    """Take the calls of a file; how many of them were made in a tier of service that no one told."""
    from costlab.monitoring.importers.session_lines import codex_line

    model, provider, tenant, subagent = "unknown", "openai", "", False
    tier: str | None = None
    events: list[tuple[str, float, str, str | None, CodexTokens | None, CodexTokens | None]] = []
    for number, line in _lines(files, path, CODEX_MARKS, calls):
        try:
            found = codex_line(line)
            if found is None:
                continue
            told, payload = found
            if told.type == "session_meta":
                # The first is the file's own; a copied conversation brings others.
                if not tenant:
                    tenant, provider = payload.cwd or "", payload.model_provider or provider
                    subagent = b"thread_spawn" in line
            elif told.type == "turn_context":
                model, tenant = payload.model or model, tenant or payload.cwd or ""
            elif payload.type == "thread_settings_applied" and payload.thread_settings is not None:
                tier = (payload.thread_settings.service_tier or "standard").lower()
            elif payload.type == "token_count" and payload.info is not None:
                total, last = payload.info.total_token_usage, payload.info.last_token_usage
                if (total or last) is not None:
                    events.append((told.timestamp or "", _time_s(told.timestamp), model, tier, total, last))
        except ValueError as error:
            calls.spoil(path, number, error)
    before: CodexTokens | None = None
    untold = 0
    # A subagent's rollout begins with a copy of what was said before, all of it written in one second.
    seconds = [when[:19] for when, *_ in events[:2]]
    copied_in = seconds[0] if subagent and len(events) > 1 and seconds[0] == seconds[1] else None
    for when, time_s, of_model, of_tier, total, last in events:
        used, before = _used(total, last, before), before if total is None else total
        copied_in = copied_in if when[:19] == copied_in else None
        if not used or copied_in:
            calls.repeated += 1
            continue
        untold += of_tier is None
        calls.add({
            "request_id": f"{when}/{total or used}",
            "message_id": None,
            "call_id": None,
            "sidechain": subagent,
            "time_s": time_s,
            "model": of_model,
            "provider": provider,
            "tenant": tenant,
            "input_tokens": used.input_tokens,
            "cached_input_tokens": used.cached_input_tokens,
            "cache_write_tokens": used.cache_write_input_tokens,
            "cache_write_1h_tokens": 0,  # OpenAI asks one price, however long it keeps them
            "output_tokens": used.output_tokens,
            "reasoning_tokens": used.reasoning_output_tokens,
            "searches": 0,
            "service_tier": CODEX_TIERS.get(of_tier or "default", of_tier),
            "cost_usd": None,
        })  # fmt: skip
    return untold


def _used(total: CodexTokens | None, last: CodexTokens | None, before: CodexTokens | None) -> CodexTokens | None:
    """The tokens of the call that an event tells."""
    if total is None:
        return last
    more = None if before is None else total.less(before)
    if more is None or more.smallest < 0:
        return total if last is None else last
    return more


CLAUDE_CODE_FORMAT: Final = LogFormat(
    "claude-code",
    "sessions of Claude Code: ~/.claude/projects",
    lambda files: _begins(files, _is_claude_code, CLAUDE_LINE),
    read_claude_code,
    answer_ids=("message_id", "call_id"),
)
CODEX_FORMAT: Final = LogFormat(
    "codex", "sessions of Codex CLI: ~/.codex/sessions", lambda files: _begins(files, _is_codex, CODEX_LINE), read_codex
)
