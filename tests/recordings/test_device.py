import subprocess

import pytest

from costlab.errors import InvalidValueError, UnknownNameError
from costlab.recordings.device import find_device, measure_device
from tests import needs


def answer_of_nvidia_smi(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess([], 0, stdout=text, stderr="")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize(
    ("text", "short_name", "gib"),
    [
        ("NVIDIA H200, 580.159.04, 143771\n", "h200", 140.4),
        ("Tesla T4, 535.104.05, 15360\n", "t4", 15.0),
        ("NVIDIA A100-SXM4-80GB, 550.54.15, 81920\nNVIDIA A100-SXM4-80GB, 550.54.15, 81920\n", "a100-sxm4-80gb", 80.0),
    ],
)
def test_gpu_is_found(monkeypatch: pytest.MonkeyPatch, text: str, short_name: str, gib: float) -> None:
    answer_of_nvidia_smi(monkeypatch, text)
    device = find_device()
    assert (device.kind, device.short_name) == ("cuda", short_name)
    assert device.memory_gib == pytest.approx(gib, abs=0.05)
    assert find_device("cpu").kind == "cpu"


@pytest.mark.parametrize("text", ["", "No devices were found\n", "NVIDIA H200, 580, [N/A]\n"])
def test_garbage_is_no_gpu(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    answer_of_nvidia_smi(monkeypatch, text)
    assert find_device().kind == "cpu"
    with pytest.raises(InvalidValueError, match=r"device must be one that is present .*, got 'cuda'"):
        find_device("cuda")


def test_unknown_kind() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'gpu'"):
        find_device("gpu")


def test_measured_on_the_cpu() -> None:
    needs.extra("torch", "models")
    result = measure_device("cpu", repeats=5, copy_mib=8, size=128)
    assert [row["quantity"] for row in result.rows] == ["copy", "matmul fp32", "matmul bf16"]
    for row in result.rows:
        assert 0 < row["least"] <= row["median"] <= row["greatest"]
    assert result.repeats == 5
    assert result.library_versions["torch"].startswith("2.13.0")
    assert result.command == "costlab bench device --device cpu --repeats 5 --copy-mib 8 --size 128 --record"


@pytest.mark.gpu
def test_measured_on_the_gpu() -> None:
    needs.extra("torch", "models")
    if find_device().kind != "cuda":
        pytest.skip("no GPU here")
    result = measure_device("cuda", repeats=5)
    assert result.device != "cpu"
