import json
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.errors import InvalidValueError
from costlab.experiments import ServingResult, serving_study
from tests import needs
from tests.experiments.serving_server import PacedServer

SMALL: dict[str, Any] = {"input_tokens": 8, "output_tokens": 5}


@pytest.fixture(autouse=True)
def client() -> None:
    needs.extra("openai", "router")


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
    assert "1 failed" in row.line()


def test_a_server_that_refuses_all_is_a_row_with_its_reason() -> None:
    with PacedServer(refused=set(range(100))) as server:
        row = serving_study(server.url, concurrencies=[2], **SMALL).row(2)
    assert row.median is None
    assert "overloaded" in row.reason
    assert "not measured" in row.line()


def test_pieces_are_counted_where_the_server_does_not() -> None:
    with PacedServer(counts=False) as server:
        row = serving_study(server.url, concurrencies=[1], **SMALL).row(1)
    assert (row.input_tokens, row.output_tokens) == (0, 30)


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
