"""Whether recordings can be believed: whole, of a device and a day, with spread and floors, and physically possible."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Final

from costlab.catalog import GpuSpec, gpu
from costlab.compression.quantization import one_line
from costlab.errors import InvalidValueError, RecordingError, UnknownNameError
from costlab.experiments.decode import MULTIPLIED
from costlab.experiments.registry import EXPERIMENTS, find_experiment
from costlab.recordings import FOLDER, Recording, Row, load_recording

#: Experiments whose recordings must be readable as their results; of the others a recording is the result.
RESULTS: Final = ("combined", "decode", "distillation", "pruning", "quantization", "serving", "sparse")

#: Experiments whose rows are times or rates: each is measured several times.
TIMED: Final = ("combined", "decode", "device", "pruning", "quantization", "serving", "sparse")

#: Fewest repeats of what is timed.
LEAST_REPEATS: Final = 3

#: A floor rests on a median of rates, and a single step may be faster than a floor by what those spread.
FLOOR_FRACTION: Final = 0.95

#: The driver's power is a mean over a moment, and may stand above the board's limit by this much before the board acts.
POWER_FRACTION: Final = 1.05

#: More bytes than any cache holds: of fewer, some may not come from memory.
BEYOND_CACHES: Final = 1e9


@dataclass(frozen=True, slots=True)
class RecordingFault:
    """Why a recording is not believed.

    Attributes
    ----------
    file : str
        Its name.
    fault : str
        What is wrong, with the row that shows it.
    """

    file: str
    fault: str


def check_recordings(folder: Path | None = None, *, today: date | None = None) -> tuple[RecordingFault, ...]:
    """What is wrong with the recordings in a folder, by default the package's; empty where nothing is.

    Parameters
    ----------
    folder : pathlib.Path, optional
        With files ``EXPERIMENT-DEVICE.json``.
    today : datetime.date, optional
        No recording is of a later day; by default by the clock.

    Notes
    -----
    Asked of each: can it be read, and are its rows those of its experiment; do file, command, device and driver agree;
    are versions, date and repeats given; are all numbers finite; has what was timed a least, a median and a greatest
    value, and what was not a reason; has what has a floor its floor. No figure may be above what physics allows: rates
    and power above the data sheet of a GPU that the catalogue has, and on any GPU a step much faster than its floor.
    """
    folder = FOLDER if folder is None else folder
    latest = date.today() if today is None else today
    return tuple(
        RecordingFault(path.name, fault) for path in sorted(folder.glob("*.json")) for fault in _faults(path, latest)
    )


def _faults(path: Path, today: date) -> Iterator[str]:
    try:
        recording = load_recording(path)
    except RecordingError as error:
        yield one_line(error)
        return
    yield from _label(recording, path, today)
    if not all(isinstance(row, Mapping) for row in recording.rows):
        yield "a row is no mapping of names to values"
        return
    for number, row in enumerate(recording.rows, 1):
        for name in _not_finite(row):
            yield f"row {number}: {name} is no finite number"
    load = find_experiment(recording.experiment).load if recording.experiment in RESULTS else None
    if load is not None:
        try:
            load(recording)
        except RecordingError as error:
            yield f"its rows are not those of {recording.experiment}: {one_line(error)}"
            return
    if recording.experiment in TIMED:
        yield from _times(recording)


def _label(recording: Recording, path: Path, today: date) -> Iterator[str]:
    """What a recording says of itself."""
    if path.name != f"{recording.experiment}-{recording.device}.json":
        yield f"it is of {recording.experiment} on {recording.device}, which is not its name"
    if recording.experiment not in EXPERIMENTS:
        yield f"there is no experiment {recording.experiment!r}"
    words = recording.command.split()
    if words[:3] != ["costlab", "bench", recording.experiment] or words[-1:] != ["--record"]:
        yield f"its command would not record it: {recording.command}"
    if date.fromisoformat(recording.recorded_on) > today:
        yield f"it is of {recording.recorded_on}, which is to come"
    on_gpu = recording.driver != "none"
    if on_gpu and not recording.device_name.lower().replace(" ", "-").endswith(recording.device):
        yield f"{recording.device} is not short for {recording.device_name}"
    if on_gpu if recording.device == "cpu" else recording.experiment in TIMED and not on_gpu:
        yield f"a driver {recording.driver!r} does not belong to {recording.device}"
    known = recording.library_versions
    if not all(isinstance(name, str) and name for name in known.values()):
        yield "a version is empty"
    for name in ("costlab",) if recording.experiment == "serving" else ("costlab", "torch"):
        if recording.experiment in TIMED and name not in known:
            yield f"the version of {name} is not given"
    if recording.experiment in TIMED and recording.repeats < LEAST_REPEATS:
        yield f"{recording.repeats} repeats are too few for a spread"


def _not_finite(value: object, name: str = "") -> Iterator[str]:
    """Names of the numbers that are infinite or none; JSON as Python reads it has both."""
    if isinstance(value, float) and not math.isfinite(value):
        yield name
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _not_finite(inner, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _not_finite(inner, name)


def _times(recording: Recording) -> Iterator[str]:
    """Spread, floors and limits of what was timed."""
    run: Row = next((row for row in recording.rows if row.get("what") == "run"), {})
    rows = [row for row in recording.rows if row.get("what") != "run"]
    if all(row.get("reason") for row in rows):
        yield "nothing in it was measured"
    spec = _data_sheet(recording)
    limits = _LIMITS.get(recording.experiment)
    for number, row in enumerate(rows, 1):
        name = f"row {number} ({_title(row)})"
        timed = row.get("latencies", [row])
        if row.get("reason"):
            if row.get("median") is not None or row.get("latencies"):
                yield f"{name}: it has a time and a reason why it has none"
            continue
        if not timed:
            yield f"{name}: it has neither a time nor a reason"
        for one in timed:
            spread = [one.get(part) for part in ("least", "median", "greatest")]
            if not all(isinstance(part, int | float) for part in spread):
                yield f"{name}: least, median or greatest is missing"
                break
            if not 0 < spread[0] <= spread[1] <= spread[2]:
                yield f"{name}: {spread[0]:g}, {spread[1]:g}, {spread[2]:g} are no least, median and greatest"
                break
        else:
            if limits is not None and recording.driver != "none":
                yield from (f"{name}: {fault}" for fault in limits(row, run, spec))
            if recording.experiment in ("decode", "sparse"):
                yield from (
                    f"{name}: its {part} floor is missing"
                    for part in ("memory", "arithmetic")
                    if not row[f"{part}_floor_ms"] > 0
                )


def _title(row: Row) -> str:
    names = ("quantity", "model", "layer", "variant", "scheme", "phase", "kind", "batch", "tokens", "concurrency")
    return " ".join(str(row[name]) for name in names if name in row)


def _data_sheet(recording: Recording) -> GpuSpec | None:
    """The GPU in the catalogue; None for a CPU and for one that is not there."""
    if recording.driver == "none":
        return None
    name = recording.device_name.removeprefix("NVIDIA ").removeprefix("Tesla ")
    try:
        return gpu(name)
    except UnknownNameError:
        pass
    try:  # "A100-SXM4-80GB" is the catalogue's "A100 80GB"
        chip, *_, memory = name.split("-")
        return gpu(f"{chip} {memory}")
    except (UnknownNameError, ValueError):
        return None


def _rate(spec: GpuSpec, precision: str) -> float | None:
    """The data sheet's rate in TFLOP/s, where it has one."""
    try:
        return spec.dense_tflops(precision)
    except InvalidValueError:
        return None


def _device_limits(row: Row, run: Row, spec: GpuSpec | None) -> Iterator[str]:
    if spec is None:
        return
    quantity, value = row["quantity"], row["greatest"]
    if quantity in ("copy", "read") and value > spec.bandwidth_gb_per_s:
        yield f"{value:g} GB/s are more than the {spec.bandwidth_gb_per_s:g} of its data sheet"
    if quantity.startswith("matmul "):
        limit = _rate(spec, quantity.removeprefix("matmul "))
        if limit is not None and value > limit:
            yield f"{value:g} TFLOP/s are more than the {limit:g} of its data sheet"
    if quantity.startswith("power") and value > POWER_FRACTION * spec.board_power_w:
        yield f"{value:g} W are more than the {spec.board_power_w:g} of its data sheet"


def _decode_limits(row: Row, run: Row, spec: GpuSpec | None) -> Iterator[str]:
    precision = "fp8" if row["scheme"] == "fp8" and "fp8" in run.get("matmul_tflop_per_s", MULTIPLIED) else "bf16"
    yield from _step_limits(row, spec, row["moved_bytes"], row["operations"], precision)


def _sparse_limits(row: Row, run: Row, spec: GpuSpec | None) -> Iterator[str]:
    # Floors are of the dense rate, and of operations that are done: a rate of zeros skipped is none above it.
    operations = 2 * row["tokens"] * row["rows"] * row["columns"] / (2 if row["kind"] == "semi-structured" else 1)
    yield from _step_limits(row, spec, row["weights_bytes"], operations, "bf16")


def _step_limits(row: Row, spec: GpuSpec | None, moved: float, operations: float, precision: str) -> Iterator[str]:
    least_s = row["least"] / 1000
    floors = [("arithmetic", row["arithmetic_floor_ms"])]
    if moved > BEYOND_CACHES:
        floors.append(("memory", row["memory_floor_ms"]))
    for name, floor_ms in floors:
        if row["least"] < FLOOR_FRACTION * floor_ms:
            yield f"{row['least']:.4g} ms are less than its {name} floor of {floor_ms:.4g}"
    if spec is None:
        return
    if moved > BEYOND_CACHES and moved / least_s > 1e9 * spec.bandwidth_gb_per_s:
        yield f"{moved / least_s / 1e9:.4g} GB/s are more than the {spec.bandwidth_gb_per_s:g} of its data sheet"
    limit = _rate(spec, precision)
    if limit is not None and operations / least_s > 1e12 * limit:
        yield f"{operations / least_s / 1e12:.4g} TFLOP/s are more than the {limit:g} of its data sheet"


def _serving_limits(row: Row, run: Row, spec: GpuSpec | None) -> Iterator[str]:
    if "floor_s" not in row:  # what a prefix or drafts bring has none
        return
    if row["floor_s"] is None:
        yield "its floor is missing"
    elif row["tpot_p50_s"] is not None and row["tpot_p50_s"] < FLOOR_FRACTION * row["floor_s"]:
        yield f"{1000 * row['tpot_p50_s']:.4g} ms a token are less than its floor of {1000 * row['floor_s']:.4g}"


def _benchmark_limits(row: Row, run: Row, spec: GpuSpec | None) -> Iterator[str]:
    weights = row.get("weights_bytes") or 0
    if spec is None or weights < BEYOND_CACHES or row.get("unit") != "token":
        return
    for one in row["latencies"]:
        rate = weights / (one["least"] / 1000)
        if rate > 1e9 * spec.bandwidth_gb_per_s:
            yield f"{rate / 1e9:.4g} GB/s are more than the {spec.bandwidth_gb_per_s:g} of its data sheet"


#: What each experiment's rows on a GPU must obey.
_LIMITS: Final[Mapping[str, Callable[[Row, Row, GpuSpec | None], Iterator[str]]]] = {
    "combined": _benchmark_limits,
    "decode": _decode_limits,
    "device": _device_limits,
    "pruning": _benchmark_limits,
    "quantization": _benchmark_limits,
    "serving": _serving_limits,
    "sparse": _sparse_limits,
}
