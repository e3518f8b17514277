"""GPU metrics: never a zero for what nobody knows."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from costlab.errors import InvalidValueError, PriceNotFoundError
from costlab.monitoring import GpuMetrics, GpuReading, GpuReadingError, dcgm_readings, nvml_readings
from tests import needs

needs.extra("prometheus_client", "monitoring")

from prometheus_client import CollectorRegistry  # noqa: E402


class NVMLError(Exception):
    pass


def nvml(*gpus: dict[str, Any]) -> Any:
    """NVML as it answers for GPUs of these kinds; an answer that is an error is raised."""

    def answer(gpu: dict[str, Any], what: str) -> Any:
        value = gpu[what]
        if isinstance(value, Exception):
            raise value
        return value

    calls: list[str] = []
    return SimpleNamespace(
        NVMLError=NVMLError,
        calls=calls,
        nvmlInit=lambda: calls.append("init"),
        nvmlShutdown=lambda: calls.append("shutdown"),
        nvmlDeviceGetCount=lambda: len(gpus),
        nvmlDeviceGetHandleByIndex=lambda number: gpus[number],
        nvmlDeviceGetMigMode=lambda gpu: answer(gpu, "mig"),
        nvmlDeviceGetUtilizationRates=lambda gpu: SimpleNamespace(gpu=answer(gpu, "util")),
    )


def test_nvml_gives_fractions_and_is_shut_down() -> None:
    library = nvml({"mig": NVMLError("Not Supported"), "util": 37}, {"mig": (0, 0), "util": 100})
    assert nvml_readings(library) == (GpuReading("0", 0.37), GpuReading("1", 1.0))
    assert library.calls == ["init", "shutdown"]


def test_under_mig_the_zero_of_nvml_is_not_taken_for_an_idle_gpu() -> None:
    (reading,) = nvml_readings(nvml({"mig": (1, 1), "util": 0}))
    assert reading.utilization_fraction is None
    assert "MIG is on" in reading.reason
    assert "DCGM_FI_PROF_GR_ENGINE_ACTIVE" in reading.reason


def test_a_gpu_that_does_not_answer_is_unknown_and_the_others_are_not() -> None:
    first, second = nvml_readings(nvml({"mig": (0, 0), "util": NVMLError("GPU is lost")}, {"mig": (0, 0), "util": 5}))
    assert (first.utilization_fraction, first.reason) == (None, "NVML: GPU is lost")
    assert second.utilization_fraction == 0.05


DCGM = """# HELP DCGM_FI_PROF_GR_ENGINE_ACTIVE Ratio of time the graphics engine is active.
# TYPE DCGM_FI_PROF_GR_ENGINE_ACTIVE gauge
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="1",UUID="GPU-b",Hostname="h"} 0.900000
DCGM_FI_PROF_GR_ENGINE_ACTIVE{gpu="0",UUID="GPU-a",GPU_I_PROFILE="1g.10gb",GPU_I_ID="7",Hostname="h"} 0.250000
# TYPE DCGM_FI_DEV_GPU_UTIL gauge
DCGM_FI_DEV_GPU_UTIL{gpu="1",UUID="GPU-b"} 91
"""


def test_dcgm_is_read_by_gpu_and_by_mig_instance() -> None:
    assert dcgm_readings(DCGM) == (GpuReading("0/7", 0.25), GpuReading("1", 0.9))


def test_the_field_that_reads_zero_under_mig_is_not_used() -> None:
    (reading,) = dcgm_readings('DCGM_FI_DEV_GPU_UTIL{gpu="0",GPU_I_ID="7"} 0\n')
    assert reading.utilization_fraction is None
    assert "only DCGM_FI_DEV_GPU_UTIL is there, which reads 0 under MIG" in reading.reason


@pytest.mark.parametrize("value", ["NaN", "-1", "9223372036854775794"])
def test_values_with_which_dcgm_says_that_it_has_none(value: str) -> None:
    (reading,) = dcgm_readings(f'DCGM_FI_PROF_GR_ENGINE_ACTIVE{{gpu="0"}} {value}\n')
    assert (reading.utilization_fraction, reading.reason) == (None, "DCGM has no value")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text has no DCGM_FI_PROF_GR_ENGINE_ACTIVE"),
        ("up 1\n", "the text has no DCGM_FI_PROF_GR_ENGINE_ACTIVE"),
        ("<html>\n", "this is no text for Prometheus"),
    ],
)
def test_a_text_without_gpus_is_an_error_and_no_idle_fleet(text: str, message: str) -> None:
    with pytest.raises(GpuReadingError, match=message):
        dcgm_readings(text)


class Machine:
    """Readings and a clock that a test sets."""

    def __init__(self, *readings: GpuReading) -> None:
        self.readings: Sequence[GpuReading] = readings
        self.now_s = 0.0
        self.registry = CollectorRegistry()

    def read(self) -> Sequence[GpuReading]:
        if not self.readings:
            raise OSError("no driver")
        return self.readings

    def metrics(self, price: Any = 2.0, **more: Any) -> GpuMetrics:
        return GpuMetrics(self.registry, self.read, price, clock=lambda: self.now_s, **more)

    def value(self, name: str, gpu: str | None = None) -> float | None:
        found: float | None = self.registry.get_sample_value(name, {} if gpu is None else {"gpu": gpu})
        return found


def test_cost_grows_by_the_clock() -> None:
    machine = Machine(GpuReading("0", 0.5))
    machine.metrics(budget_usd_per_day=100)
    assert machine.value("costlab_gpu_cost_usd_total", "0") == 0
    machine.now_s = 1800.0
    assert machine.value("costlab_gpu_cost_usd_total", "0") == 1.0
    assert machine.value("costlab_gpu_utilization_ratio", "0") == 0.5
    assert machine.value("costlab_gpu_price_usd_per_hour", "0") == 2.0
    assert machine.value("costlab_gpu_budget_usd_per_day") == 100


def test_an_unknown_utilization_is_absent_and_said() -> None:
    machine = Machine(GpuReading("0", None, "MIG is on"), GpuReading("1", float("nan")))
    metrics = machine.metrics()
    assert machine.value("costlab_gpu_utilization_ratio", "0") is None
    assert machine.value("costlab_gpu_utilization_ratio", "1") is None
    assert machine.value("costlab_gpu_utilization_known", "0") == 0
    assert metrics.reasons == {"0": "MIG is on"}


def test_a_driver_that_fails_is_counted_and_the_cost_so_far_stays() -> None:
    machine = Machine(GpuReading("0", 0.5))
    metrics = machine.metrics()
    machine.value("costlab_gpu_cost_usd_total", "0")
    machine.now_s = 3600.0
    machine.value("costlab_gpu_cost_usd_total", "0")
    machine.readings = ()
    assert machine.value("costlab_gpu_cost_usd_total", "0") == 2.0
    assert machine.value("costlab_gpu_reading_errors_total") == 2  # each look is a scrape
    assert str(metrics.last_error) == "no driver"


def test_prices_by_gpu_and_mig_instances_that_have_none() -> None:
    machine = Machine(GpuReading("0/7", 0.5))
    metrics = machine.metrics({"0/7": 0.25, "0/8": 0.25})
    machine.value("costlab_gpu_cost_usd_total", "0/7")
    machine.now_s = 3600.0
    assert machine.value("costlab_gpu_cost_usd_total", "0/7") == 0.25
    assert metrics.last_error is None
    whole = Machine(GpuReading("0/7", 0.5), GpuReading("0/8", 0.5))
    metrics = whole.metrics(2.0)
    assert whole.value("costlab_gpu_cost_usd_total", "0/7") is None  # not twice the price of the GPU
    assert isinstance(metrics.last_error, PriceNotFoundError)
    other = Machine(GpuReading("3", 0.5))
    metrics = other.metrics({"0": 1.0})
    other.value("costlab_gpu_cost_usd_total", "3")
    assert str(metrics.last_error) == "no usd_per_hour for GPU '3'; there is one for 0"


def test_arguments_are_checked() -> None:
    with pytest.raises(InvalidValueError, match="usd_per_hour must be a number >= 0"):
        Machine().metrics(-1.0)
    with pytest.raises(InvalidValueError, match="budget_usd_per_day must be a number > 0"):
        Machine().metrics(1.0, budget_usd_per_day=0)
