import json
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.compression import BenchmarkResult, PackagedModel, benchmark
from costlab.errors import InvalidValueError, ModelTooLargeError, UnknownNameError
from costlab.experiments import bytes_by_zeros, pruning_study, pruning_variants, quality_by_zeros
from costlab.experiments.pruning import EXPERIMENT
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def result(small_encoder: PackagedModel) -> BenchmarkResult:
    variants = pruning_variants(
        small_encoder, (0.9,), ("unstructured", "2:4"), device="cpu", steps=1, examples=1, n_test=1
    )
    return benchmark(variants, device="cpu", batch_sizes=(1,), repeats=3, progress=False, experiment="pruning")


def test_every_variant_is_measured_or_says_why_not(result: BenchmarkResult) -> None:
    assert [row.variant for row in result.rows] == [
        "dense",
        "masked 90%",
        "unstructured 90%",
        "unstructured 90%, tuned",
        "2:4",
        "2:4, tuned",
        "unstructured 90%, csr",
        "2:4, semi-structured",
    ]
    last = result.rows[-1]
    assert last.reason == "semi-structured does not run on cpu: its kernels are for CUDA only"
    assert all(row.reason == "" for row in result.rows[:-1])


def test_zeros_alone_save_nothing(result: BenchmarkResult) -> None:
    wide, zeros = result.row("dense"), result.row("unstructured 90%")
    assert (zeros.weights_bytes, zeros.disk_bytes) == (wide.weights_bytes, wide.disk_bytes)
    assert zeros.facts["sparsity_fraction"] == pytest.approx(0.9, abs=0.001)
    assert zeros.facts["packed_bytes"] < wide.facts["packed_bytes"]
    assert (result.row("masked 90%").disk_bytes or 0) > (wide.disk_bytes or 0)
    skipping = result.row("unstructured 90%, csr")
    assert (skipping.weights_bytes or 0) < (wide.weights_bytes or 0)
    assert skipping.quality == zeros.quality
    assert result.row("unstructured 90%, tuned").facts["fine_tuning_s"] > 0


def test_facts_are_in_the_table_and_in_the_recording(result: BenchmarkResult, tmp_path: Path) -> None:
    path = result.record(tmp_path, command="costlab bench pruning --record")
    assert path.name == "pruning-cpu.json"
    assert BenchmarkResult.recorded("pruning", "cpu", tmp_path) == result
    needs.extra("pandas", "plots")
    assert result.frame()["sparsity_fraction"].iloc[2] == pytest.approx(0.9, abs=0.001)


def test_curves_of_quality_and_bytes_begin_at_the_dense_model(result: BenchmarkResult) -> None:
    quality, sizes = quality_by_zeros(result), bytes_by_zeros(result)
    assert list(quality) == ["unstructured", "unstructured, tuned", "2:4", "2:4, tuned"]
    assert [round(zeros, 2) for zeros, _ in quality["unstructured"]] == [0.0, 0.9]
    assert {curve[0] for curve in quality.values()} == {(0.0, result.row("dense").quality)}
    assert {size for _, size in sizes["dense"]} == {result.row("dense").weights_bytes}
    assert [size for _, size in sizes["zlib"]] == sorted((size for _, size in sizes["zlib"]), reverse=True)
    with pytest.raises(InvalidValueError, match="model must be one whose dense variant was measured, got 'other'"):
        quality_by_zeros(result, model="other")


def test_figures_of_pruning(result: BenchmarkResult) -> None:
    needs.extra("matplotlib", "plots")
    from costlab.plotting import plot_pruned_bytes, plot_pruning

    ax = plot_pruning(quality_by_zeros(result), metric="accuracy")
    styles = {str(line.get_label()): line.get_linestyle() for line in ax.lines}
    assert (styles["2:4"], styles["2:4, tuned"]) == ("--", "-")
    assert ax.get_ylabel() == "accuracy"
    ax = plot_pruned_bytes(bytes_by_zeros(result))
    assert [line.get_label() for line in ax.lines] == ["dense", "zlib", "CSR"]
    assert ax.get_ylabel() == "MB"
    for draw in (lambda: plot_pruned_bytes({}), lambda: plot_pruning({}, metric="accuracy")):
        with pytest.raises(InvalidValueError, match="curves must be not empty"):
            draw()


def test_bad_input_of_a_study(encoder: PackagedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="unknown pattern '4:2'"):
        pruning_study(["minilm"], device="cpu", patterns=["4:2"])
    with pytest.raises(InvalidValueError, match="fraction must be a fraction > 0 and < 1, got 0"):
        pruning_study(["minilm"], device="cpu", fractions=[0])
    with pytest.raises(UnknownNameError, match="unknown model 'bert'"):
        pruning_study(["bert"], device="cpu")
    with pytest.raises(ModelTooLargeError, match=r"dense takes 0\.09 GB .* 0\.05 GB of memory are free"):
        pruning_study(["minilm"], device="cpu", progress=False, free=50_000_000)
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        pruning_study(["minilm"], device="cuda")


def test_the_command_prints_and_records(
    result: BenchmarkResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    @wraps(pruning_study)
    def study(**options: Any) -> BenchmarkResult:
        asked.append(options)
        return result

    monkeypatch.setattr("costlab.experiments.pruning.EXPERIMENT", replace(EXPERIMENT, measure=study))
    with pytest.raises(SystemExit) as ended:
        main(["bench", "pruning", "--device", "cpu", "--fraction", "0.3", "--record", "--folder", str(tmp_path)])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    assert "2:4, semi-structured    not measured: semi-structured does not run on cpu" in out
    assert err == "recorded in pruning-cpu.json\n"
    assert asked[0]["fractions"] == [0.3]
    assert json.loads((tmp_path / "pruning-cpu.json").read_text())["command"] == (
        "costlab bench pruning --device cpu --model minilm --fraction 0.3 --pattern unstructured --pattern structured "
        "--pattern 2:4 --batch 1 --batch 32 --steps 60 --repeats 7 --seed 0 --record"
    )
    with pytest.raises(SystemExit) as ended:
        main(["bench", "pruning", "--fraction", "half"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("must be a number, got 'half'\n")
