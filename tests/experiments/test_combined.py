import json
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.compression import BenchmarkResult, PackagedModel, benchmark
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.experiments import COMBINED, combined_study, combined_variants
from costlab.experiments.combined import EXPERIMENT
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SOME = ("fp32", "pruned + torch-dynamic", "pruned + csr", "student", "student alone")


@pytest.fixture(scope="module")
def result(small_encoder: PackagedModel) -> BenchmarkResult:
    needs.extra("sklearn", "compression")
    variants = combined_variants(small_encoder, SOME, device="cpu", labels_each=2, n_test=1, unlabelled=300, steps=1)
    return benchmark(variants, device="cpu", batch_sizes=(1,), repeats=3, progress=False, experiment="combined")


def test_all_answer_the_same_queries(result: BenchmarkResult) -> None:
    assert [row.variant for row in result.rows] == list(SOME)
    assert all(row.reason == "" for row in result.rows)
    assert {(row.metric, row.quality_n) for row in result.rows} == {("accuracy", 72)}


def test_the_student_is_the_cheapest_and_learns_from_its_teacher(result: BenchmarkResult) -> None:
    taught, alone = result.row("student"), result.row("student alone")
    assert taught.at(1).ratio < 0.5
    assert (taught.quality or 0) > (alone.quality or 1)
    assert taught.weights_bytes == alone.weights_bytes
    assert taught.facts["training_s"] > 0


def test_the_front_begins_with_a_student_and_holds_the_best(result: BenchmarkResult) -> None:
    front = result.front()
    best = max(row.quality or 0 for row in result.rows)
    assert front[0] in ("student", "student alone")
    assert result.row(front[-1]).quality == best
    with pytest.raises(InvalidValueError, match="model must be one with a variant that was measured"):
        result.front(model="other")


def test_a_figure_shows_the_front_in_colour(result: BenchmarkResult) -> None:
    needs.extra("matplotlib", "plots")
    from costlab.plotting import COLORS, plot_benchmark

    ax = plot_benchmark(result)
    assert {text.get_text() for text in ax.texts if text.get_color() == COLORS["blue"]} == set(result.front())
    assert ax.get_xlabel() == "USD per million requests"


def test_bad_input(encoder: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown variant 'studnt'; did you mean 'student'"):
        combined_variants(encoder, ("studnt",), device="cpu")
    with pytest.raises(InvalidValueError, match="steps must be a whole number >= 1, got 0"):
        combined_variants(encoder, steps=0, device="cpu")
    with pytest.raises(InvalidValueError, match="labels_each must be a whole number >= 2, got 1"):
        combined_variants(encoder, labels_each=1, device="cpu")
    with pytest.raises(InvalidValueError, match="unlabelled must be a whole number >= 1, got 0"):
        combined_variants(encoder, unlabelled=0, device="cpu")
    assert [variant.name for variant in combined_variants(encoder, device="cpu")] == list(COMBINED)
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        combined_study(device="cuda")


def test_the_command_names_the_front_and_records(
    result: BenchmarkResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[Any] = []

    @wraps(combined_study)
    def study(**options: Any) -> BenchmarkResult:
        asked.append((options["names"], options["steps"]))
        return result

    monkeypatch.setattr("costlab.experiments.combined.EXPERIMENT", replace(EXPERIMENT, measure=study))
    chosen = ("--device", "cpu", "--variant", "fp32", "--variant", "student", "--steps", "3", "--batch", "1")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "combined", *chosen, "--record", "--folder", str(tmp_path)])
    assert ended.value.code == 0
    assert asked == [(["fp32", "student"], 3)]
    assert f"not beaten in quality and dollars: {', '.join(result.front())}" in capsys.readouterr().out
    assert BenchmarkResult.recorded("combined", "cpu", tmp_path) == result
    assert json.loads((tmp_path / "combined-cpu.json").read_text())["command"] == (
        "costlab bench combined --device cpu --variant fp32 --variant student --batch 1 --steps 3 --repeats 7 "
        "--seed 0 --record"
    )
