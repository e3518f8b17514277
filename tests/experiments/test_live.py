"""Decoding timed here and now: what a step reads, how far from the floor it is, and what Colab's GPU computes in."""

from dataclasses import replace
from typing import Any

import pytest

from costlab.compression import PackagedModel
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.experiments import live, live_decode
from costlab.recordings import Recording
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")

#: SmolLM2-135M: 134,515,008 weights of 4 bytes, its output matrix is its embedding (https://arxiv.org/abs/2502.02737).
WEIGHTS_BYTES = 4 * 134_515_008
#: 30 layers, 3 heads of 64 numbers, a key and a value, 4 bytes each, 64 tokens.
CACHE_BYTES = 30 * 3 * 64 * 2 * 4 * 64


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Steps that take what the test says, on a device that copies 40 GB/s at its best."""
    times_s: list[float] = []
    recording = Recording(
        experiment="device", device="cpu", device_name="x", driver="none", library_versions={"torch": "2"},
        recorded_on="2026-11-30", command="none", repeats=5,
        rows=({"quantity": "copy", "unit": "GB/s", "median": 30.0, "least": 20.0, "greatest": 40.0},),
    )  # fmt: skip
    monkeypatch.setattr(live, "measure_device", lambda *_, **__: recording)
    monkeypatch.setattr(live, "seconds", lambda step, device: times_s.pop(0))
    return times_s


def test_a_step_is_set_beside_the_time_to_read_its_weights_and_cache(
    played: list[float], language_model: PackagedModel
) -> None:
    played += [9.0, 9.0, 9.0, 0.050, 0.030, 0.040]  # three that are not counted
    played += [9.0, 9.0, 9.0, 0.200, 0.200, 0.200]
    found = live_decode(language_model, device="cpu", batch_sizes=(1, 4), repeats=3)
    assert (found.scheme, found.weights_bytes, found.copy_gb_per_s) == ("fp32", WEIGHTS_BYTES, 40.0)
    one, four = found.steps
    assert (one.least_ms, one.median_ms, one.greatest_ms) == pytest.approx((30, 40, 50))
    assert one.moved_bytes == WEIGHTS_BYTES + CACHE_BYTES
    assert four.moved_bytes == WEIGHTS_BYTES + 4 * CACHE_BYTES
    assert one.floor_ms == pytest.approx((WEIGHTS_BYTES + CACHE_BYTES) / 40e9 * 1000)
    assert one.times_floor == pytest.approx(40 / one.floor_ms)
    assert (one.tokens_per_s, four.tokens_per_s) == pytest.approx((25, 20))
    assert found.lines()[0].startswith("SmolLM2-135M-Instruct in fp32 on ")
    assert found.lines()[0].endswith(", one thread: 538 MB of weights, 40 GB/s copied")
    assert found.lines()[1] == ("batch   1:     40 ms a step (30 to 50), 25 tokens/s; floor 13.5 ms, 3.0 times that")
    assert not played


def test_it_runs_here(language_model: PackagedModel) -> None:
    found = live_decode(language_model, device="cpu", scheme="bf16", batch_sizes=(1,), repeats=3, copy_mib=16)
    (step,) = found.steps
    assert found.weights_bytes == WEIGHTS_BYTES / 2
    assert step.moved_bytes == (WEIGHTS_BYTES + CACHE_BYTES) / 2
    assert 0 < step.least_ms <= step.median_ms <= step.greatest_ms
    assert step.floor_ms == pytest.approx(1e-6 * step.moved_bytes / found.copy_gb_per_s)


@pytest.mark.parametrize(("tied", "looked_up"), [(True, 0), (False, 128 * 64 * 4)])
def test_an_embedding_is_read_only_where_it_is_the_output_too(tied: bool, looked_up: int) -> None:
    needs.extra("transformers", "models")
    from transformers import LlamaConfig, LlamaForCausalLM

    shape: dict[str, Any] = {"vocab_size": 128, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    shape |= {"num_attention_heads": 4, "num_key_value_heads": 2, "tie_word_embeddings": tied}
    model = LlamaForCausalLM(LlamaConfig(**shape))
    assert live._bytes_looked_up(model) == looked_up
    assert live._cache_bytes(model, 3) == 2 * 2 * 2 * 16 * 4 * 64 * 3


@pytest.mark.parametrize(("capability", "scheme"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_a_gpu_without_bf16_computes_in_fp16(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], scheme: str
) -> None:
    """A T4 has compute capability 7.5; bf16 came with 8.0 (CUDA programming guide, compute capabilities)."""
    needs.extra("torch", "models")
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: capability)
    assert live._default_scheme("cuda") == scheme
    assert live._default_scheme("cpu") == "fp32"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"batch_sizes": ()}, "batch_sizes must be not empty"),
        ({"batch_sizes": (0,)}, "batch_sizes must be"),
        ({"repeats": 2}, "repeats must be"),
    ],
)
def test_impossible_numbers_are_refused(options: dict[str, Any], said: str) -> None:
    packaged = PackagedModel("x", "language model", Any, Any, "nowhere")  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match=said):
        live_decode(packaged, **options)


def test_an_encoder_and_an_unknown_scheme_are_refused(language_model: PackagedModel) -> None:
    with pytest.raises(InvalidValueError, match="packaged must be a language model, got 'all-MiniLM'"):
        live_decode(replace(language_model, name="all-MiniLM", kind="encoder"))
    with pytest.raises(UnknownNameError, match="unknown scheme 'int3'"):
        live_decode(language_model, scheme="int3", device="cpu")


@pytest.mark.gpu
def test_on_a_gpu_it_is_above_its_floor(language_model: PackagedModel) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    found = live_decode(language_model, device="cuda", batch_sizes=(1, 16))
    assert all(step.times_floor > 1 for step in found.steps)
