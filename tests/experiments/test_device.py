import pytest

from costlab.experiments import measure_device
from costlab.experiments.device import EXPERIMENT, _Board, _product
from costlab.recordings import Recording, find_device
from tests import needs


def test_measured_on_the_cpu() -> None:
    needs.extra("torch", "models")
    result = measure_device("cpu", repeats=5, copy_mib=8, size=128)
    assert [row["quantity"] for row in result.rows] == ["copy", "read", "matmul fp32", "matmul bf16", "launch"]
    for row in result.rows:
        assert 0 < row["least"] <= row["median"] <= row["greatest"]
    assert result.repeats == 5
    assert result.library_versions["torch"].startswith("2.")
    assert result.command == "costlab bench device --device cpu --repeats 5 --copy-mib 8 --size 128 --record"


@pytest.mark.gpu
def test_measured_on_the_gpu() -> None:
    needs.extra("torch", "models")
    if find_device().kind != "cuda":
        pytest.skip("no GPU here")
    result = measure_device("cuda", repeats=5)
    assert result.device != "cpu"


class NvmlError(Exception):
    """What the driver's library raises."""


class Nvml:
    """A stand-in for ``pynvml`` with a board that draws 100 W more at each reading and keeps its clocks to itself."""

    NVMLError = NvmlError
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2

    def __init__(self, absent: bool = False) -> None:
        self._absent, self._readings, self.ended = absent, 0, 0

    def nvmlInit(self) -> None:
        if self._absent:
            raise NvmlError("Driver Not Loaded")

    def nvmlShutdown(self) -> None:
        self.ended += 1

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetPowerUsage(self, _: int) -> int:
        self._readings += 1
        return 100_000 * self._readings

    def nvmlDeviceGetClockInfo(self, _: int, clock: int) -> int:
        if clock == self.NVML_CLOCK_MEM:
            raise NvmlError("Not Supported")
        return 1980

    def nvmlDeviceGetEnforcedPowerLimit(self, _: int) -> int:
        return 700_000


def test_power_and_clocks_are_read_under_load() -> None:
    nvml, worked = Nvml(), []
    rows = _Board(nvml, synchronize=lambda: None).rows("matmul bf16", lambda: worked.append(1), 0.05)
    power, clock, memory_clock = rows
    assert (power["quantity"], power["unit"], power["least"]) == ("power, matmul bf16", "W", 100.0)
    assert power["least"] <= power["median"] <= power["greatest"]
    assert (clock["quantity"], clock["unit"], clock["median"]) == ("clock, matmul bf16", "MHz", 1980)
    assert memory_clock == {"quantity": "memory clock, matmul bf16", "unit": "MHz", "reason": "NVML: Not Supported"}
    assert len(worked) >= 16  # half of the time before the first reading
    assert nvml.ended == 1
    idle = _Board(Nvml(), synchronize=lambda: None).rows("idle", lambda: None, 0.01)
    assert idle[-1] == {"quantity": "power limit", "unit": "W", "least": 700.0, "median": 700.0, "greatest": 700.0}


def test_a_driver_that_does_not_answer_is_a_row_with_its_reason() -> None:
    rows = _Board(Nvml(absent=True), synchronize=lambda: None).rows("idle", lambda: None, 0.01)
    assert rows == [{"quantity": "power, idle", "unit": "W", "reason": "NVML: Driver Not Loaded"}]


def test_a_row_without_a_value_is_shown_with_its_reason() -> None:
    rows = ({"quantity": "matmul fp8", "unit": "TFLOP/s", "reason": "no kernel"},)
    recording = Recording.from_run("device", rows, device=find_device("cpu"), versions={"torch": "2"})
    assert list(EXPERIMENT.lines(recording))[1] == "matmul fp8   not measured: no kernel"


def test_eight_bits_are_multiplied_with_a_scale() -> None:
    needs.extra("torch", "models")
    import torch

    if not hasattr(torch, "_scaled_mm"):
        pytest.skip("this torch multiplies no fp8")
    product = _product("fp8", 64, "cpu")()
    assert isinstance(product, torch.Tensor)
    generator = torch.Generator().manual_seed(0)
    a, b = (torch.randn(64, 64, generator=generator) for _ in range(2))
    assert product.dtype == torch.bfloat16
    # 3 bits of fraction: each factor is off by up to 1/16, at random.
    assert float((product.float() - a @ b.t()).norm() / (a @ b.t()).norm()) < 0.06
