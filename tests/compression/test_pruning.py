import copy
import json
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from costlab.cli import main
from costlab.compression import (
    PATTERNS,
    BenchmarkResult,
    PackagedModel,
    available_kernels,
    bytes_by_zeros,
    make_permanent,
    measured_bytes,
    prune,
    pruned_sizes,
    pruning_study,
    pruning_variants,
    quality_by_zeros,
    recorded_benchmark,
    recover,
    sparsity_fraction,
    with_sparse_kernel,
)
from costlab.errors import InvalidValueError, ModelTooLargeError, SchemeUnavailableError, UnknownNameError
from tests import needs


def torch_library() -> Any:
    needs.extra("torch", "models")
    import torch

    return torch


def dense(rows: int = 128, columns: int = 256) -> Any:
    torch = torch_library()
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(columns, rows), torch.nn.ReLU(), torch.nn.Linear(rows, columns))


@settings(deadline=None, max_examples=20)
@given(st.floats(0.0, 0.99), st.sampled_from(["unstructured", "structured"]))
def test_the_share_asked_for_is_pruned_and_is_the_least(fraction: float, pattern: str) -> None:
    model = dense(32, 48)
    pruned = prune(model, fraction, pattern=pattern)
    assert sparsity_fraction(model) == 0.0
    assert sparsity_fraction(pruned) == pytest.approx(fraction, abs=0.02)
    before, after = model[0].weight.detach(), pruned[0].weight.detach()
    size = before.abs() if pattern == "unstructured" else before.norm(dim=1, keepdim=True).expand_as(before)
    kept, gone = size[after != 0], size[after == 0]
    assert not len(gone) or not len(kept) or float(gone.max()) <= float(kept.min())


def test_two_of_four_keeps_the_two_largest() -> None:
    torch = torch_library()
    layer = torch.nn.Sequential(torch.nn.Linear(8, 1))
    layer[0].weight.data = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.5, 0.1, -0.2, 0.4]])
    pruned = make_permanent(prune(layer, pattern="2:4"))
    assert pruned[0].weight.tolist() == [[0.0, -4.0, 3.0, 0.0, 0.5, 0.0, 0.0, pytest.approx(0.4)]]


def test_structured_zeros_are_whole_rows() -> None:
    weight = prune(dense(), 0.25, pattern="structured")[0].weight
    assert int((weight == 0).all(1).sum()) == 32


@pytest.mark.parametrize("pattern", list(PATTERNS))
def test_masks_make_a_model_larger_and_zeros_alone_save_nothing(pattern: str) -> None:
    model = dense()
    pruned = prune(model, pattern=pattern)
    masked, before = pruned_sizes(pruned), pruned_sizes(model)
    assert masked.file_bytes > 1.8 * before.file_bytes
    assert masked.dense_bytes > 2.8 * before.dense_bytes
    after = pruned_sizes(make_permanent(pruned))
    assert after.dense_bytes == before.dense_bytes
    assert after.file_bytes == before.file_bytes
    assert after.packed_bytes < 0.85 * before.packed_bytes
    assert abs(after.packed_bytes - masked.packed_bytes) < 0.01 * masked.packed_bytes


def test_csr_pays_from_half_on() -> None:
    # An index of 4 bytes beside a weight of 4: twice the bytes for each that is left, so half of them break even.
    model = dense(512, 512)
    sizes = [pruned_sizes(prune(model, share)).csr_bytes / measured_bytes(model) for share in (0.3, 0.5, 0.9)]
    assert sizes[0] > 1.35
    assert sizes[1] == pytest.approx(1.0, abs=0.01)
    assert sizes[2] == pytest.approx(0.2, abs=0.01)


def test_what_is_pruned_stays_so_while_training() -> None:
    torch = torch_library()
    pruned = prune(dense(), 0.7)
    gone = pruned[0].weight == 0
    optimizer = torch.optim.Adam(pruned.parameters(), lr=0.1)
    pruned(torch.randn(16, 256)).square().mean().backward()
    optimizer.step()
    pruned(torch.randn(1, 256))
    assert bool((make_permanent(pruned)[0].weight[gone] == 0).all())


def test_a_kernel_that_skips_zeros_computes_the_same_and_holds_less() -> None:
    torch = torch_library()
    model = make_permanent(prune(dense(512, 512), 0.9))
    sparse = with_sparse_kernel(model, "csr", device="cpu")
    inputs = torch.randn(3, 5, 512)
    assert torch.allclose(sparse(inputs), model(inputs), atol=1e-5)
    assert measured_bytes(sparse) == pytest.approx(pruned_sizes(model).csr_bytes, rel=0.01)
    assert measured_bytes(model) == measured_bytes(dense(512, 512))


def test_semi_structured_needs_a_gpu() -> None:
    torch_library()
    csr, semi = available_kernels("cpu")
    assert (csr.scheme, csr.available, csr.reason) == ("csr", True, "")
    assert (semi.available, semi.reason) == (False, "its kernels are for CUDA only")
    with pytest.raises(SchemeUnavailableError, match="semi-structured does not run on cpu: its kernels are for CUDA"):
        with_sparse_kernel(dense(), "semi-structured", device="cpu")
    with pytest.raises(UnknownNameError, match="unknown kernel 'csc'; did you mean 'csr'"):
        with_sparse_kernel(dense(), "csc", device="cpu")


@pytest.mark.gpu
def test_semi_structured_runs_on_a_gpu_that_has_it() -> None:
    torch = torch_library()
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    semi = available_kernels("cuda")[1]
    assert semi.available == (torch.cuda.get_device_capability() >= (8, 0)), semi.reason


def test_the_output_that_is_the_embedding_stays() -> None:
    torch = torch_library()
    model = torch.nn.ModuleDict({"words": torch.nn.Embedding(10, 8), "inner": torch.nn.Linear(8, 8)})
    model["output"] = torch.nn.Linear(8, 10, bias=False)
    model["output"].weight = model["words"].weight
    pruned = make_permanent(prune(model, 0.5))
    assert bool((pruned["words"].weight != 0).all())
    assert int((pruned["inner"].weight == 0).sum()) == 32
    assert sparsity_fraction(pruned, whole=True) == pytest.approx(32 / (80 + 72))


def test_bad_input() -> None:
    torch = torch_library()
    with pytest.raises(UnknownNameError, match="unknown pattern 'structure'; did you mean 'structured'"):
        prune(dense(), pattern="structure")
    with pytest.raises(InvalidValueError, match="fraction must be a fraction >= 0 and < 1, got 1"):
        prune(dense(), 1)
    with pytest.raises(InvalidValueError, match=r"fraction must be 0\.5 for the pattern 2:4, got 0\.3"):
        prune(dense(), 0.3, pattern="2:4")
    with pytest.raises(InvalidValueError, match="columns must be a multiple of 4 for the pattern 2:4, got 6"):
        prune(torch.nn.Sequential(torch.nn.Linear(6, 2)), pattern="2:4")
    with pytest.raises(InvalidValueError, match="model must be one with linear layers, got 'ReLU'"):
        prune(torch.nn.ReLU())
    with pytest.raises(InvalidValueError, match="model must be one with linear layers, got 'ReLU'"):
        sparsity_fraction(torch.nn.ReLU())
    with pytest.raises(InvalidValueError, match="model must be one with masks, got 'Sequential'"):
        make_permanent(dense())
    with pytest.raises(InvalidValueError, match="model must be one without masks"):
        prune(prune(dense(), 0.3), 0.5)


def small_encoder(encoder: PackagedModel) -> PackagedModel:
    """The encoder's first layer only, to be quick."""
    model = copy.deepcopy(encoder.model)
    model.encoder.layer = model.encoder.layer[:1]
    return PackagedModel("first layer", "encoder", model, encoder.tokenizer, "test")


def small_language_model(found: PackagedModel) -> PackagedModel:
    """The language model's first layer only."""
    model = copy.deepcopy(found.model)
    model.model.layers = model.model.layers[:1]
    return PackagedModel("first layer", "language model", model, found.tokenizer, "test")


def test_fine_tuning_brings_back_what_pruning_took(encoder: PackagedModel) -> None:
    found = small_encoder(encoder)
    pruned = prune(found.model, 0.7)
    losses = recover(pruned, found, steps=15, batch=4)
    assert len(losses) == 15
    assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    assert sparsity_fraction(pruned) == pytest.approx(0.7, abs=0.001)
    again = recover(prune(found.model, 0.7), found, steps=2, batch=4)
    assert again[0] == losses[0]
    with pytest.raises(InvalidValueError, match="texts must be not empty"):
        recover(pruned, found, texts=[])
    with pytest.raises(InvalidValueError, match="steps must be a whole number >= 1, got 0"):
        recover(pruned, found, steps=0)


def test_a_language_model_is_tuned_on_its_teachers_tokens(language_model: PackagedModel) -> None:
    found = small_language_model(language_model)
    pruned = prune(found.model, 0.3)
    first, _, last = recover(pruned, found, texts=["How do I share a folder?"], steps=3, batch=1)
    assert last < first


@pytest.fixture(scope="module")
def result(encoder: PackagedModel) -> BenchmarkResult:
    found = small_encoder(encoder)
    variants = pruning_variants(found, (0.9,), ("unstructured", "2:4"), device="cpu", steps=1, examples=1, asked=1)
    from costlab.compression import benchmark

    return benchmark(variants, device="cpu", batch_sizes=(1,), repeats=3, progress=False)


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
    path = result.record(tmp_path, experiment="pruning")
    assert path.name == "pruning-cpu.json"
    assert recorded_benchmark("cpu", "pruning", tmp_path) == result
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
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=""))
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        pruning_study(["minilm"], device="cuda")


def test_the_command_prints_and_records(
    result: BenchmarkResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[dict[str, Any]] = []

    def study(names: tuple[str, ...], **options: Any) -> BenchmarkResult:
        asked.append({"names": names, **options})
        return result

    monkeypatch.setattr("costlab.compression.pruning_study", study)
    with pytest.raises(SystemExit) as ended:
        main(["bench", "pruning", "--device", "cpu", "--fraction", "0.3", "--record", "--folder", str(tmp_path)])
    out, err = capsys.readouterr()
    assert ended.value.code == 0
    assert "2:4, semi-structured    not measured: semi-structured does not run on cpu" in out
    assert err == "recorded in pruning-cpu.json\n"
    assert asked[0]["fractions"] == (0.3,)
    assert json.loads((tmp_path / "pruning-cpu.json").read_text())["command"] == (
        "costlab bench pruning --device cpu --model minilm --fraction 0.3 --pattern unstructured --pattern structured "
        "--pattern 2:4 --batch 1 --batch 32 --steps 60 --repeats 7 --seed 0 --record"
    )
    with pytest.raises(SystemExit) as ended:
        main(["bench", "pruning", "--fraction", "half"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.endswith("must be a number, got 'half'\n")
