"""Results of a benchmark: a row for each variant, as a table, a figure and a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from costlab import recordings
from costlab._internal.extras import require
from costlab._internal.pareto import pareto_front
from costlab.compression.measured import Measured, measured_there
from costlab.errors import InvalidValueError
from costlab.plotting.compression import plot_quality_cost
from costlab.recordings import Recording

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

__all__ = ["BenchmarkResult", "BenchmarkRow", "Latency", "recorded_benchmark", "together"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time of one step at one batch size.

    Attributes
    ----------
    batch : int
        Members of the batch.
    median, least, greatest : float
        Milliseconds of a step, over the repeats.
    warm_up_ms : float
        Milliseconds of the first step, which is not among them.
    units_per_s : float
        Tokens or requests per second, all members together, at the median.
    ratio : float
        Time over the baseline's: the median of pairs measured one after the other; 1 for the baseline.
    """

    batch: int
    median: float
    least: float
    greatest: float
    warm_up_ms: float
    units_per_s: float
    ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkRow:
    """One variant. Where it did not run, `reason` says why and everything measured is None or empty.

    Attributes
    ----------
    model, variant : str
        Which model, and what was done to it.
    reason : str
        Why it did not run; empty where it did.
    disk_bytes, weights_bytes, peak_bytes : int or None
        Its file; its weights in memory; these and what a step at the largest batch adds (at least).
    predicted_bytes : float or None
        What `weights_bytes` should be, from shapes.
    size_ratio : float or None
        `weights_bytes` over the baseline's.
    unit : str
        What a step makes: ``token`` or ``request``.
    latencies : tuple of Latency
        One for each batch size.
    metric : str
        What quality is: ``perplexity`` (less is better), ``accuracy``.
    quality, quality_standard_error : float or None
        Its value, and the standard error of that.
    quality_n : int
        Tokens or queries behind it.
    change, change_standard_error : float or None
        Difference to the baseline in the mean of -ln p or of right answers, with the standard error of the pairs.
    agreement_fraction : float or None
        Share of the `quality_n` places where it says what the baseline says.
    usd, usd_unit : float or None, str
        Price of a million tokens or of a request, at the largest batch and the result's price of an hour.
    facts : mapping of str to float
        What else is known of the variant, each with its unit: ``sparsity_fraction``, ``packed_bytes``.
    """

    model: str
    variant: str
    reason: str = ""
    disk_bytes: int | None = None
    weights_bytes: int | None = None
    peak_bytes: int | None = None
    predicted_bytes: float | None = None
    size_ratio: float | None = None
    unit: str = ""
    latencies: tuple[Latency, ...] = ()
    metric: str = ""
    quality: float | None = None
    quality_standard_error: float | None = None
    quality_n: int = 0
    change: float | None = None
    change_standard_error: float | None = None
    agreement_fraction: float | None = None
    usd: float | None = None
    usd_unit: str = ""
    facts: Mapping[str, float] = field(default_factory=dict)

    def at(self, batch: int) -> Latency:
        """The time of a step at one batch size.

        Raises
        ------
        InvalidValueError
            If it was not measured.
        """
        found = next((latency for latency in self.latencies if latency.batch == batch), None)
        if found is None:
            measured = ", ".join(str(latency.batch) for latency in self.latencies) or f"none, as {self.reason}"
            raise InvalidValueError("batch", f"one that was measured ({measured})", batch)
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult(Measured):
    """Variants of one model or several, measured on one device.

    Where and when is told by the attributes of :class:`Measured`.

    Attributes
    ----------
    rows : tuple of BenchmarkRow
        A row for each variant, the baseline of each model first.
    repeats, seed : int
        Timed steps behind each median, and the seed of their order.
    usd_per_hour : float or None
        What an hour of the device is taken to cost.
    price : str
        Where that price comes from.
    """

    rows: tuple[BenchmarkRow, ...]
    repeats: int
    seed: int
    usd_per_hour: float | None
    price: str

    def row(self, variant: str, model: str | None = None) -> BenchmarkRow:
        """The row of a variant; of the first model that has it, unless one is named.

        Raises
        ------
        InvalidValueError
            If there is none.
        """
        found = next((r for r in self.rows if r.variant == variant and model in (None, r.model)), None)
        if found is None:
            raise InvalidValueError("variant", f"one of {', '.join(r.variant for r in self.rows)}", variant)
        return found

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each variant, times at each batch size in milliseconds."""
        pandas = require("pandas", "plots")
        table: DataFrame = pandas.DataFrame([_flat(row) for row in self.rows]).set_index(["model", "variant"])
        return table

    def front(self, *, model: str | None = None) -> tuple[str, ...]:
        """The variants of a model that no other beats in quality and dollars, the cheapest first: the Pareto front.

        Raises
        ------
        InvalidValueError
            If no variant of the model was measured and priced.
        """
        rows = self._priced(model)
        return pareto_front(_dots(rows), less_is_better=rows[0].metric == "perplexity")

    def plot(self, *, model: str | None = None, ax: Axes | None = None) -> Axes:
        """Quality against dollars, one dot for each variant of a model; by default of the first."""
        rows = self._priced(model)
        metric, unit, scale = rows[0].metric, rows[0].usd_unit, 1.0
        if rows[0].unit == "request":  # one costs too little for an axis
            unit, scale = "USD per million requests", 1e6
        dots = {name: (scale * usd, quality) for name, (usd, quality) in _dots(rows).items()}
        return plot_quality_cost(dots, metric=metric, unit=unit, less_is_better=metric == "perplexity", ax=ax)

    def _priced(self, model: str | None) -> list[BenchmarkRow]:
        model = self.rows[0].model if model is None else model
        rows = [row for row in self.rows if row.model == model and row.usd is not None and row.quality is not None]
        if not rows:
            raise InvalidValueError("model", "one with a variant that was measured and priced", model)
        return rows

    def recording(self, command: str, experiment: str = "quantization") -> Recording:
        """The result as a recording, made by the command named."""
        rows = [{**asdict(row), "seed": self.seed, "usd_per_hour": self.usd_per_hour} for row in self.rows]
        return self._as_recording(experiment, command, self.repeats, rows, price=self.price)

    def record(
        self, path: Path | None = None, *, command: str = "benchmark()", experiment: str = "quantization"
    ) -> Path:
        """Write the result into the folder `path`, by default the package's recordings; returns the file."""
        return recordings.save_recording(self.recording(command, experiment), path)


def together(results: Sequence[BenchmarkResult]) -> BenchmarkResult:
    """Results of several models on one device as one.

    Raises
    ------
    InvalidValueError
        If there are none, or they come from different devices.
    """
    if len({(result.device, result.repeats) for result in results}) != 1:
        raise InvalidValueError("results", "of one device with equal repeats", [result.device for result in results])
    return replace(results[0], rows=tuple(row for result in results for row in result.rows))


def recorded_benchmark(
    device: str, experiment: str = "quantization", folder: Path | None = None
) -> BenchmarkResult | None:
    """The recorded result of an experiment on a device, or None where none was made yet.

    Raises
    ------
    RecordingError
        If the file is there but cannot be trusted.
    """
    recording = recordings.find_recording(experiment, device, folder)
    if recording is None:
        return None
    first = recording.rows[0]
    rows = []
    for stored in recording.rows:
        fields = {name: value for name, value in stored.items() if name not in ("seed", "usd_per_hour")}
        rows.append(BenchmarkRow(**{**fields, "latencies": tuple(Latency(**one) for one in fields["latencies"])}))
    return BenchmarkResult(
        rows=tuple(rows),
        repeats=recording.repeats,
        seed=first["seed"],
        usd_per_hour=first["usd_per_hour"],
        price=recording.library_versions.get("price", ""),
        **measured_there(recording),
    )


def _dots(rows: Sequence[BenchmarkRow]) -> dict[str, tuple[float, float]]:
    return {row.variant: (row.usd or 0.0, row.quality or 0.0) for row in rows}


def _flat(row: BenchmarkRow) -> dict[str, Any]:
    flat: dict[str, Any] = {
        "model": row.model,
        "variant": row.variant,
        "disk_mb": _mb(row.disk_bytes),
        "weights_mb": _mb(row.weights_bytes),
        "peak_mb": _mb(row.peak_bytes),
        "size_ratio": row.size_ratio,
    }
    for one in row.latencies:
        flat |= {f"ms_at_{one.batch}": one.median, f"ratio_at_{one.batch}": one.ratio}
        flat[f"{row.unit}s_per_s_at_{one.batch}"] = one.units_per_s
    return flat | {
        "quality": row.quality,
        "standard_error": row.quality_standard_error,
        "n": row.quality_n,
        "agreement": row.agreement_fraction,
        "usd": row.usd,
        **row.facts,
        "reason": row.reason,
    }


def _mb(size_bytes: int | None) -> float | None:
    return None if size_bytes is None else size_bytes / 1e6
