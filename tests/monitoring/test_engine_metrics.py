"""Tokens and dollars from two scrapes of an engine, and each way in which the two do not fit together."""

import json
import os
import re
from pathlib import Path

import pytest

from costlab.catalog import gpu_price
from costlab.cli import main
from costlab.errors import InvalidValueError
from costlab.monitoring import EngineMetricsError, engine_cost, engine_tokens
from tests import needs

#: Scrapes of xllamacpp 2026.10.11549, before and after three chats with one system prompt and one continued text.
DATA = Path(__file__).parent / "data" / "engines"
FIRST, SECOND = ((DATA / f"llama-{name}.prom").read_text() for name in ("first", "second"))


@pytest.fixture(autouse=True)
def parser() -> None:
    needs.extra("prometheus_client", "monitoring")


def vllm(
    prompt: float, cached: float, written: float, *, model: str = "m", engine: str = "0", started: float = 5
) -> str:
    """As vLLM 0.32 documents its metrics (docs.vllm.ai/en/v0.32.0/usage/metrics)."""
    labels = f'{{engine="{engine}",model_name="{model}"}}'
    return (
        f"vllm:prompt_tokens_total{labels} {prompt}\nvllm:prompt_tokens_cached_total{labels} {cached}\n"
        f"vllm:prefix_cache_hits_total{labels} {cached + 1}\nvllm:generation_tokens_total{labels} {written}\n"
        f"vllm:request_prefill_time_seconds_sum{labels} {prompt / 1000}\n"
        f"vllm:request_decode_time_seconds_sum{labels} {written / 100}\nprocess_start_time_seconds {started}\n"
    )


def test_a_real_llama_server_is_counted_as_its_answers_said() -> None:
    (done,) = engine_tokens(FIRST, SECOND)
    # The answers' usage: prompts of 286, 286, 285 and 66 tokens, of which 275 and 275 were cached; 3 x 24 + 48 written.
    assert (done.computed_tokens + done.cached_tokens, done.cached_tokens) == (286 + 286 + 285 + 66, 550)
    assert done.written_tokens == 3 * 24 + 48
    assert (done.drafted_tokens, done.accepted_tokens) == (35, 18)
    assert done.hit_rate == pytest.approx(550 / 923)
    (cost,) = engine_cost(FIRST, SECOND, seconds=60, usd_per_hour=1.2)
    assert cost.usd == pytest.approx(0.02)
    parts = (cost.computed_usd_per_mtok or 0) * done.computed_tokens + (
        cost.written_usd_per_mtok or 0
    ) * done.written_tokens
    assert parts / 1e6 == pytest.approx(cost.usd)
    assert cost.input_usd_per_mtok == pytest.approx((cost.computed_usd_per_mtok or 0) * done.computed_tokens / 923)


def test_of_vllm_the_cached_tokens_are_among_the_prompt_tokens() -> None:
    (done,) = engine_tokens(vllm(100, 0, 10), vllm(1100, 600, 60))
    assert (done.computed_tokens, done.cached_tokens, done.written_tokens) == (400, 600, 50)
    (cost,) = engine_cost(vllm(100, 0, 10), vllm(1100, 600, 60), seconds=3600, usd_per_hour=3.0)
    # 1 s of prompts and 0.5 s of answers: two thirds and one third of 3 USD.
    assert cost.computed_usd_per_mtok == pytest.approx(2.0 / 400 * 1e6)
    assert cost.written_usd_per_mtok == pytest.approx(1.0 / 50 * 1e6)
    assert cost.input_usd_per_mtok == pytest.approx(2.0 / 1000 * 1e6)
    assert cost.usd_per_mtok == pytest.approx(3.0 / 1050 * 1e6)
    older = [
        re.sub("vllm:prompt_tokens_cached_total.*\n", "", text) for text in (vllm(100, 0, 10), vllm(1100, 600, 60))
    ]
    assert engine_tokens(*older)[0].cached_tokens == 600  # from the prefix cache's hits


def test_models_share_the_price_and_replicas_are_summed() -> None:
    def text(scale: int) -> str:
        small = vllm(1000 * scale, 0, 0, model="a") + vllm(1000 * scale, 0, 0, model="a", engine="1")
        return small + vllm(0, 0, 200 * scale, model="b")

    a, b = engine_cost(text(1), text(3), seconds=36, usd_per_hour=100.0)
    assert (a.tokens.model, a.tokens.replicas, a.tokens.computed_tokens) == ("a", 2, 4000)
    assert (b.tokens.model, b.tokens.replicas, b.tokens.written_tokens) == ("b", 1, 400)
    assert [a.usd, b.usd] == pytest.approx([0.5, 0.5])  # 4 s of requests each
    assert b.input_usd_per_mtok is None
    bare = [re.sub("vllm:request_.*\n", "", text(scale)) for scale in (1, 3)]
    a, b = engine_cost(*bare, seconds=36, usd_per_hour=100.0)
    assert [a.usd, b.usd] == pytest.approx([10 / 11, 1 / 11])  # by tokens, where no seconds are told
    assert (a.computed_usd_per_mtok, b.written_usd_per_mtok) == (None, None)
    assert b.usd_per_mtok == pytest.approx(1 / 11 / 400 * 1e6)


def test_a_replica_that_joined_between_the_scrapes_counts_from_zero() -> None:
    (done,) = engine_tokens(vllm(100, 0, 10), vllm(200, 0, 20) + vllm(50, 0, 5, engine="1"))
    assert (done.computed_tokens, done.written_tokens, done.replicas) == (150, 15, 2)


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        (
            SECOND,
            FIRST,
            "is less in the second scrape: the two are swapped, or the engine was started again between them",
        ),
        (vllm(9, 0, 9), vllm(5, 0, 5), "and the engine is the same: the two are swapped"),
        (vllm(9, 0, 9), vllm(5, 0, 5, started=7), "was started again between the two; scrape both after a start"),
        (vllm(9, 0, 9), vllm(99, 0, 99, started=7), "started again between the two scrapes"),
        (FIRST, FIRST, "no token was read or written between the two scrapes: their counters are equal"),
        (FIRST, vllm(1, 0, 1), "the first scrape is of llama.cpp, the second of vLLM"),
        (vllm(1, 0, 1), vllm(2, 0, 2, model="other"), r"the second scrape lacks what the first has \(m engine=0\)"),
        ("", SECOND, "the first scrape must have metrics of vLLM .* and has neither"),
        (FIRST + vllm(1, 0, 1), SECOND, "and has both"),
        (FIRST, "llamacpp:prompt_tokens_total 7\n", "second scrape lacks llamacpp:tokens_predicted_total of its model"),
        ("llamacpp:n_decode_total 7\n", SECOND, "first scrape lacks llamacpp:prompt_tokens_total of its model"),
        ("llamacpp:prompt_tokens_total {{{\n", SECOND, "the first scrape is no text for Prometheus"),
        (FIRST, SECOND + "llamacpp:prompt_tokens_total NaN\n", "llamacpp:prompt_tokens_total nan, which no counter is"),
    ],
)
def test_what_does_not_fit_together_is_told(first: str, second: str, said: str) -> None:
    with pytest.raises(EngineMetricsError, match=said):
        engine_tokens(first, second)


def test_impossible_numbers_are_refused() -> None:
    with pytest.raises(InvalidValueError, match="seconds must be"):
        engine_cost(FIRST, SECOND, seconds=0, usd_per_hour=1)
    with pytest.raises(InvalidValueError, match="usd_per_hour must be"):
        engine_cost(FIRST, SECOND, seconds=1, usd_per_hour=-1)


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["report", *words])
    return int(str(ended.value.code))


def test_the_command_prices_two_files_by_their_times(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one, two = tmp_path / "1.prom", tmp_path / "2.prom"
    one.write_text(FIRST)
    two.write_text(SECOND)
    os.utime(one, (1000, 1000))
    os.utime(two, (1060, 1060))
    assert run("--engine-metrics", str(one), str(two), "--gpu-hour-usd", "0.6", "--gpus", "2") == 0
    shown = capsys.readouterr().out
    assert "60 s between the scrapes, 2 x 0.6 USD an hour (as given)" in shown
    assert re.search(r"prompt tokens, reused +550\n", shown)
    assert "18 of 35 drafted tokens were accepted" in shown
    assert run("--engine-metrics", str(one), str(two), "--gpu-hour-usd", "1", "--scrape-seconds", "36", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"][0]["usd"] == pytest.approx(0.01)
    assert told["models"][0]["tokens"]["cached_tokens"] == 550
    listed = gpu_price("L4", snapshot="list", provider="aws").usd_per_hour
    words = ("--engine-metrics", str(one), str(two), "--gpu", "L4", "--gpu-provider", "aws", "--json")
    assert run(*words) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["models"][0]["usd"] == pytest.approx(listed / 60)
    assert told["price"].startswith("L4 at aws, list price of 20")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("FIRST", "SECOND"), "engine_metrics must be given with either --gpu or --gpu-hour-usd"),
        (("FIRST", "SECOND", "--gpu", "L4", "--gpu-hour-usd", "1"), "either --gpu or --gpu-hour-usd"),
        (("FIRST", "SECOND", "--gpu", "L5"), "unknown GPU 'L5'"),
        (("FIRST", "absent", "--gpu-hour-usd", "1"), "absent cannot be read: No such file"),
        (("FIRST", "http://127.0.0.1:9/metrics", "--gpu-hour-usd", "1"), "no scrape from http://127.0.0.1:9/metrics:"),
        (("SECOND", "FIRST", "--gpu-hour-usd", "1", "--scrape-seconds", "9"), "the two are swapped"),
        (("FIRST", "FIRST", "--gpu-hour-usd", "1"), "scrape_seconds must be given: by the times of the files"),
        (("FIRST", "SECOND", "log.csv", "--gpu-hour-usd", "1"), "log must be left out with --engine-metrics"),
    ],
)
def test_the_command_tells_what_is_wrong_in_a_line(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for name, text in (("FIRST", FIRST), ("SECOND", SECOND)):
        (tmp_path / name).write_text(text)
    paths = [str(tmp_path / word) if word in ("FIRST", "SECOND", "absent") else word for word in words]
    assert run("--engine-metrics", *paths) != 0
    error = capsys.readouterr().err
    assert said in error
    assert len(error.strip().splitlines()) == 1
