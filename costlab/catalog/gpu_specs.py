"""GPU data-sheet figures."""

from dataclasses import dataclass
from datetime import date
from functools import cache
from typing import Final

from costlab._internal import checks
from costlab._internal.rows import by_spelling, named, shipped_rows
from costlab.errors import InvalidValueError

#: Number formats for which a data sheet states a peak rate, widest first.
PRECISIONS: Final = ("fp32", "tf32", "bf16", "fp16", "fp8", "int8", "fp4", "int4")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuSpec:
    """The data-sheet figures of one GPU.

    Peak rates are *dense*: data sheets since 2020 often print the rate with 2:4 structured sparsity, which is twice as
    high and which few models reach. ``None`` means that the data sheet states no such rate.

    Attributes
    ----------
    name, aliases
        The name as the vendor writes it, with the memory size where a model was sold with two; other spellings that
        :func:`gpu` accepts.
    architecture, form_factor, year
        The chip family, the board the figures are of (the PCIe board of the same chip is slower), and when it was
        announced.
    memory_gb, bandwidth_gb_per_s, board_power_w : float
        Device memory in GB (1e9 bytes) as the vendor states it, peak memory bandwidth in GB/s, and power limit of the
        board in watts.
    fp32_tflops, tf32_tflops, bf16_tflops, fp16_tflops, fp8_tflops, fp4_tflops : float or None
        Dense peak rates in TFLOP/s: `fp32` on the ordinary cores, the others on the tensor cores.
    int8_tops, int4_tops : float or None
        Dense peak rates in 1e12 integer operations per second.
    checked, source_url, read_at, note
        When the source was read; the vendor's page; the text that quotes it and in which the figures were read; what to
        know about them.
    """

    name: str
    architecture: str
    form_factor: str
    year: int
    memory_gb: float
    bandwidth_gb_per_s: float
    board_power_w: float
    fp32_tflops: float
    tf32_tflops: float | None = None
    bf16_tflops: float | None = None
    fp16_tflops: float | None = None
    fp8_tflops: float | None = None
    int8_tops: float | None = None
    fp4_tflops: float | None = None
    int4_tops: float | None = None
    checked: date
    source_url: str
    read_at: str
    note: str = ""
    aliases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("memory_gb", "bandwidth_gb_per_s", "board_power_w"):
            checks.positive(name, getattr(self, name))
        for precision in PRECISIONS:
            rate = self._rate(precision)
            if rate is not None:
                checks.positive(f"{self.name} {precision} rate", rate)
        if not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", "the address of a data sheet", self.source_url)

    def _rate(self, precision: str) -> float | None:
        unit = "tops" if precision.startswith("int") else "tflops"
        rate: float | None = getattr(self, f"{precision}_{unit}")
        return rate

    def dense_tflops(self, precision: str) -> float:
        """Dense peak rate at one of `PRECISIONS`, in TFLOP/s (in 1e12 operations per second for ``int8`` and ``int4``).

        Raises
        ------
        UnknownNameError
            If `precision` is none of these.
        InvalidValueError
            If the data sheet states no rate for it: a T4 has no bf16, and calling that 0 would hide it.

        Examples
        --------
        How many times faster is an H100 than a T4 at fp16, on paper?

        >>> round(gpu("H100").dense_tflops("fp16") / gpu("T4").dense_tflops("fp16"), 1)
        15.2
        """
        rate = self._rate(checks.one_of("precision", precision, PRECISIONS))
        if rate is None:
            stated = ", ".join(p for p in PRECISIONS if self._rate(p) is not None)
            raise InvalidValueError("precision", f"one that the {self.name} data sheet states ({stated})", precision)
        return rate


@cache
def gpus() -> tuple[GpuSpec, ...]:
    """Every GPU of the catalogue, oldest and smallest first.

    Examples
    --------
    Which of them can hold 100 GB of weights on one board?

    >>> [spec.name for spec in gpus() if spec.memory_gb >= 100]
    ['H200', 'B200']
    """
    rows = shipped_rows("costlab.catalog", "gpus.toml", "gpu")
    return tuple(GpuSpec(**{**row, "aliases": tuple(row.get("aliases", ()))}) for row in rows)


@cache
def _by_spelling() -> dict[str, GpuSpec]:
    return by_spelling(gpus())


def gpu(name: str) -> GpuSpec:
    """The data-sheet figures of the GPU with that name or alias (``"A100_80"``); upper and lower case are the same.

    Raises
    ------
    UnknownNameError
        If no GPU has that name. The message suggests the nearest.

    Examples
    --------
    How long does an A10G need at least to read its whole memory once, in milliseconds?

    >>> spec = gpu("A10G")
    >>> 1000 * spec.memory_gb / spec.bandwidth_gb_per_s
    40.0
    """
    return named("GPU", name, _by_spelling())
