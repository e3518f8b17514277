from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.experiments import SPARSE_KINDS, SparseResult, sparse_study
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def result() -> SparseResult:
    needs.extra("torch", "models")
    return sparse_study("small", tokens=[1, 8], device="cpu", repeats=5, progress=False)


def test_each_matrix_is_timed_in_each_way_at_each_number_of_tokens(result: SparseResult) -> None:
    assert [(row.layer, row.tokens, row.kind) for row in result.rows] == [
        (layer, tokens, kind) for layer in ("gate_up", "down") for tokens in (1, 8) for kind in SPARSE_KINDS
    ]
    row = result.row("dense", "gate_up", 8)
    assert (row.rows, row.columns, row.weights_bytes) == (2 * 1536, 512, 4 * 2 * 1536 * 512)  # fp32 on a CPU
    moved = 4 * (2 * 1536 * 512 + 8 * (2 * 1536 + 512))
    assert row.memory_floor_ms == pytest.approx(1000 * moved / (1e9 * result.bandwidth_gb_per_s))
    operations = 2 * 8 * 2 * 1536 * 512
    assert row.arithmetic_floor_ms == pytest.approx(1000 * operations / (1e12 * result.matmul_tflop_per_s))
    assert row.speedup == 1.0


def test_zeros_that_nobody_skips_change_the_product_and_not_the_size(result: SparseResult) -> None:
    dense, masked = result.row("dense"), result.row("masked")
    assert masked.weights_bytes == dense.weights_bytes
    assert masked.error_fraction == 0.0  # it is what the others are compared with
    assert masked.median is not None


def test_a_processor_has_no_kernel_that_skips_them(result: SparseResult) -> None:
    rows = [row for row in result.rows if row.kind == "semi-structured"]
    assert len(rows) == 4
    assert all("for CUDA only" in row.reason and row.median is None for row in rows)


def test_runs_are_put_together(result: SparseResult, tmp_path: Path) -> None:
    other = sparse_study("small", tokens=[2], device="cpu", repeats=5, progress=False)
    whole = SparseResult.together([result, other])
    assert [row.tokens for row in whole.rows[-6:]] == [2] * 6
    assert whole.bandwidth_gb_per_s == max(result.bandwidth_gb_per_s, other.bandwidth_gb_per_s)
    path = whole.record(tmp_path, command="costlab bench sparse --record")
    assert path.name == "sparse-cpu.json"
    assert SparseResult.recorded("sparse", "cpu", tmp_path) == whole
    with pytest.raises(InvalidValueError, match="results must be of one device and shape with equal repeats"):
        SparseResult.together([])


def test_the_command_prints_a_line_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    needs.extra("torch", "models")
    with pytest.raises(SystemExit) as ended:
        main(["bench", "sparse", "--device", "cpu", "--tokens", "1", "--repeats", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert ended.value.code == 0
    assert len(lines) == 7
    assert "of its floor" in lines[1]


def test_bad_input(result: SparseResult) -> None:
    with pytest.raises(UnknownNameError, match="unknown model 'large'"):
        sparse_study("large", device="cpu")
    bad: list[tuple[dict[str, Any], str]] = [
        ({"tokens": []}, "tokens must be not empty"),
        ({"tokens": [0]}, "tokens must be a whole number >= 1, got 0"),
        ({"repeats": 4}, "repeats must be a whole number >= 5, got 4"),
    ]
    for options, said in bad:
        with pytest.raises(InvalidValueError, match=said):
            sparse_study("small", device="cpu", **options)
    with pytest.raises(InvalidValueError, match="kind, layer and tokens must be one of dense gate_up 1"):
        result.row("dense", tokens=3)


@pytest.mark.gpu
def test_skipped_zeros_save_time_on_a_gpu() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available() or torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("no GPU with sparse tensor cores here")
    found = sparse_study(tokens=[4096], device="cuda", progress=False)
    assert (found.row("semi-structured", tokens=4096).speedup or 0) > 1.0
