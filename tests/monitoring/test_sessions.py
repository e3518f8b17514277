"""Sessions of coding agents: the same calls, tokens and dollars as ccusage finds, or a line that says why not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from costlab._internal.text import dollars
from costlab.catalog import api_price
from costlab.errors import LogError
from costlab.monitoring import Report, UsageLog, UsageTotals, aggregate, build_report, fill_costs, open_log
from costlab.monitoring.report.render import facts as report_facts
from tests import needs
from tests.monitoring.sessions import (
    claude_line,
    claude_usage,
    codex_meta,
    codex_tokens,
    codex_turn,
    codex_writes,
    moment,
    write_lines,
)

for module in ("narwhals", "pyarrow", "duckdb", "msgspec"):
    needs.extra(module, "usage")

SHOP = "projects/-home-ada-shop-web/0b7e.jsonl"
ROLLOUT = "sessions/2026/11/03/rollout-2026-11-03T10-00-00-019a.jsonl"


def total(log: UsageLog) -> UsageTotals:
    (found,) = aggregate(fill_costs(log.frame).frame)
    return found


def report_of(path: Path) -> Report:
    log = open_log(path)
    filled = fill_costs(log.frame)
    return build_report(filled.frame, notes=(*log.notes, *filled.notes), pricing=filled.pricing)


def test_an_answer_that_grew_is_one_call_and_its_last_state_counts(tmp_path: Path) -> None:
    """The answer A of the made-up bill: 12 + 3,000 written + 5,000 read, output 200, is 0.020286 USD."""
    usage = {"fresh": 12, "written_5m": 1000, "written_1h": 2000, "read": 5000}
    model = "claude-sonnet-4-5-20250929"
    lines = [claude_line(n, "msg_01", "req_01", claude_usage(**usage, output=o), model=model)
             for n, o in enumerate([1, 1, 200])]  # fmt: skip
    write_lines(tmp_path / SHOP, [{"type": "summary", "summary": "Shop", "leafUuid": "6f1c"}, *lines])
    log = open_log(tmp_path)
    assert (log.format, log.read.rows, log.read.repeated, log.read.kept) == ("claude-code", 3, 2, 1)
    found = total(log)
    assert (found.requests, found.cost_micro_usd) == (1, 20_286)
    assert (found.input_tokens, found.cached_input_tokens, found.cache_write_tokens) == (8012, 5000, 3000)
    assert found.output_tokens == 200


def test_where_no_lifetime_is_told_five_minutes_are_assumed_and_marked(tmp_path: Path) -> None:
    usage = claude_usage(fresh=12, written_5m=3000, read=5000, output=200)
    del usage["cache_creation"]
    write_lines(tmp_path / SHOP, [claude_line(1, "m", "r", usage, model="claude-sonnet-4-5-20250929")])
    filled = fill_costs(open_log(tmp_path).frame)
    (found,) = aggregate(filled.frame)
    assert found.cost_micro_usd == 15_786
    (assumed,) = filled.pricing.assumptions
    assert "five minutes" in assumed.text
    assert assumed.usd == pytest.approx(3000 * 3.75e-6)


def test_the_tenant_is_the_project_by_the_path_that_its_folder_stands_for(tmp_path: Path) -> None:
    """Claude Code makes `-` of all that is no letter and no figure: the lines themselves say the path."""
    write_lines(tmp_path / SHOP, [claude_line(1, "a", "a", claude_usage(), cwd="/home/ada/shop.web/src"),
                                  claude_line(2, "b", "b", claude_usage())])  # fmt: skip
    side = "projects/-home-ada-shop-web/0b7e/subagents/agent-a1.jsonl"
    write_lines(tmp_path / side, [claude_line(3, "c", "c", claude_usage(), cwd="/tmp", isSidechain=True)])
    write_lines(tmp_path / "projects/-srv-api/1.jsonl", [claude_line(4, "d", "d", claude_usage(), cwd="/elsewhere")])
    log = open_log(tmp_path / "projects")
    found = {one.key[0]: one.requests for one in aggregate(log.frame, by=["tenant"])}
    assert found == {"/home/ada/shop.web": 3, "-srv-api": 1}
    assert any(note.startswith("1 line is of subagents") for note in log.notes)
    # A file that is named itself still has its project, and one outside of the folders the place where it was made.
    assert [one.key[0] for one in aggregate(open_log(tmp_path / SHOP).frame, by=["tenant"])] == ["/home/ada/shop.web"]
    loose = write_lines(tmp_path / "x.jsonl", [claude_line(1, "a", "a", claude_usage())])
    assert [one.key[0] for one in aggregate(open_log(loose).frame, by=["tenant"])] == ["/home/ada/shop.web"]


def test_lines_that_ask_no_model_are_no_calls(tmp_path: Path) -> None:
    tool = {"type": "user", "sessionId": "0b7e", "timestamp": moment(2), "message": {"role": "user", "content": []},
            "toolUseResult": {"usage": {"input_tokens": 5, "output_tokens": 5}, "totalTokens": 10}}  # fmt: skip
    own = claude_line(3, "x", None, claude_usage(fresh=0, output=0), model="<synthetic>", isApiErrorMessage=True)
    path = write_lines(tmp_path / SHOP, [claude_line(1, "a", "a", claude_usage()), tool, own])
    # The session goes on: its last line is half there.
    path.write_bytes(path.read_bytes() + json.dumps(claude_line(4, "b", "b", claude_usage())).encode()[:400])
    read = open_log(tmp_path).read
    assert read.dropped == {
        "messages that Claude Code wrote itself": 1,
        "a last line that is not written to its end": 1,
    }
    assert read.kept == 1


def test_what_was_used_beside_the_tokens_counts(tmp_path: Path) -> None:
    """Searches cost 0.01 each; `costUSD` is what old versions told; thinking is a part of the output."""
    searched = claude_usage(server_tool_use={"web_search_requests": 2, "web_fetch_requests": 1})
    thought = claude_usage(output=50, output_tokens_details={"thinking_tokens": 30})
    write_lines(tmp_path / SHOP, [
        claude_line(1, "a", "a", searched),
        claude_line(2, "b", "b", thought, costUSD=0.5),
        claude_line(3, "msg_bdrk_1", None, claude_usage()),
        claude_line(4, "msg_vrtx_1", None, claude_usage()),
        claude_line(5, "e", "e", claude_usage(service_tier="batch")),
        claude_line(6, "f", "f", claude_usage(inference_geo="us")),
        claude_line(7, "g", "g", claude_usage(speed="fast"), model="claude-opus-5"),
        claude_line(8, "h", "h", claude_usage(speed="fast"), model="claude-opus-5-5"),
    ])  # fmt: skip
    log = open_log(tmp_path)
    plain = api_price("claude-haiku-4-5", "anthropic").usd(3, 10)
    by_provider = {one.key[0]: one.requests for one in aggregate(log.frame, by=["provider"])}
    assert by_provider == {"anthropic": 6, "aws": 1, "google": 1}
    found = total(log)
    assert (found.searches, found.reasoning_tokens) == (2, 30)
    elsewhere = [api_price("claude-haiku-4-5-20251001", provider).usd(3, 10) for provider in ("aws", "google")]
    fast = 2 * api_price("claude-opus-5", "anthropic").usd(3, 10)
    prices = [plain + 0.02, *elsewhere, plain / 2, plain, fast]
    assert found.cost_micro_usd == 500_000 + round(1e6 * sum(prices))
    # Fast mode of a model has a price of its own, or none that is known.
    assert list(fill_costs(log.frame).unknown) == ["claude-opus-5-5-fast"]
    assert any("1 line asks for inference in the US alone" in note for note in log.notes)


def test_a_call_without_a_request_id_is_known_by_its_input(tmp_path: Path) -> None:
    """Answers of Bedrock stand on several lines and have no request id; ccusage counts each line."""
    write_lines(tmp_path / SHOP, [
        claude_line(1, "msg_bdrk_1", None, claude_usage(output=1)),
        claude_line(2, "msg_bdrk_1", None, claude_usage(output=90)),
        # A gateway that gives all of its messages one id.
        claude_line(3, "msg_bdrk_1", None, claude_usage(fresh=400, output=7)),
        claude_line(4, None, None, claude_usage(output=5)),
        claude_line(5, None, None, claude_usage(output=5)),
    ])  # fmt: skip
    found = total(open_log(tmp_path))
    assert (found.requests, found.output_tokens) == (4, 90 + 7 + 5 + 5)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"type":"assistant","sessionId":"s","message":{"usage":{"input_tokens":"3"}}}', "Expected `int | null`"),
        ('{"type":"assistant","sessionId":"s","message":{"usage":{"input_tokens":3}}}', "a call without a time"),
        ('{"type":"assistant","sessionId":"s","timestamp":"soon","message":{"usage":{}}}', "Invalid isoformat"),
        ('{"type":"assistant","message":{"usage"', "Input data was truncated"),
    ],
)  # fmt: skip
def test_lines_that_cannot_be_read_are_shown(tmp_path: Path, line: str, why: str) -> None:
    path = write_lines(tmp_path / SHOP, [claude_line(1, "a", "a", claude_usage())])
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(LogError, match=rf"0b7e.jsonl line 2: .*{why}"):
        open_log(tmp_path)
    log = open_log(tmp_path, max_bad_rows=1)
    assert (log.read.rows, log.read.bad_rows, log.read.kept) == (2, 1, 1)


def test_sessions_are_told_by_their_lines_whatever_is_said_in_them(tmp_path: Path) -> None:
    """Also where the first line is longer than is looked at, and where spans of OpenTelemetry are talked about."""
    talk = {"parentUuid": None, "isSidechain": False, "cwd": "/a", "sessionId": "s", "type": "user",
            "message": {"role": "user", "content": 'resourceSpans gen_ai.usage "spend" ' + "x" * 100_000}}  # fmt: skip
    write_lines(tmp_path / "a/projects/-a/1.jsonl", [talk, claude_line(1, "a", "a", claude_usage())])
    long_meta = codex_meta("/a", base_instructions={"text": "gen_ai. " + "x" * 100_000})
    write_lines(tmp_path / "b" / ROLLOUT, [long_meta, codex_turn(1, "gpt-5"), codex_tokens(2, (9, 0, 1, 0))])
    assert open_log(tmp_path / "a").format == "claude-code"
    assert open_log(tmp_path / "b").format == "codex"
    both = open_log(tmp_path)
    assert (both.format, both.read.kept) == ("claude-code, codex", 2)
    # What else lies in the folder is left out, and said.
    (tmp_path / "a/projects/-a/sessions-index.json").write_text('{"version": 1, "entries": []}')
    (tmp_path / "a/todos.json").write_text("[]")
    (tmp_path / "a/settings.json").write_text("{}")
    assert any(note.startswith("files of no known format were left out: 3") for note in open_log(tmp_path / "a").notes)
    with pytest.raises(LogError, match=r"todos.json cannot be read: it holds no JSON objects"):
        open_log(tmp_path / "a/todos.json")


def test_a_session_without_calls_is_an_empty_log(tmp_path: Path) -> None:
    write_lines(tmp_path / SHOP, [{"type": "summary", "summary": "Shop", "leafUuid": "6f1c"}])
    assert open_log(tmp_path).read.rows == 0
    write_lines(tmp_path / "c" / ROLLOUT, [codex_meta("/a")])
    assert open_log(tmp_path / "c").read.rows == 0


def test_it_is_said_what_was_written_to_the_cache_again(tmp_path: Path) -> None:
    """The cache forgets after five minutes: a session that goes on after a longer pause writes all of it again."""
    model = "claude-opus-5"
    write_lines(tmp_path / SHOP, [
        claude_line(0, "a", "a", claude_usage(written_5m=20_000), model=model),
        claude_line(60, "b", "b", claude_usage(read=20_000, written_5m=10_000, output=1), model=model),
        claude_line(61, "b", "b", claude_usage(read=20_000, written_5m=10_000, output=9), model=model),
        claude_line(800, "c", "c", claude_usage(written_5m=31_000), model=model),
        claude_line(820, "d", "d", claude_usage(written_5m=9_000), model=model),  # compacted: it had held 31,000
    ])  # fmt: skip
    (note,) = [note for note in open_log(tmp_path).notes if "again" in note]
    price = api_price(model, "anthropic")
    usd = 30_000 * (price.usd_per_token("cache_write") - price.usd_per_token("cached_input"))
    assert note.startswith("1 call wrote 30,000 tokens to the prompt cache again")
    assert f"which cost ${usd:.3f} more than reading them; 1 of them came after a pause" in note
    # The report divides the cost by kind of token.
    facts = dict(report_facts(report_of(tmp_path)))
    read, rest, output = (20_000 * 0.5e-6, 4 * 3 * 5e-6, 39 * 25e-6)
    words = facts["by kind of token"]
    assert words.startswith("about $0.438 to write 77.8% of the input to the prompt cache, ")
    assert f"${read:.2f} to read 22.2% from it" in words
    assert f"for the rest of the input, {dollars(output)} for output" in words
    assert dollars(rest) in words


def test_the_project_that_caches_least_comes_first(tmp_path: Path) -> None:
    """What is not read from the cache was written to it, at 1.25 times the price of input."""
    good = [claude_line(n, f"g{n}", "r", claude_usage(fresh=0, read=90_000, written_5m=10_000)) for n in range(9)]
    bad = [claude_line(n, f"b{n}", "r", claude_usage(fresh=0, written_5m=100_000), cwd="/srv/api") for n in range(9)]
    write_lines(tmp_path / SHOP, good)
    write_lines(tmp_path / "projects/-srv-api/1.jsonl", bad)
    (saving,) = [one for one in report_of(tmp_path).savings if one.name == "prompt_cache"]
    assert saving.action.endswith("and ask again before it forgets: /srv/api first")
    assert saving.usd == pytest.approx(9 * 90_000 * (1.25 - 0.1) * 1e-6)


def test_who_was_asked_for_advice_is_billed_too(tmp_path: Path) -> None:
    """An adviser and a compaction stand among the iterations alone: github.com/ccusage/ccusage/issues/1115 and the
    docstring of `BetaUsage.iterations` in anthropic 2.15.0. The answer was written twice while it grew."""
    adviser = {
        "type": "advisor_message", "model": "claude-opus-4-7", "input_tokens": 159_419, "output_tokens": 7805,
        "cache_read_input_tokens": 0, "cache_creation_input_tokens": 0,
    }  # fmt: skip
    shorter = {
        "type": "compaction", "input_tokens": 1000, "output_tokens": 300, "cache_read_input_tokens": 2000,
        "cache_creation_input_tokens": 0,
    }  # fmt: skip
    own = {"type": "message", "input_tokens": 1, "output_tokens": 45, "cache_read_input_tokens": 109_696}
    usage = claude_usage(fresh=2, written_5m=7853, read=116_888, output=491, iterations=[own, adviser, own, shorter])
    early = usage | {"output_tokens": 3, "iterations": [own]}
    model = "claude-sonnet-4-6"
    lines = [claude_line(n, "msg_1", "req_1", one, model=model) for n, one in enumerate((early, usage))]
    write_lines(tmp_path / SHOP, lines)
    log = open_log(tmp_path)
    assert (log.read.rows, log.read.kept, log.read.repeated) == (4, 3, 1)
    advice, answer = aggregate(fill_costs(log.frame).frame, by=["model"])
    assert (advice.key, advice.requests, advice.output_tokens) == (("claude-opus-4-7",), 1, 7805)
    assert advice.cost_usd == pytest.approx(api_price("claude-opus-4-7").usd(159_419, 7805), abs=1e-6)
    assert (answer.requests, answer.input_tokens, answer.output_tokens) == (2, 124_743 + 3000, 491 + 300)


# Codex CLI


def test_the_difference_between_two_sums_is_a_call(tmp_path: Path) -> None:
    """The answer O of the made-up bill: 2,000 of which 1,536 cached, 300 of which 256 reasoning."""
    write_lines(tmp_path / ROLLOUT, [
        codex_meta("/home/ada/api"),
        codex_turn(1, "gpt-5-mini-2025-08-07"),
        {"timestamp": moment(2), "type": "event_msg", "payload": {"type": "token_count", "info": None}},
        codex_tokens(3, (2000, 1536, 300, 256), (2000, 1536, 300, 256)),
        codex_tokens(4, (2000, 1536, 300, 256), (2000, 1536, 300, 256)),  # news of the rate limits
        codex_tokens(5, (4000, 3072, 600, 512)),
        codex_turn(6, "gpt-5-mini"),
        codex_tokens(7, (300, 0, 40, 0), (300, 0, 40, 0)),  # begun anew
    ])  # fmt: skip
    log = open_log(tmp_path)
    assert (log.format, log.read.rows, log.read.repeated) == ("codex", 4, 1)
    (first, second) = aggregate(fill_costs(log.frame).frame, by=["model", "tenant", "provider"])
    assert first.key == ("gpt-5-mini", "/home/ada/api", "openai")
    assert (first.input_tokens, first.output_tokens) == (300, 40)
    assert (second.requests, second.cached_input_tokens, second.reasoning_tokens) == (2, 3072, 512)
    assert second.cost_micro_usd == round(2 * 754.4)


def test_what_codex_wrote_to_the_prompt_cache_has_its_price(tmp_path: Path) -> None:
    """Since GPT-5.6 a written token costs 1.25 of input; Codex tells them since 0.145, as a part of the input.

    The second sum and its call are of Codex 0.148.0, as github.com/ccusage/ccusage/issues/1617 shows them; the third
    call writes.
    """
    before = codex_tokens(2, (876_343, 817_489, 10_923, 1132), (58_697, 57_817, 227, 9))
    after = codex_tokens(3, (935_040, 875_306, 11_150, 1141), (58_697, 57_817, 227, 9))
    again = codex_tokens(4, (993_737, 875_306, 11_150, 1141), (58_697, 0, 0, 0))
    write_lines(tmp_path / ROLLOUT, [
        codex_meta("/a", cli_version="0.148.0"),
        codex_turn(1, "gpt-5.6-terra"),
        codex_writes(before, 57_610, 0),
        codex_writes(after, 57_610, 0),
        codex_writes(again, 57_610 + 58_000, 58_000),
    ])  # fmt: skip
    found = total(open_log(tmp_path))
    read, written, fresh = 2 * 57_817, 58_000, 3 * 58_697 - 2 * 57_817 - 58_000
    assert (found.requests, found.cached_input_tokens, found.cache_write_tokens) == (3, read, written)
    price = api_price("gpt-5.6-terra", "openai")
    assert price.cache_write_usd_per_mtok == pytest.approx(1.25 * price.input_usd_per_mtok)
    usd = price.usd(fresh + read + written, 2 * 227, cached_input_tokens=read, cache_write_tokens=written)
    assert found.cost_usd == pytest.approx(usd, abs=1e-6)


def test_codex_tells_the_tier_of_service_where_it_was_set(tmp_path: Path) -> None:
    """As in 253 of 1,034 rollouts that github.com/antiburn/antiburn/pull/269 looked at: `default` or `priority`."""

    def settings(second: int, tier: str | None) -> dict[str, Any]:
        payload = {"type": "thread_settings_applied", "thread_settings": {"model": "gpt-5.5", "service_tier": tier}}
        return {"timestamp": moment(second), "type": "event_msg", "payload": payload}

    turn, used = codex_turn(1, "gpt-5.5"), [codex_tokens(n + 3, (n * 1000, 0, n * 10, 0)) for n in (1, 2, 3)]
    lines = [settings(2, "default"), used[0], settings(4, "priority"), used[1], settings(5, None), used[2]]
    write_lines(tmp_path / ROLLOUT, [codex_meta("/a"), turn, *lines])
    log = open_log(tmp_path)
    tiers = aggregate(fill_costs(log.frame).frame, by=["service_tier"])
    assert [(one.key, one.requests) for one in tiers] == [(("priority",), 1), (("standard",), 2)]
    assert not any("tier of service" in note for note in log.notes)
    write_lines(tmp_path / ROLLOUT, [codex_meta("/a"), turn, used[0], *lines[2:4]])
    assert any("in which tier of service it made 1 call:" in note for note in open_log(tmp_path).notes)


def test_a_conversation_that_was_copied_counts_once(tmp_path: Path) -> None:
    """A branch begins with the lines of its origin; a subagent's with their sums, all in the second of the copy."""
    begun = [codex_meta("/a"), codex_turn(1, "gpt-5"), codex_tokens(2, (1000, 100, 200, 20))]
    write_lines(tmp_path / ROLLOUT, begun)
    write_lines(tmp_path / "sessions/rollout-b.jsonl", [*begun, codex_tokens(60, (1600, 300, 450, 40))])
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": "019a", "depth": 1}}}
    write_lines(tmp_path / "sessions/rollout-c.jsonl", [
        codex_meta("/a", source=spawned),
        codex_turn(90, "gpt-5"),
        codex_tokens(90, (1000, 100, 200, 20), (1000, 100, 200, 20)),
        codex_tokens(90, (1600, 300, 450, 40), (600, 200, 250, 20)),
        codex_tokens(95, (1700, 300, 460, 40), (100, 0, 10, 0)),
    ])  # fmt: skip
    log = open_log(tmp_path)
    found = total(log)
    assert (found.requests, found.input_tokens, found.output_tokens) == (3, 1700, 460)
    assert (log.read.rows, log.read.repeated) == (6, 3)


def test_a_model_that_nobody_named_is_unpriced(tmp_path: Path) -> None:
    """Builds of September 2025 wrote no turns; ccusage takes gpt-5."""
    write_lines(tmp_path / ROLLOUT, [codex_meta("/a"), codex_tokens(1, (1000, 0, 10, 0))])
    assert list(fill_costs(open_log(tmp_path).frame).unknown) == ["unknown"]
    spoiled = codex_tokens(2, (1000, 0, 10, 0)) | {"timestamp": None}
    write_lines(tmp_path / ROLLOUT, [codex_meta("/a"), spoiled])
    with pytest.raises(LogError, match="line 2: a call without a time"):
        open_log(tmp_path)


# ccusage


def ccusage(home: Path, *command: str) -> dict[str, Any]:
    """What ccusage 20.0.24 says of a folder with the prices that it carries; it looks at no other."""
    program = Path(sys.prefix) / "peers/node_modules/.bin/ccusage"
    needs.program(str(program), install="make setup")
    folders = {"HOME": str(home), "CLAUDE_CONFIG_DIR": str(home), "CODEX_HOME": str(home), "TZ": "UTC"}
    run = subprocess.run(
        [program, *command, "--json", "--offline"], env=os.environ | folders, capture_output=True, text=True, check=True
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found


#: Models of which ccusage carries other prices than the catalogue: a long request, where it knows one rate, and a model
#: that is newer than its list; at which models, with 250,000 tokens.
OTHER_PRICES = {
    "claude-sonnet-4-5-20250929": "above 200,000 tokens the catalogue has 6 USD, ccusage the 3 USD of shorter requests",
    "claude-opus-5-5": "unknown to ccusage, which then counts 0 USD",
}
MODELS = (
    "claude-haiku-4-5-20251001", "claude-sonnet-4-20250514", "claude-sonnet-4-6", "claude-opus-4-1-20250805",
    "claude-opus-4-5-20251101", "claude-opus-4-8", "claude-opus-5", *OTHER_PRICES,
)  # fmt: skip


def test_claude_code_as_ccusage_counts_it(tmp_path: Path) -> None:
    usage = {"fresh": 50_000, "written_5m": 60_000, "written_1h": 40_000, "read": 100_000, "output": 10_000}
    lines = [claude_line(n, f"m{n}", f"r{n}", claude_usage(**usage), model=m) for n, m in enumerate(MODELS)]
    again = [claude_line(20, "m0", "r0", claude_usage(**usage | {"output": 4}))]  # an earlier state
    replayed = [claude_line(21, "m1", "r-new", claude_usage(read=900_000), isSidechain=True)]
    aside = [claude_line(22, "m22", "r22", claude_usage(), isSidechain=True)]
    fast = [claude_line(25, "m25", "r25", claude_usage(**usage, speed="fast"), model="claude-opus-5")]
    told = claude_line(23, "m22", "r22", claude_usage())
    progress = [{"type": "progress", "sessionId": "0b7e", "timestamp": moment(23), "cwd": "/home/ada/shop.web",
                 "data": {"type": "agent_progress", "message": told | {"isSidechain": True}}}]  # fmt: skip
    own = [claude_line(24, "m24", None, claude_usage(fresh=0, output=0), model="<synthetic>")]
    write_lines(tmp_path / SHOP, [*lines, *again, *replayed, *aside, *progress, *own, *fast])
    log = open_log(tmp_path / "projects")
    ours = {one.key[0]: one for one in aggregate(fill_costs(log.frame).frame, by=["model"])}
    (day,) = ccusage(tmp_path, "claude", "daily")["daily"]
    theirs = {one["modelName"]: one for one in day["modelBreakdowns"]}
    assert list(ours) == sorted(theirs) == sorted([*MODELS, "claude-opus-5-fast"])
    for model, one in ours.items():
        four = [theirs[model][name] for name in ("inputTokens", "cacheCreationTokens", "cacheReadTokens")]
        assert one.input_tokens == sum(four)
        assert (one.cache_write_tokens, one.cached_input_tokens) == tuple(four[1:])
        assert one.output_tokens == theirs[model]["outputTokens"]
        same = one.cost_usd == pytest.approx(theirs[model]["cost"], abs=2e-6)
        assert same == (model not in OTHER_PRICES), model
    (block,) = ccusage(tmp_path, "blocks")["blocks"]
    # There it counts what the agent wrote itself too, which asked no model, and what was told again by the side.
    assert sum(one.requests for one in ours.values()) == block["entries"] - 2


#: Where we count otherwise than ccusage 20.0.24, and what both say: calls or dollars.
DIFFERENCES = {
    "searches": "it leaves out searches, at 0.01 USD each",
    "no request id": "it counts each line of an answer that has no request id",
    "cost of 0": "it takes a cost of 0 for a call that used tokens as told; we as unknown, and price it",
    "spaces": "it reads a line with spaces after its colons as no call at all",
}


@pytest.mark.parametrize("name", DIFFERENCES)
def test_where_ccusage_differs(tmp_path: Path, name: str) -> None:
    lines = {
        "searches": [claude_line(1, "a", "a", claude_usage(server_tool_use={"web_search_requests": 3}))],
        "no request id": [claude_line(n, "msg_bdrk_1", None, claude_usage(output=10)) for n in (1, 2)],
        "cost of 0": [claude_line(1, "a", "a", claude_usage(), costUSD=0)],
        "spaces": [claude_line(1, "a", "a", claude_usage())],
    }[name]
    path = write_lines(tmp_path / SHOP, lines)
    if name == "spaces":
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    ours, theirs = total(open_log(tmp_path)), ccusage(tmp_path, "claude", "daily")["totals"]
    if name == "searches":
        assert ours.cost_usd - theirs["totalCost"] == pytest.approx(0.03, abs=1e-6)
    elif name == "cost of 0":
        plain = round(1e6 * api_price("claude-haiku-4-5", "anthropic").usd(3, 10))
        assert (ours.cost_micro_usd, theirs["totalCost"]) == (plain, 0)
    elif name == "no request id":
        assert (ours.output_tokens, theirs["outputTokens"]) == (10, 20)
    else:
        assert (ours.output_tokens, theirs["outputTokens"]) == (10, 0)


def test_codex_as_ccusage_counts_it(tmp_path: Path) -> None:
    models = ("gpt-5", "gpt-5-codex", "gpt-5-mini", "gpt-5.1-codex-max")
    lines, so_far = [codex_meta("/home/ada/api")], [0, 0, 0, 0]
    for n, model in enumerate(models):
        used = (20_000 + n, 15_000, 900, 700)
        so_far = [one + other for one, other in zip(so_far, used, strict=True)]
        event = codex_tokens(10 * n + 2, (so_far[0], so_far[1], so_far[2], so_far[3]), used)
        lines += [codex_turn(10 * n + 1, model), event, event]
    write_lines(tmp_path / ROLLOUT, lines)
    ours = {one.key[0]: one for one in aggregate(fill_costs(open_log(tmp_path).frame).frame, by=["model"])}
    (day,) = ccusage(tmp_path, "codex", "daily")["daily"]
    assert list(ours) == sorted(day["models"]) == sorted(models)
    for model, one in ours.items():
        theirs = day["models"][model]
        assert one.input_tokens == theirs["inputTokens"] + theirs["cacheReadTokens"]
        assert one.cached_input_tokens == theirs["cacheReadTokens"]
        assert (one.output_tokens, one.reasoning_tokens) == (theirs["outputTokens"], theirs["reasoningOutputTokens"])
    cost = sum(one.cost_usd for one in ours.values())
    assert cost == pytest.approx(day["costUSD"], abs=1e-5)
