"""Results of a study of decoding: each time beside the least time that the device allows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from costlab import recordings
from costlab._internal.extras import require
from costlab.compression.measured import Measured, measured_there
from costlab.errors import InvalidValueError
from costlab.plotting.compression import plot_floors
from costlab.recordings import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["PHASES", "DecodeResult", "DecodeRow", "recorded_decode"]

#: Making tokens one by one, and reading a prompt at once.
PHASES = ("decode", "prefill")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRow:
    """One scheme at one batch size. Where it did not run, `reason` says why and what is measured is None.

    Attributes
    ----------
    scheme, phase : str
        How the weights are stored; ``decode`` or ``prefill``.
    batch, tokens : int
        Sequences at once; tokens before the step, or tokens of each prompt.
    reason : str
        Why it did not run; empty where it did.
    weights_bytes, peak_bytes : int or None
        All weights; and at its peak with cache and the numbers in between.
    median, least, greatest : float or None
        Milliseconds of a step, over the repeats.
    tokens_per_s : float or None
        Of all sequences together: tokens made, or read.
    moved_bytes, operations : float
        What a step has to read, and to compute.
    memory_floor_ms, arithmetic_floor_ms : float
        Least time for each, at the copy bandwidth and the matrix rate measured in the same run.
    speedup : float or None
        Times as fast as the first scheme in the same phase at the same batch.
    usd_per_mtok : float or None
        Price of a million tokens at this speed, at full use.
    """

    scheme: str
    phase: str
    batch: int
    tokens: int
    reason: str = ""
    weights_bytes: int | None = None
    peak_bytes: int | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    tokens_per_s: float | None = None
    moved_bytes: float = 0.0
    operations: float = 0.0
    memory_floor_ms: float = 0.0
    arithmetic_floor_ms: float = 0.0
    speedup: float | None = None
    usd_per_mtok: float | None = None

    @property
    def mbu_fraction(self) -> float | None:
        """Share of the copy bandwidth that the step used."""
        return None if self.median is None else self.memory_floor_ms / self.median

    @property
    def mfu_fraction(self) -> float | None:
        """Share of the matrix rate that the step used."""
        return None if self.median is None else self.arithmetic_floor_ms / self.median


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeResult(Measured):
    """Speed of a model's shape under several schemes, on one device.

    Where and when is told by the attributes of :class:`Measured`.

    Attributes
    ----------
    model : str
        Name of the shape; its weights are random.
    rows : tuple of DecodeRow
        The schemes in turn, the baseline first.
    compiled : bool
        Whether ``torch.compile`` with CUDA graphs ran it.
    copy_gb_per_s : float
        Bytes copied, read and written, in the same run.
    matmul_tflop_per_s : mapping of str to float
        Operations of matrix products of ``fp32`` and ``bf16`` in the same run.
    repeats, seed : int
        Timed steps behind each median; of the weights and tokens.
    usd_per_hour : float or None
        What an hour of the device is taken to cost.
    price : str
        Where that price comes from.
    """

    model: str
    rows: tuple[DecodeRow, ...]
    compiled: bool
    copy_gb_per_s: float
    matmul_tflop_per_s: Mapping[str, float]
    repeats: int
    seed: int
    usd_per_hour: float | None
    price: str

    def row(self, scheme: str, phase: str = "decode", batch: int = 1) -> DecodeRow:
        """The row of a scheme in a phase at a batch size.

        Raises
        ------
        InvalidValueError
            If there is none.
        """
        wanted = (scheme, phase, batch)
        found = next((row for row in self.rows if (row.scheme, row.phase, row.batch) == wanted), None)
        if found is None:
            known = ", ".join(dict.fromkeys(f"{row.scheme} {row.phase} {row.batch}" for row in self.rows))
            raise InvalidValueError("scheme, phase and batch", f"one of {known}", wanted)
        return found

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each scheme, phase and batch size."""
        pandas = require("pandas", "plots")
        rows = [{**asdict(row), "mbu": row.mbu_fraction, "mfu": row.mfu_fraction} for row in self.rows]
        table: DataFrame = pandas.DataFrame(rows).set_index(["scheme", "phase", "batch"])
        return table

    def plot(self, *, phase: str = "decode", ax: Axes | None = None) -> Axes:
        """Time of a step against the batch size for each scheme, with the floor of each dashed."""
        lines: dict[str, list[tuple[int, float, float]]] = {}
        for row in self.rows:
            if row.phase == phase and row.median is not None:
                floor = max(row.memory_floor_ms, row.arithmetic_floor_ms)
                lines.setdefault(row.scheme, []).append((row.batch, row.median, floor))
        return plot_floors(lines, ax=ax)

    def recording(self, command: str) -> Recording:
        """The result as a recording, made by the command named."""
        run = {name: getattr(self, name) for name in _RUN}
        rows = [{"what": "run", **run}, *({"what": "row", **asdict(row)} for row in self.rows)]
        return self._as_recording("decode", command, self.repeats, rows, price=self.price)

    def record(self, path: Path | None = None, *, command: str = "decode_study()") -> Path:
        """Write the result into the folder `path`, by default the package's recordings; returns the file."""
        return recordings.save_recording(self.recording(command), path)


#: What a recording keeps of a run beside its rows.
_RUN = ("model", "compiled", "copy_gb_per_s", "matmul_tflop_per_s", "seed", "usd_per_hour")


def recorded_decode(device: str, folder: Path | None = None) -> DecodeResult | None:
    """The recorded study of decoding on a device, or None where none was made yet.

    Raises
    ------
    RecordingError
        If the file is there but cannot be trusted.
    """
    recording = recordings.find_recording("decode", device, folder)
    if recording is None:
        return None
    stored = [{name: value for name, value in row.items() if name != "what"} for row in recording.rows]
    return DecodeResult(
        rows=tuple(DecodeRow(**row) for row in stored[1:]),
        price=recording.library_versions.get("price", ""),
        repeats=recording.repeats,
        **measured_there(recording),
        **stored[0],
    )
