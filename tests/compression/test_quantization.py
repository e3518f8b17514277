from typing import Any

import pytest

from costlab.compression import (
    SCHEMES,
    PackagedModel,
    available_schemes,
    measured_bytes,
    measured_disk_bytes,
    model_shape,
    predicted_bytes,
    quantize,
)
from costlab.compression.quantization import computing_dtype, usable_device
from costlab.errors import InvalidValueError, SchemeUnavailableError, UnknownNameError
from costlab.recordings import Device
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")

RUN_HERE = ("fp32", "bf16", "fp16", "int8-weight-only", "int8-dynamic", "nf4-weight-only", "torch-dynamic")


def libraries() -> Any:
    for library in ("torch", "torchao", "bitsandbytes"):
        needs.extra(library, "models")
    import torch

    return torch


def small_model() -> Any:
    torch = libraries()
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 256))


def test_each_scheme_runs_or_says_why_not() -> None:
    libraries()
    found = {row.scheme: row for row in available_schemes("cpu")}
    assert tuple(found) == tuple(SCHEMES)
    assert tuple(name for name, row in found.items() if row.available) == RUN_HERE
    for row in found.values():
        assert row.available == (row.reason == "")
    assert "GPUs only" in found["int4-weight-only"].reason
    assert "CUDA" in found["fp8"].reason


@pytest.mark.parametrize("scheme", RUN_HERE)
def test_the_encoder_is_as_large_as_predicted(encoder: PackagedModel, scheme: str) -> None:
    small = quantize(encoder.model, scheme, device="cpu")
    predicted = predicted_bytes(encoder.model, scheme, device="cpu")
    assert measured_bytes(small) == pytest.approx(predicted, rel=0.02)
    assert measured_disk_bytes(small) == pytest.approx(predicted, rel=0.02)


@pytest.mark.parametrize("scheme", RUN_HERE)
def test_the_language_model_is_as_large_as_predicted(language_model: PackagedModel, scheme: str) -> None:
    small = quantize(language_model.model, scheme, device="cpu")
    predicted = predicted_bytes(language_model.model, scheme, device="cpu")
    assert measured_bytes(small) == pytest.approx(predicted, rel=0.02)
    assert measured_disk_bytes(small) == pytest.approx(predicted, rel=0.02)


def test_an_output_matrix_that_is_the_embedding_counts_once(language_model: PackagedModel) -> None:
    shape = model_shape(language_model.model)
    assert shape.parameters == 134_515_008  # as the model's card gives it: 135M
    assert (49152, 576) not in shape.matrices
    assert model_shape(language_model.model, output_too=True).parameters == 134_515_008 + 49152 * 576


@pytest.mark.parametrize(
    ("scheme", "error"),
    # Relative errors of one product with random weights. An even step of b bits per row or group of normal weights
    # leaves about 0.9 % at 8 bits and 9 % at 4; bf16 and fp16 round to 8 and 11 bits of precision.
    [("bf16", 0.01), ("fp16", 0.002), ("int8-weight-only", 0.015), ("int8-dynamic", 0.03), ("nf4-weight-only", 0.15)],
)
def test_products_stay_near(scheme: str, error: float) -> None:
    torch = libraries()
    model = torch.nn.Sequential(torch.nn.Linear(256, 256))
    inputs = torch.randn(32, 256, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        exact = model(inputs)
        near = quantize(model, scheme, device="cpu")(inputs.to(computing_dtype(scheme, "cpu"))).float()
    distance = float((near - exact).norm() / exact.norm())
    assert 0 < distance < error


def test_the_model_stays_as_it_is_unless_in_place() -> None:
    model = small_model()
    before = measured_bytes(model)
    assert measured_bytes(quantize(model, "int8-weight-only", device="cpu")) < 0.3 * before
    assert measured_bytes(model) == before
    changed = quantize(model, "int8-weight-only", device="cpu", in_place=True)
    assert changed is model
    assert not changed.training
    assert measured_bytes(model) < 0.3 * before


def test_unknown_scheme() -> None:
    with pytest.raises(UnknownNameError, match="unknown scheme 'int8'; did you mean 'int8-"):
        quantize(small_model(), "int8", device="cpu")


def test_cuda_asked_for_and_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    with pytest.raises(InvalidValueError, match=r"device must be one that is present .*, got 'cuda'"):
        quantize(model, "bf16", device="cuda")
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        available_schemes("cuda")


def test_a_gpu_that_torch_cannot_use(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = libraries()
    h100 = Device("cuda", "NVIDIA H100", "h100", "580.1", 80.0, 4)
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: h100)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InvalidValueError, match=r"built without CUDA\), got 'cuda'"):
        usable_device("cuda")
    assert usable_device() == "cpu"


def test_a_scheme_without_a_kernel_gives_the_reason() -> None:
    with pytest.raises(SchemeUnavailableError, match="int4-weight-only does not run on cpu: torchao has its 4-bit"):
        quantize(small_model(), "int4-weight-only", device="cpu")


@pytest.mark.gpu
def test_schemes_run_on_the_gpu() -> None:
    torch = libraries()
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    found = {row.scheme: row for row in available_schemes("cuda")}
    assert found["int4-weight-only"].available, found["int4-weight-only"].reason
    assert not found["torch-dynamic"].available
