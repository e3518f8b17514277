"""How much of a GPU's data sheet was reached: what was measured of each, and what to take where no one measured."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog import PRECISIONS, GpuSpec, gpu


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How much of the data sheet a program gets: factors that you measured, or want to try.

    Without one, :func:`roofline` takes :func:`measured_efficiency` of the GPU, the width of the weights and the number
    format. The defaults here are one model on one GPU, the roofline's first calibration.

    Parameters
    ----------
    mbu_fraction : float
        Model bandwidth utilization: bytes that a decoding step must read, per second, over the peak bandwidth; in (0,
        1]. The default is Llama-2-7B in bf16 at batch 1 on an A100 80GB, with all overhead in it: 1,419 of 2,039 GB/s
        (torchao, quantization README).
    mfu_fraction : float
        Model FLOP utilization: operations that reading a prompt must do, per second, over the dense peak; in (0, 1].
        The default is Llama-2-7B in fp16 with 2,048 tokens on an A100: 133 ms, 211 of 312 TFLOP/s (TensorRT-LLM 0.5,
        first-token latency).
    step_overhead_s : float
        Seconds added to every step: scheduling, sampling; >= 0.
    memory_fraction : float
        Share of the GPU's memory that weights and KV cache may fill, in (0, 1]; 0.9 is vLLM's default.
    layer_overhead_s : float
        Seconds added to every step for every layer: launches, and matrices too small to fill the GPU; >= 0.
    """

    mbu_fraction: float = 0.70
    mfu_fraction: float = 0.67
    step_overhead_s: float = 0.0
    memory_fraction: float = 0.9
    layer_overhead_s: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mbu_fraction", "mfu_fraction", "memory_fraction"):
            checks.fraction(name, getattr(self, name), zero=False)
        checks.non_negative("step_overhead_s", self.step_overhead_s)
        checks.non_negative("layer_overhead_s", self.layer_overhead_s)


@dataclass(frozen=True, slots=True)
class EfficiencyRange:
    """What a GPU reaches, as far as it is known.

    Attributes
    ----------
    likely, slow, fast : Efficiency
        The value to plan with, and the ends of its range.
    measured : bool
        Whether the figures are this GPU's own; otherwise they are the middle and the ends of what others reached.
    source : str
        Where the figures are from, with versions.
    """

    likely: Efficiency
    slow: Efficiency
    fast: Efficiency
    measured: bool
    source: str

    def given(self, mbu_fraction: float | None = None, mfu_fraction: float | None = None) -> EfficiencyRange:
        """The same with figures of your own, which have no range. An MBU that was measured holds the overhead, too."""
        own: dict[str, float] = {} if mfu_fraction is None else {"mfu_fraction": mfu_fraction}
        if mbu_fraction is not None:
            own |= {"mbu_fraction": mbu_fraction, "layer_overhead_s": 0.0}
        slow, likely, fast = (replace(end, **own) for end in (self.slow, self.likely, self.fast))
        return replace(self, slow=slow, likely=likely, fast=fast, measured=self.measured or slow == fast)


#: The format whose measured rate stands for one that no one measured: the same width on the same cores.
_STAND_INS: Final = {"fp16": "bf16", "tf32": "bf16", "fp32": "bf16", "int8": "fp8", "int4": "fp4"}


def usual_precision(board: GpuSpec) -> str:
    """The format in which a GPU multiplies if no one says otherwise: bf16, or fp16 on a GPU without it."""
    return "bf16" if board.bf16_tflops else "fp16"


@cache
def _rows(table: str) -> tuple[dict[str, Any], ...]:
    return shipped_rows("costlab.serving", "efficiency.toml", table)


@cache
def measured_efficiency(gpu_name: str, bytes_per_weight: float = 2.0, precision: str | None = None) -> EfficiencyRange:
    """What was measured of a GPU with weights of that width and arithmetic in that format.

    Reading and arithmetic are looked up apart: bandwidth and overhead by the width of the weights (16, 8 or 4 bits),
    arithmetic by its format. Where one of them was not measured on this GPU, it is the mean of those that were, of
    every format where this one was measured nowhere, and its range is theirs.

    Parameters
    ----------
    gpu_name : str
        The GPU, or its name.
    bytes_per_weight : float
        Width of a weight, > 0.
    precision : str, optional
        Number format of the arithmetic; by default bf16, or fp16 on a GPU without it.

    Raises
    ------
    UnknownNameError
        If the GPU or the precision is unknown.

    Notes
    -----
    The figures are fitted to NVIDIA's tables of measured kernels (package aiconfigurator), on Llama-3.1-8B and -70B;
    ``efficiency.toml`` says to which, ``tools/kernel_tables.py`` does it again, and a test holds the fit against rows
    that it has not seen. Kernels are timed one by one. What an engine does between them is not in these figures; the
    first engines did much.

    Examples
    --------
    What share of its bandwidth does an H100 reach with 16-bit weights, and what an L4, of which no one has published
    kernels?

    >>> own, other = measured_efficiency("H100"), measured_efficiency("L4")
    >>> (own.measured, other.measured)
    (True, False)
    >>> other.slow.mbu_fraction < other.likely.mbu_fraction < other.fast.mbu_fraction
    True
    """
    spec = gpu(gpu_name)
    board, precision = spec.name, usual_precision(spec) if precision is None else precision
    width = checks.positive("bytes_per_weight", bytes_per_weight)
    checks.one_of("precision", precision, PRECISIONS)
    bits = 16 if width > 1.4 else 8 if width > 0.7 else 4
    chips = {row["gpu"]: row["chip_of"] for row in _rows("same_chip")}
    names = (board, chips.get(board))

    def ends(rows: list[dict[str, Any]], key: str) -> tuple[float, float, float]:
        own = [row[key] for row in rows if row["gpu"] in names]
        values = own or [row[key] for row in rows]
        return min(values), math.fsum(values) / len(values), max(values)

    reading = [row for row in _rows("reading") if row["bits"] == bits]
    wanted = _STAND_INS.get(precision, precision)
    formats = {row["precision"] for row in _rows("arithmetic")}
    arithmetic = [row for row in _rows("arithmetic") if row["precision"] == wanted or wanted not in formats]
    mbu, mfu = ends(reading, "mbu_fraction"), ends(arithmetic, "mfu_fraction")
    layer = ends(reading, "layer_overhead_s")
    slow, likely, fast = (
        Efficiency(mbu_fraction=mbu[i], mfu_fraction=mfu[i], layer_overhead_s=layer[2 - i]) for i in range(3)
    )
    own = [[row for row in rows if row["gpu"] in names] for rows in (reading, arithmetic)]
    used = [row for rows, mine in zip((reading, arithmetic), own, strict=True) for row in mine or rows]
    source = "; ".join(dict.fromkeys(row["source"] for row in used))
    return EfficiencyRange(likely, slow, fast, all(own), source)
