import sys
from types import SimpleNamespace

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.recordings import find_device


class NvmlError(Exception):
    """What the driver's library raises."""


def nvml(name: str = "", driver: str = "", mib: float = 0.0, broken: str = "") -> SimpleNamespace:
    """A stand-in for ``pynvml``, of which the call `broken` fails."""

    def answer(call: str, value: object) -> object:
        def function(*_: object) -> object:
            if call == broken:
                raise NvmlError
            return value

        return function

    memory = SimpleNamespace(total=mib * 2**20)
    calls = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetHandleByIndex": 0,
        "nvmlDeviceGetName": name,
        "nvmlSystemGetDriverVersion": driver,
        "nvmlDeviceGetMemoryInfo": memory,
    }
    return SimpleNamespace(NVMLError=NvmlError, **{call: answer(call, value) for call, value in calls.items()})


@pytest.mark.parametrize(
    ("name", "driver", "mib", "short_name", "gib"),
    [
        ("NVIDIA H200", "580.159.04", 143771, "h200", 140.4),
        ("Tesla T4", "535.104.05", 15360, "t4", 15.0),
        ("NVIDIA A100-SXM4-80GB", "550.54.15", 81920, "a100-sxm4-80gb", 80.0),
    ],
)
def test_gpu_is_found(
    monkeypatch: pytest.MonkeyPatch, name: str, driver: str, mib: float, short_name: str, gib: float
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(name, driver, mib))
    device = find_device()
    assert (device.kind, device.short_name, device.driver) == ("cuda", short_name, driver)
    assert device.memory_gib == pytest.approx(gib, abs=0.05)
    assert find_device("cpu").kind == "cpu"


@pytest.mark.parametrize("broken", ["nvmlInit", "nvmlDeviceGetHandleByIndex", "nvmlDeviceGetMemoryInfo"])
def test_a_driver_that_does_not_answer_is_no_gpu(monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml(broken=broken))
    assert find_device().kind == "cpu"
    with pytest.raises(InvalidValueError, match=r"device must be one that is present .*, got 'cuda'"):
        find_device("cuda")


def test_without_the_library_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert find_device().kind == "cpu"


def test_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'gpu'"):
        find_device("gpu")
