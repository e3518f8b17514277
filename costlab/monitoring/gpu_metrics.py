"""How busy GPUs are, and what they cost, as Prometheus metrics."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import CostlabError, PriceNotFoundError
from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
    from prometheus_client.registry import Collector

#: Kind, name, help and labels, in the order in which they are shown.
GPU_METRICS: Final = (
    ("gauge", "costlab_gpu_utilization_ratio", "Share of time a GPU computes.", ("gpu",)),
    ("gauge", "costlab_gpu_utilization_known", "0 where no utilization can be read.", ("gpu",)),
    ("gauge", "costlab_gpu_price_usd_per_hour", "Price of a GPU-hour in USD.", ("gpu",)),
    ("counter", "costlab_gpu_cost_usd", "Cost of a GPU so far, by the clock, in USD.", ("gpu",)),
    ("counter", "costlab_gpu_reading_errors", "Scrapes at which no GPU could be read.", ()),
    ("gauge", "costlab_gpu_budget_usd_per_day", "What the GPUs may cost a day, in USD.", ()),
)

#: What DCGM's exporter calls the share of time in which the graphics engine worked; it is right under MIG too.
ENGINE_ACTIVE: Final = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"

#: And what it calls NVML's utilization, which is 0 or absent under MIG.
DEVICE_UTILIZATION: Final = "DCGM_FI_DEV_GPU_UTIL"

MIG: Final = f"MIG is on, where NVML knows no utilization; read {ENGINE_ACTIVE} instead"


class GpuReadingError(CostlabError, ValueError):
    """A text that was to hold GPU metrics holds none."""


@dataclass(frozen=True, slots=True)
class GpuReading:
    """What is known of a GPU at a moment.

    Attributes
    ----------
    gpu : str
        Its number on the machine; under MIG with the instance, as in ``0/7``.
    utilization_fraction : float or None
        Share of the time in which it computed, in 0..1; None where no one can tell.
    reason : str
        Why no one can.
    """

    gpu: str
    utilization_fraction: float | None
    reason: str = ""


def nvml_readings(nvml: Any = None) -> tuple[GpuReading, ...]:
    """The utilization of this machine's GPUs from NVIDIA's management library, by default ``pynvml``.

    Raises
    ------
    MissingExtraError
        If ``nvidia-ml-py`` is not installed. Errors of the library, such as no driver, pass through.

    Notes
    -----
    NVML's utilization is the share of the last moment (up to a second) in which any kernel ran, however small. Under
    MIG it knows none, and older drivers answer 0; such a GPU's utilization is None here, with the reason.
    """
    if nvml is None:
        with extra("monitoring"):
            import pynvml
        nvml = pynvml
    nvml.nvmlInit()
    try:
        return tuple(_nvml_reading(nvml, number) for number in range(nvml.nvmlDeviceGetCount()))
    finally:
        nvml.nvmlShutdown()


def _nvml_reading(nvml: Any, number: int) -> GpuReading:
    handle = nvml.nvmlDeviceGetHandleByIndex(number)
    # GPUs that cannot do MIG answer that the question is not supported.
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0]:
            return GpuReading(str(number), None, MIG)
    try:
        return GpuReading(str(number), nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100)
    except nvml.NVMLError as error:
        return GpuReading(str(number), None, f"NVML: {error}")


def dcgm_readings(text: str) -> tuple[GpuReading, ...]:
    r"""The utilization of GPUs, or of each MIG instance, by name, from the text that DCGM's exporter answers.

    Raises
    ------
    GpuReadingError, MissingExtraError
        If the text has no metric of GPU utilization, or ``prometheus_client`` is not installed.

    Notes
    -----
    Only ``DCGM_FI_PROF_GR_ENGINE_ACTIVE`` counts. Where the exporter leaves it out (it does by default on some GPUs)
    and shows ``DCGM_FI_DEV_GPU_UTIL`` alone, the utilization is None with that reason, for that one reads 0 under MIG.

    Examples
    --------
    >>> text = 'DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",GPU_I_ID="7"} 0.5\n'
    >>> dcgm_readings(text)
    (GpuReading(gpu='0/7', utilization_fraction=0.5, reason=''),)
    """
    with extra("monitoring"):
        from prometheus_client.parser import text_string_to_metric_families
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError as error:
        raise GpuReadingError(f"this is no text for Prometheus: {error}") from None
    reason = f"only {DEVICE_UTILIZATION} is there, which reads 0 under MIG; let the exporter show {ENGINE_ACTIVE}"
    readings: dict[str, GpuReading] = {}
    for sample in samples:
        name = "/".join(part for part in (sample.labels.get("gpu", "?"), sample.labels.get("GPU_I_ID", "")) if part)
        if sample.name == ENGINE_ACTIVE:
            fine = 0.0 <= sample.value <= 1.0
            readings[name] = GpuReading(name, sample.value if fine else None, "" if fine else "DCGM has no value")
        elif sample.name == DEVICE_UTILIZATION:
            readings.setdefault(name, GpuReading(name, None, reason))
    if not readings:
        raise GpuReadingError(f"the text has no {ENGINE_ACTIVE}")
    return tuple(readings[name] for name in sorted(readings))


class GpuMetrics:
    """A collector that shows Prometheus how busy GPUs are and what they have cost so far.

    Parameters
    ----------
    registry : prometheus_client.CollectorRegistry
        Where the metrics are shown.
    readings : callable
        Gives the :class:`GpuReading` of each GPU, at every scrape: :func:`nvml_readings`, or a function that fetches
        the text of DCGM's exporter and hands it to :func:`dcgm_readings`.
    usd_per_hour : float or mapping of str to float
        Price of a GPU-hour in USD, >= 0; one for all, or one for each GPU's name.
    budget_usd_per_day : float, optional
        Shown as it is, for the alert on spending.
    clock : callable
        Gives seconds that never go back.

    Raises
    ------
    InvalidValueError, MissingExtraError
        If a number is outside its domain, or ``prometheus_client`` is not installed.

    Notes
    -----
    ``costlab_gpu_utilization_ratio`` is left out for a GPU whose utilization no one knows, and
    ``costlab_gpu_utilization_known`` is 0 then; :attr:`reasons` says why. It never shows 0 for unknown. The cost of a
    GPU grows by the clock, from the first scrape that found it on. Readings that fail are counted, and the other
    metrics of the registry are still shown.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        readings: Callable[[], Sequence[GpuReading]],
        usd_per_hour: float | Mapping[str, float],
        *,
        budget_usd_per_day: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        with extra("monitoring"):
            import prometheus_client  # noqa: F401 - needed when it is scraped
        for price in usd_per_hour.values() if isinstance(usd_per_hour, Mapping) else (usd_per_hour,):
            checks.non_negative("usd_per_hour", price)
        self._prices = usd_per_hour
        self._budget = None if budget_usd_per_day is None else checks.positive("budget_usd_per_day", budget_usd_per_day)
        self._readings, self._clock = readings, clock
        self._lock = Lock()
        self._seen: dict[str, tuple[float, float]] = {}  # when last seen, and USD so far
        self._errors = 0
        self._last_error: Exception | None = None
        self._reasons: dict[str, str] = {}
        registry.register(cast("Collector", self))

    @property
    def reasons(self) -> Mapping[str, str]:
        """Why the utilization of a GPU is not known, by its name, at the last scrape."""
        return dict(self._reasons)

    @property
    def last_error(self) -> Exception | None:
        """Why the readings failed the last time that they did, or None."""
        return self._last_error

    def _price(self, gpu: str) -> float:
        if isinstance(self._prices, Mapping):
            if gpu not in self._prices:
                raise PriceNotFoundError(f"no usd_per_hour for GPU {gpu!r}; there is one for {', '.join(self._prices)}")
            return self._prices[gpu]
        if "/" in gpu:
            raise PriceNotFoundError(f"{gpu!r} is a part of a GPU; give usd_per_hour for each MIG instance by its name")
        return self._prices

    def describe(self) -> Iterator[Metric]:
        """The metrics without values."""
        return iter(_gpu_families())

    def collect(self) -> Iterator[Metric]:
        """The metrics, for the registry."""
        families = utilization, known, prices, costs, errors, budget = _gpu_families()
        with self._lock:
            now = self._clock()
            try:
                readings = [(reading, self._price(reading.gpu)) for reading in self._readings()]
            except Exception as error:  # of a driver, a socket, a parser: the other metrics must still be shown
                self._errors += 1
                self._last_error = error.with_traceback(None)
                readings = []
            self._reasons = {}
            for reading, price in readings:
                before, usd = self._seen.get(reading.gpu, (now, 0.0))
                self._seen[reading.gpu] = (now, usd + price * max(0.0, now - before) / SECONDS_PER_HOUR)
                share = reading.utilization_fraction
                if share is None:
                    self._reasons[reading.gpu] = reading.reason
                if share is not None and math.isfinite(share):
                    utilization.add_metric([reading.gpu], share)
                    known.add_metric([reading.gpu], 1.0)
                else:
                    known.add_metric([reading.gpu], 0.0)
                prices.add_metric([reading.gpu], price)
            for gpu, (_, usd) in self._seen.items():
                costs.add_metric([gpu], usd)
            errors.add_metric([], self._errors)
            if self._budget is not None:
                budget.add_metric([], self._budget)
        return iter(families)


def _gpu_families() -> list[GaugeMetricFamily | CounterMetricFamily]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    kinds = {"gauge": GaugeMetricFamily, "counter": CounterMetricFamily}
    return [kinds[kind](name, text, labels=labels) for kind, name, text, labels in GPU_METRICS]
