"""Results of studies of compressed models: rows from one device on one day, as a table and as a recording."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Generic, Self, TypedDict, TypeVar

from costlab import recordings
from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.pareto import pareto_front
from costlab.errors import InvalidValueError, RecordingError
from costlab.recordings import Device, Recording, library_versions

if TYPE_CHECKING:
    from pandas import DataFrame

StudyRow = TypeVar("StudyRow")

#: What a recording says of the measuring beside its rows.
_RECORDED = ("experiment", "device", "device_name", "driver", "recorded_on", "repeats")


@dataclass(frozen=True, slots=True)
class Spread:
    """A mean over repetitions, such as seeds.

    Attributes
    ----------
    n, mean, standard_deviation : int, float, float
        Repetitions, and of their results.
    low, high : float
        Ends of the interval for the mean that Student's t gives.
    """

    n: int
    mean: float
    standard_deviation: float
    low: float
    high: float


def spread(values: Sequence[float], *, confidence_fraction: float = 0.95) -> Spread:
    r"""Mean of some results with an interval.

    .. math:: \bar x \pm t_{n-1}\,\frac{s}{\sqrt n}

    Parameters
    ----------
    values, confidence_fraction : sequence of float, float
        One result of each repetition, at least two; and how often such an interval holds the mean of very many, in
        (0, 1).

    Notes
    -----
    Repetitions are taken as independent and not far from normal. For two things measured under the same seeds give it
    their differences: what the seeds have in common then cancels.

    Examples
    --------
    Five seeds gave these accuracies. How sure is their mean?

    >>> accuracy = spread([0.42, 0.44, 0.41, 0.43, 0.45])
    >>> round(accuracy.mean, 3), round(accuracy.low, 3), round(accuracy.high, 3)
    (0.43, 0.41, 0.45)
    """
    with extra("compression"):
        from scipy import stats
    if len(values) < 2:
        raise InvalidValueError("values", "at least two", len(values))
    known = [checks.finite("values", value) for value in values]
    checks.fraction("confidence_fraction", confidence_fraction, zero=False, one=False)
    mean, deviation = statistics.fmean(known), statistics.stdev(known)
    margin = float(stats.t.ppf((1 + confidence_fraction) / 2, len(known) - 1)) * deviation / math.sqrt(len(known))
    return Spread(len(known), mean, deviation, mean - margin, mean + margin)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult(Generic[StudyRow]):
    """The rows of a study, measured on one device on one day.

    Attributes
    ----------
    experiment, device, device_name, driver, library_versions, recorded_on, repeats
        As in a :class:`costlab.recordings.Recording`.
    rows : tuple
        What was measured. All that a result has beside these attributes holds for all rows.
    """

    #: The attribute with the stored rows of each kind, told apart by their field ``what``; "run" is a row with what
    #: holds for all, which would otherwise be repeated in each row. A price is stored among the versions.
    KINDS: ClassVar[Mapping[str, str]] = {"": "rows"}

    experiment: str
    device: str
    device_name: str
    driver: str
    library_versions: Mapping[str, str]
    recorded_on: str
    repeats: int
    rows: tuple[StudyRow, ...]

    @property
    def device_kind(self) -> str:
        """``'cpu'`` or ``'cuda'``."""
        return "cpu" if self.driver == "none" else "cuda"

    def to_recording(self, command: str) -> Recording:
        """The result as a recording, made by the command named."""
        run = {name: getattr(self, name) for name in self._run_names()}
        stored: list[dict[str, object]] = []
        for what, attribute in self.KINDS.items():
            tag = {"what": what} if what else {}
            if what == "run":
                stored.append({**tag, **run})
                continue
            beside = run if attribute == "rows" and "run" not in self.KINDS else {}
            stored += [{**tag, **asdict(row), **beside} for row in getattr(self, attribute)]
        price = {"price": self.price} if hasattr(self, "price") else {}
        return Recording(
            experiment=self.experiment,
            device=self.device,
            device_name=self.device_name,
            driver=self.driver,
            library_versions={**self.library_versions, **price},
            recorded_on=self.recorded_on,
            command=command,
            repeats=self.repeats,
            rows=tuple(stored),
        )

    @classmethod
    def from_recording(cls, recording: Recording) -> Self:
        """The result that a recording holds. Raises a RecordingError if its rows are not those of such a result."""
        from pydantic import TypeAdapter, ValidationError

        versions = dict(recording.library_versions)
        values: dict[str, object] = {"price": versions.pop("price", ""), "library_versions": versions}
        values |= {name: getattr(recording, name) for name in _RECORDED}
        values |= {attribute: [] for attribute in cls.KINDS.values()}
        for row in recording.rows:
            values |= {name: row[name] for name in cls._run_names() if name in row}
        for what, attribute in cls.KINDS.items():
            if what != "run":
                values[attribute] = [row for row in recording.rows if row.get("what", "") == what]
        try:
            return TypeAdapter(cls).validate_python(values)
        except ValidationError as error:
            raise RecordingError(f"{recording.experiment} on {recording.device}: {error}") from error

    def record(self, folder: Path | None = None, *, command: str) -> Path:
        """Write the result into a folder, by default that of the package's recordings; returns the file."""
        return recordings.save_recording(self.to_recording(command), folder)

    @classmethod
    def recorded(cls, experiment: str, device: str = "cpu", folder: Path | None = None) -> Self | None:
        """The recorded result of an experiment on a device, or None where none was made yet.

        Raises a RecordingError if the file is there but cannot be trusted.
        """
        recording = recordings.find_recording(experiment, device, folder)
        return None if recording is None else cls.from_recording(recording)

    @classmethod
    def _run_names(cls) -> list[str]:
        """Names of what holds for all rows and is stored with them."""
        known = {*(item.name for item in fields(StudyResult)), *cls.KINDS.values(), "price"}
        return [item.name for item in fields(cls) if item.name not in known]

    def _find(self, what: str, known: Iterable[str], **wanted: object) -> StudyRow:
        """The first row with these values; `what` and `known` are for the error where there is none."""
        for row in self.rows:
            if all(getattr(row, name) == value for name, value in wanted.items()):
                return row
        values = tuple(wanted.values())
        raise InvalidValueError(what, f"one of {', '.join(known)}", values[0] if len(values) == 1 else values)


class _Place(TypedDict):
    device: str
    device_name: str
    driver: str
    library_versions: Mapping[str, str]
    recorded_on: str


def measured_here(device: Device, *libraries: str) -> _Place:
    """What a result says of a run on a device, now. On a CPU all is measured on one thread."""
    return {
        "device": device.short_name,
        "device_name": device.name if device.kind == "cuda" else f"{device.name}, one thread",
        "driver": device.driver,
        "library_versions": library_versions(*libraries),
        "recorded_on": date.today().isoformat(),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Time of one step at one batch size.

    Attributes
    ----------
    batch : int
        Members of the batch.
    median, least, greatest, warm_up_ms : float
        Milliseconds of a step over the repeats, and of the first step, which is not among them.
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
    model, variant, reason : str
        Which model, what was done to it, and why it did not run; empty where it did.
    disk_bytes, weights_bytes, peak_bytes : int or None
        Its file; its weights in memory; these and what a step at the largest batch adds (at least).
    predicted_bytes, size_ratio : float or None
        What `weights_bytes` should be, from shapes; and `weights_bytes` over the baseline's.
    unit, latencies : str, tuple of Latency
        What a step makes, ``token`` or ``request``; and its times, one for each batch size.
    metric, quality, quality_standard_error, quality_n : str, float or None, float or None, int
        ``perplexity`` (less is better) or ``accuracy``; its value, the standard error of that, and the tokens or
        queries behind it.
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
    facts: Mapping[str, int | float] = field(default_factory=dict)

    @property
    def less_is_better(self) -> bool:
        """Whether a lower value of its metric is the better one."""
        return self.metric == "perplexity"

    def at(self, batch: int) -> Latency:
        """The time of a step at one batch size. Raises an InvalidValueError if it was not measured."""
        for latency in self.latencies:
            if latency.batch == batch:
                return latency
        measured = ", ".join(str(latency.batch) for latency in self.latencies) or f"none, as {self.reason}"
        raise InvalidValueError("batch", f"one that was measured ({measured})", batch)

    def line(self) -> str:
        """The row as text."""
        start = f"{self.model:<22} {self.variant:<23}"
        if self.reason:
            return f"{start} not measured: {self.reason}"
        times = ", ".join(f"{step.median:.4g} ms at {step.batch} ({step.ratio:.2f}x)" for step in self.latencies)
        quality = f"{self.metric} {self.quality:.4g} +- {self.quality_standard_error or 0:.2g} (n = {self.quality_n})"
        dollars = "no price" if self.usd is None else f"{self.usd:.3g} {self.usd_unit}"
        return f"{start} {(self.weights_bytes or 0) / 1e6:>6.1f} MB, {times}, {quality}, {dollars}"

    def cells(self) -> dict[str, object]:
        """A row of a table: sizes in megabytes, times at each batch size in milliseconds."""
        cells: dict[str, object] = {"model": self.model, "variant": self.variant}
        for name in ("disk", "weights", "peak"):
            size_bytes = getattr(self, f"{name}_bytes")
            cells[f"{name}_mb"] = None if size_bytes is None else size_bytes / 1e6
        cells["size_ratio"] = self.size_ratio
        for latency in self.latencies:
            cells |= {f"ms_at_{latency.batch}": latency.median, f"ratio_at_{latency.batch}": latency.ratio}
            cells[f"{self.unit}s_per_s_at_{latency.batch}"] = latency.units_per_s
        return cells | {
            "quality": self.quality,
            "standard_error": self.quality_standard_error,
            "n": self.quality_n,
            "agreement": self.agreement_fraction,
            "usd": self.usd,
            **self.facts,
            "reason": self.reason,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchmarkResult(StudyResult[BenchmarkRow]):
    """Variants of one model or several, the baseline of each model first.

    Where and when is told by the attributes of :class:`StudyResult`.

    Attributes
    ----------
    rows : tuple of BenchmarkRow
        A row for each variant.
    seed : int
        Of the order of the timed steps.
    usd_per_hour, price : float or None, str
        What an hour of the device is taken to cost, and where that price comes from.
    """

    rows: tuple[BenchmarkRow, ...]
    seed: int
    usd_per_hour: float | None
    price: str

    def row(self, variant: str, model: str | None = None) -> BenchmarkRow:
        """The row of a variant; of the first model that has it, unless one is named.

        Raises an InvalidValueError if there is none.
        """
        wanted = {"variant": variant} if model is None else {"variant": variant, "model": model}
        return self._find("variant", (row.variant for row in self.rows), **wanted)

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each variant, times at each batch size in milliseconds."""
        with extra("plots"):
            import pandas as pd
        return pd.DataFrame([row.cells() for row in self.rows]).set_index(["model", "variant"])

    def dots(self, model: str | None = None) -> dict[str, tuple[float, float]]:
        """Dollars and quality of the variants of a model, by default of the first, that were measured and priced.

        Raises an InvalidValueError if there are none.
        """
        model = self.rows[0].model if model is None else model
        dots = {
            row.variant: (row.usd, row.quality)
            for row in self.rows
            if row.model == model and row.usd is not None and row.quality is not None
        }
        if not dots:
            raise InvalidValueError("model", "one with a variant that was measured and priced", model)
        return dots

    def front(self, *, model: str | None = None) -> tuple[str, ...]:
        """The variants of a model that no other beats in quality and dollars, the cheapest first: the Pareto front.

        Raises an InvalidValueError if no variant of the model was measured and priced.
        """
        dots = self.dots(model)
        return pareto_front(dots, less_is_better=self.row(next(iter(dots)), model).less_is_better)

    def lines(self) -> list[str]:
        """The result as text, a line for each variant."""
        head = f"{self.device_name} ({self.recorded_on}, median of {self.repeats}); an hour: {self.price}"
        return [head, *(row.line() for row in self.rows)]


def together(results: Sequence[BenchmarkResult]) -> BenchmarkResult:
    """Results of several models on one device as one.

    Raises an InvalidValueError if there are none, or they come from different devices.
    """
    if len({(result.device, result.repeats) for result in results}) != 1:
        raise InvalidValueError("results", "of one device with equal repeats", [result.device for result in results])
    return replace(results[0], rows=tuple(row for result in results for row in result.rows))
