import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from costlab.catalog import gpu
from costlab.experiments import check_recordings
from tests.cli.test_cli import run
from tests.commands import Run

__all__ = ["run"]

TODAY = date(2026, 12, 1)


def spread(median: float) -> dict[str, float]:
    return {"least": 0.99 * median, "median": median, "greatest": 1.01 * median}


def recording(experiment: str, rows: list[dict[str, Any]], **others: Any) -> dict[str, Any]:
    return {
        "experiment": experiment, "device": "h200", "device_name": "NVIDIA H200", "driver": "580.159.04",
        "library_versions": {"torch": "2.11.0+cu130", "costlab": "1.0.0"}, "recorded_on": "2026-11-30",
        "command": f"costlab bench {experiment} --device cuda --record", "repeats": 9, "rows": rows,
    } | others  # fmt: skip


def device() -> dict[str, Any]:
    rows: list[dict[str, Any]] = [
        {"quantity": "copy", "unit": "GB/s", **spread(4300.0)},
        {"quantity": "matmul bf16", "unit": "TFLOP/s", **spread(788.0)},
        {"quantity": "matmul tf32", "unit": "TFLOP/s", "reason": "no such kernel"},
        {"quantity": "power, matmul bf16", "unit": "W", **spread(690.0)},
    ]
    return recording("device", rows)


def decode(median_ms: float = 4.5) -> dict[str, Any]:
    run = {
        "what": "run", "model": "llama-3-8b", "compiled": True, "copy_gb_per_s": 4300.0, "read_gb_per_s": 4400.0,
        "matmul_tflop_per_s": {"fp32": 50.0, "bf16": 788.0}, "seed": 0, "usd_per_hour": None,
    }  # fmt: skip
    row = {
        "what": "row", "scheme": "bf16", "phase": "decode", "batch": 1, "tokens": 1024, "reason": "", "how": "",
        "weights_bytes": 16_060_522_496, "peak_bytes": None, **spread(median_ms), "tokens_per_s": 1000 / median_ms,
        "moved_bytes": 15.14e9, "operations": 15.3e9, "memory_floor_ms": 15.14e9 / 4400e9 * 1000,
        "arithmetic_floor_ms": 0.0194, "speedup": 1.0, "usd_per_mtok": None,
    }  # fmt: skip
    return recording("decode", [run, row])


def sparse() -> dict[str, Any]:
    run = {"what": "run", "model": "llama-3-8b", "seed": 0, "bandwidth_gb_per_s": 4400.0, "matmul_tflop_per_s": 788.0}
    row = {
        "what": "row", "layer": "down", "rows": 4096, "columns": 14336, "kind": "semi-structured", "tokens": 4096,
        "reason": "", "how": "CUDA graph", "weights_bytes": 66_060_288, **spread(0.4), "memory_floor_ms": 0.05,
        "arithmetic_floor_ms": 4096 * 4096 * 14336 / 788e9, "speedup": 1.5, "error_fraction": 0.002,
    }  # fmt: skip
    return recording("sparse", [run, row])


def serving() -> dict[str, Any]:
    run = {"what": "run", "engine": "x 1.0", "model": "m", "input_tokens": 512, "output_tokens": 128, "seed": 0}
    row = {
        "what": "row", "concurrency": 1, "requests": 6, "failed": 0, "reason": "", **spread(200.0), "wall_s": 4.0,
        "input_tokens": 3072, "output_tokens": 768, "ttft_p50_s": 0.1, "ttft_p95_s": 0.1, "tpot_p50_s": 0.005,
        "tpot_p95_s": 0.006, "floor_s": 0.0035,
    }  # fmt: skip
    return recording("serving", [run, row])


def faults(tmp_path: Path, data: dict[str, Any], name: str | None = None) -> list[str]:
    for path in tmp_path.glob("*.json"):
        path.unlink()
    (tmp_path / (name or f"{data['experiment']}-{data['device']}.json")).write_text(json.dumps(data))
    return [fault.fault for fault in check_recordings(tmp_path, today=TODAY)]


def test_no_shipped_recording_has_a_fault() -> None:
    assert check_recordings() == ()


@pytest.mark.parametrize("made", [device, decode, sparse, serving])
def test_what_a_gpu_can_do_is_no_fault(tmp_path: Path, made: Callable[[], dict[str, Any]]) -> None:
    assert faults(tmp_path, made()) == []


LABELS: list[tuple[dict[str, Any], str]] = [
    ({"device": "h100"}, "h100 is not short for NVIDIA H200"),
    ({"device": "cpu", "device_name": "A CPU"}, "a driver '580.159.04' does not belong to cpu"),
    ({"driver": "none"}, "a driver 'none' does not belong to h200"),
    ({"experiment": "devise", "command": "costlab bench devise --record"}, "there is no experiment 'devise'"),
    ({"command": "costlab bench device"}, "its command would not record it"),
    ({"command": "costlab bench decode --record"}, "its command would not record it"),
    ({"recorded_on": "2026-12-02"}, "it is of 2026-12-02, which is to come"),
    ({"recorded_on": "lately"}, "recorded_on must be an ISO date"),
    ({"library_versions": {"costlab": "1.0"}}, "the version of torch is not given"),
    ({"library_versions": {"torch": ""}}, "a version is empty"),
    ({"library_versions": {"torch": "2.11"}}, "the version of costlab is not given"),
    ({"library_versions": {}}, "a recording without library_versions proves nothing"),
    ({"repeats": 2}, "2 repeats are too few for a spread"),
    ({"rows": []}, "a recording without rows proves nothing"),
    ({"rows": ["copy"]}, "a row is no mapping"),
    ({"rows": [{"quantity": "copy", "unit": "GB/s", "reason": "no memory"}]}, "nothing in it was measured"),
]


@pytest.mark.parametrize(("changed", "said"), LABELS, ids=lambda one: str(one)[:40])
def test_a_recording_says_truly_what_it_is(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    assert any(said in fault for fault in faults(tmp_path, device() | changed))


def test_a_file_has_the_name_of_what_it_holds(tmp_path: Path) -> None:
    assert faults(tmp_path, device(), "device-h100.json") == ["it is of device on h200, which is not its name"]
    assert "is no recording" in faults(tmp_path, {"experiment": "device", "device": "h200"})[0]


def broken(made: Callable[[], dict[str, Any]], row: int, **changed: Any) -> dict[str, Any]:
    data = made()
    data["rows"][row] = {name: value for name, value in (data["rows"][row] | changed).items() if value != "gone"}
    return data


H200 = gpu("H200")
ROWS: list[tuple[dict[str, Any], str]] = [
    (broken(device, 0, least="gone"), "row 1 (copy): least, median or greatest is missing"),
    (broken(device, 0, median=None), "row 1 (copy): least, median or greatest is missing"),
    (broken(device, 0, least=4400.0), "are no least, median and greatest"),
    (broken(device, 0, least=0.0), "are no least, median and greatest"),
    (broken(device, 0, median=float("nan")), "row 1: median is no finite number"),
    (broken(device, 2, median=1.0), "row 3 (matmul tf32): it has a time and a reason"),
    (broken(device, 0, **spread(4900.0)), f"more than the {H200.bandwidth_gb_per_s:g} of its data sheet"),
    (broken(device, 1, **spread(1000.0)), "more than the 989.5 of its data sheet"),
    (broken(device, 3, **spread(800.0)), "more than the 700 of its data sheet"),
    (broken(decode, 1, scheme="gone"), "its rows are not those of decode"),
    (broken(decode, 0, copy_gb_per_s="gone"), "its rows are not those of decode"),
    (broken(decode, 1, memory_floor_ms=0.0), "its memory floor is missing"),
    (broken(decode, 1, arithmetic_floor_ms=0.0), "its arithmetic floor is missing"),
    (decode(3.2), "ms are less than its memory floor of 3.441"),
    (broken(decode, 1, **spread(3.1), memory_floor_ms=3.0), "GB/s are more than the 4800 of its data sheet"),
    (broken(decode, 1, operations=4.5e12, arithmetic_floor_ms=4.4), "TFLOP/s are more than the 989.5"),
    (broken(decode, 1, arithmetic_floor_ms=5.0), "ms are less than its arithmetic floor of 5"),
    (broken(sparse, 1, **spread(0.2)), "less than its arithmetic floor"),
    (broken(serving, 1, floor_s=None), "its floor is missing"),
    (broken(serving, 1, tpot_p50_s=0.003), "3 ms a token are less than its floor of 3.5"),
]


@pytest.mark.parametrize(("data", "said"), ROWS, ids=lambda one: one if isinstance(one, str) else one["experiment"])
def test_a_figure_above_its_limit_is_a_fault(tmp_path: Path, data: dict[str, Any], said: str) -> None:
    found = faults(tmp_path, data)
    assert any(said in fault for fault in found), found


def test_a_gpu_that_no_data_sheet_is_known_of_is_held_to_its_floors(tmp_path: Path) -> None:
    other = {"device": "x1", "device_name": "NVIDIA X1"}
    assert faults(tmp_path, broken(device, 0, **spread(9000.0)) | other) == []
    assert len(faults(tmp_path, decode(2.0) | other)) == 1


def test_a_board_by_another_name_is_the_catalogue_s(tmp_path: Path) -> None:
    other = {"device": "a100-sxm4-80gb", "device_name": "NVIDIA A100-SXM4-80GB"}
    found = faults(tmp_path, device() | other)
    assert any("more than the 2039 of its data sheet" in fault for fault in found)


def test_a_large_model_in_eight_bits_does_not_read_faster_than_memory(tmp_path: Path) -> None:
    from costlab.compression import BenchmarkRow, Latency

    latency = Latency(batch=1, median=1.0, least=0.9, greatest=1.1, warm_up_ms=1.0, units_per_s=1000.0, ratio=1.0)
    row = BenchmarkRow(model="m", variant="bf16", weights_bytes=16_000_000_000, unit="token", latencies=(latency,))
    rows = [json.loads(json.dumps(asdict(row))) | {"seed": 0, "usd_per_hour": None}]
    found = faults(tmp_path, recording("quantization", rows))
    assert any("1.778e+04 GB/s are more than the 4800" in fault for fault in found)


def test_the_command_names_faults_and_fails(run: Run, tmp_path: Path) -> None:
    assert run("recordings", "check")[:2] == (0, f"{len(list_of_recordings())} recordings, 0 faults\n")
    (tmp_path / "device-h200.json").write_text(json.dumps(device() | {"repeats": 1}))
    status, out, _ = run("recordings", "check", str(tmp_path))
    assert (status, out) == (
        1, "device-h200.json: 1 repeats are too few for a spread\n1 recordings, 1 faults\n",
    )  # fmt: skip
    status, out, _ = run("recordings", "check", str(tmp_path), "--json")
    assert json.loads(out)["faults"] == [{"file": "device-h200.json", "fault": "1 repeats are too few for a spread"}]
    (tmp_path / "device-h200.json").unlink()
    assert run("recordings", "check", str(tmp_path))[0] == 2


def list_of_recordings() -> list[Path]:
    from costlab.recordings import FOLDER

    return list(FOLDER.glob("*.json"))
