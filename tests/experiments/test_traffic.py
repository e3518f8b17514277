import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from costlab import recordings
from costlab.cli import main
from costlab.datasets import LlmTrace, azure_llm_trace
from costlab.errors import InvalidValueError, RecordingError, UnknownNameError
from costlab.experiments import fit_trace, measure_traffic, recorded_traffic
from costlab.experiments.traffic import KINDS
from costlab.synthetic import arrival_times

published = pytest.mark.skipif(
    "COSTLAB_DATA_DIR" not in os.environ, reason="COSTLAB_DATA_DIR names no folder with the published files"
)

TRACE = LlmTrace("conversation", (0.0, 30.0, 60.0, 180.0), (10, 20, 30, 40), (1, 2, 3, 4), "CC BY 4.0", "nobody")


def test_fit_by_hand() -> None:
    fit = fit_trace(TRACE)
    assert (fit.requests, fit.duration_s) == (4, 180)
    assert fit.requests_per_s == pytest.approx(3 / 180)
    assert fit.cv == pytest.approx(np.std([30, 30, 120], ddof=1) / 60)
    assert fit.busiest_minute == pytest.approx(2)  # 2, 1, 0 requests in three whole minutes
    assert fit.context_tokens[fit.levels.index(0.5)] == 25


@pytest.mark.parametrize(
    ("kind", "rate", "cv", "context", "generated"),
    # As in the public description of the trace: shared figures of the project's data notes.
    [("conversation", 5.5, 1.09, (1020, 4142), (129, 601)), ("code", 2.6, 13.15, (1469, 7436), (13, 251))],
)
def test_recorded_fit_of_the_azure_traces(
    kind: str, rate: float, cv: float, context: tuple[int, int], generated: tuple[int, int]
) -> None:
    fit = recorded_traffic(kind)
    half, most = fit.levels.index(0.5), fit.levels.index(0.99)
    assert fit.requests_per_s == pytest.approx(rate, abs=0.05)
    assert fit.cv == pytest.approx(cv, abs=0.005)
    assert (fit.context_tokens[half], fit.context_tokens[most]) == pytest.approx(context, abs=1)
    assert (fit.generated_tokens[half], fit.generated_tokens[most]) == pytest.approx(generated, abs=1)


@published
@pytest.mark.parametrize("kind", KINDS)
def test_recording_is_what_the_traces_give(kind: str) -> None:
    assert fit_trace(azure_llm_trace(kind)) == recorded_traffic(kind)


@published
def test_bench_records_the_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", "traffic", "--json", "--record", "--folder", str(tmp_path)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "recorded in traffic-azure-2023.json\n")
    assert json.loads(out)["rows"][0]["kind"] == "conversation"
    assert recordings.load_recording(tmp_path / "traffic-azure-2023.json").rows == measure_traffic().rows
    with pytest.raises(SystemExit):
        main(["bench", "traffic"])
    assert "5.53 requests/s" in capsys.readouterr().out


def test_a_stream_made_with_the_fit_has_its_rate_and_bursts() -> None:
    fit = recorded_traffic("conversation")
    times = arrival_times(np.random.default_rng(4), requests_per_s=fit.requests_per_s, duration_s=36_000, cv=fit.cv)
    gaps = np.diff(times)
    assert 1 / gaps.mean() == pytest.approx(fit.requests_per_s, rel=0.02)
    assert gaps.std() / gaps.mean() == pytest.approx(fit.cv, rel=0.02)


def test_sampled_tokens_have_the_quantiles() -> None:
    fit = recorded_traffic("code")
    context, generated = fit.sample_tokens(np.random.default_rng(4), 50_000)
    assert np.median(context) == pytest.approx(1469, rel=0.03)
    assert np.quantile(generated, 0.99) == pytest.approx(251, rel=0.05)


def test_what_cannot_be_fitted_or_found() -> None:
    with pytest.raises(InvalidValueError, match="requests of the trace must be a whole number >= 3, got 2"):
        fit_trace(replace(TRACE, arrival_s=(0.0, 1.0)))
    with pytest.raises(UnknownNameError, match="unknown kind of trace 'chat'"):
        recorded_traffic("chat")


def test_a_missing_recording_says_how_to_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "FOLDER", tmp_path)
    with pytest.raises(RecordingError, match="make it with: costlab bench traffic --record"):
        recorded_traffic("code")
