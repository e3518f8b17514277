import pytest

from costlab.experiments import measure_device
from costlab.recordings import find_device
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
