"""The roofline where everything can be worked out on paper: round numbers, and all of the data sheet reached."""

from dataclasses import replace
from typing import Any

import pytest

from costlab.catalog import gpu
from costlab.serving import (
    BYTES_PER_WEIGHT,
    Efficiency,
    ModelSpec,
    Roofline,
    batch_run,
    capacity,
    memory_fit,
    model_spec,
    model_specs,
    roofline,
)
from costlab.serving.throughput import MAX_SEQUENCES

#: 2 GB of weights, 2e9 operations a token, and 4,000 bytes of cache (2 x 10 layers x 2 heads x 50 x 2 bytes).
MODEL = ModelSpec(name="round", parameters=10**9, layers=10, heads=4, kv_heads=2, head_dim=50)
#: Reads the weights in 2 ms, and does a token's operations in 20 microseconds.
BOARD = replace(gpu("A100 80GB"), memory_gb=100.0, bandwidth_gb_per_s=1000.0, bf16_tflops=100.0)
WHOLE = Efficiency(mbu_fraction=1.0, mfu_fraction=1.0, memory_fraction=1.0)


def on(gpus: int = 1, **efficiency: float) -> Roofline:
    return roofline(MODEL, BOARD, gpus, replace(WHOLE, **efficiency), "bf16")


def test_a_step_reads_the_weights_and_each_sequences_cache() -> None:
    assert on().step_s(1, 0) == pytest.approx(2e-3)
    assert on().step_s(50, 1000) == pytest.approx(2e-3 + 0.2e-3)
    assert on().step_parts_s(50, 1000) == pytest.approx((2e-3, 1e-3, 0.2e-3))


def test_beyond_the_critical_batch_a_step_takes_as_long_as_its_arithmetic() -> None:
    assert on().critical_batch() == pytest.approx(100)
    assert on().step_s(100, 0) == pytest.approx(2e-3)
    assert on().step_s(200, 1000) == pytest.approx(4e-3 + 0.8e-3)


def test_gpus_add_up_and_what_is_not_reached_is_lost() -> None:
    assert on(2).step_s(1, 0) == pytest.approx(1e-3)
    assert on(2).step_s(400, 0) == pytest.approx(4e-3)
    assert on(mbu_fraction=0.5).step_s(1, 0) == pytest.approx(4e-3)
    assert on(mfu_fraction=0.5).step_s(200, 0) == pytest.approx(8e-3)


def test_overhead_is_paid_by_step_and_by_layer() -> None:
    slow = on(step_overhead_s=1e-3, layer_overhead_s=0.1e-3)
    assert slow.overhead_s == pytest.approx(2e-3)
    assert slow.step_s(1, 0) == pytest.approx(4e-3)
    assert slow.prefill_s(1) == pytest.approx(4e-3)
    assert slow.added_prefill_s(1, "alone") == pytest.approx(2e-3)
    # Packed, a token is two operations for each of a billion weights, and its look at itself.
    assert slow.added_prefill_s(1) == slow.prompt_arithmetic_s(1) == pytest.approx(20e-6, rel=1e-5)
    assert slow.prefill_s(0) == slow.added_prefill_s(0, "alone") == slow.added_prefill_s(0) == 0


def test_a_prompt_takes_its_multiplications_and_causal_attention() -> None:
    # A million tokens: 2e15 operations with the weights; each token looks back at half a million others on average.
    assert on().prefill_s(1e6) == pytest.approx(20 + 40)
    assert on().prefill_s(1e6, sequences=3) == pytest.approx(3 * 60)
    assert on().prefill_s(1) == pytest.approx(2e-3)  # a short one waits for the weights


def test_attention_is_what_counting_its_operations_gives() -> None:
    """Each token multiplies with key and value of every earlier one, and its own: 2 x 2 D operations a head."""
    tokens = 3000
    counted = sum(4 * MODEL.head_dim * (earlier + 1) for earlier in range(tokens)) * MODEL.layers * MODEL.heads
    attention = on().prefill_s(tokens) * 100e12 - 2e9 * tokens
    assert attention == pytest.approx(counted, rel=2 / tokens)


def test_a_mixture_reads_for_a_prompt_what_its_tokens_choose() -> None:
    # Half of the weights for one token, three quarters for two, of the billion.
    mixture = replace(MODEL, active_parameters=5 * 10**8)
    both = roofline(mixture, BOARD, 1, WHOLE, "bf16")
    assert both.prefill_s(1) == pytest.approx(1e-3)
    assert both.prefill_s(2) == both.prefill_s(1, sequences=2) == pytest.approx(1.5e-3)
    assert both.step_s(3, 0) == pytest.approx(2e-3 * 7 / 8)
    assert both.critical_batch() == pytest.approx(200)


def test_memory_holds_whole_sequences_beside_the_weights() -> None:
    fit = memory_fit(on(), 1000)  # 98 GB are left for sequences of 4 MB
    assert (fit.fits, fit.max_batch, fit.reasons) == (True, 24_500, ())
    assert (fit.weights_bytes, fit.kv_bytes_per_sequence, fit.usable_bytes) == (2e9, 4e6, 100e9)
    assert memory_fit(on(2), 1000).max_batch == 49_500
    assert memory_fit(on(memory_fraction=0.5), 1000).max_batch == 12_000
    assert memory_fit(on(), 98e9 / 4000 / 2.9).max_batch == 2  # no room for nine tenths of one
    assert memory_fit(on(), 98e9 / 4000 / 0.9).max_batch == 0


def test_memory_that_the_weights_fill_has_no_room() -> None:
    exact = memory_fit(on(memory_fraction=0.02), 1000)
    assert exact.reasons == (
        "one sequence of 1000 tokens takes 0.0 GB beside 2.0 GB of weights, and 2.0 of 100 GB may be filled",
    )
    short = memory_fit(on(memory_fraction=0.019), 1000)
    assert (short.fits, short.max_batch) == (False, 0)
    assert short.reasons == ("the weights take 2.0 GB, and 1.9 of 100 GB may be filled",)


def test_the_largest_batch_within_a_limit() -> None:
    assert on().largest_batch(2.21e-3, 1000) == 52  # 0.21 ms for caches of 4 microseconds
    assert on().largest_batch(5.01e-3, 0) == 250  # arithmetic decides
    assert on().largest_batch(6.01e-3, 1000) == 250  # both: 24 microseconds a sequence
    # 1 ms for every other sequence: 10.5 of them, and oneself.
    assert on().largest_batch(12.5e-3, 0, per_sequence_s=1e-3) == 11
    assert on(step_overhead_s=1e-3).largest_batch(3.21e-3, 1000) == 52
    assert on().largest_batch(1e-3, 1000) == 0
    assert on().largest_batch(float("inf"), 1000) == MAX_SEQUENCES


@pytest.mark.parametrize(
    "limits", [{"max_inter_token_s": 7e-3}, {"max_ttft_s": 9e-3}, {"max_ttft_s": 9e-3, "max_inter_token_s": 7e-3}]
)
def test_a_dense_models_largest_batch_is_found_in_a_few_looks(
    limits: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = []
    step_s = Roofline.step_s

    def counted(self: Roofline, sequences: float, context_tokens: float) -> float:
        looks.append(sequences)
        return step_s(self, sequences, context_tokens)

    monkeypatch.setattr(Roofline, "step_s", counted)
    found = capacity(on(), 10, 100, **limits)
    assert found.batch > 100
    assert len(looks) <= 5  # alone, all that memory holds, the batch, the next, and the answer


def test_a_batch_is_read_and_then_written() -> None:
    # Two prompts of 1,000 tokens: 40 ms, and attention 0.08 ms; 500 steps at 1,250 tokens on average.
    run = batch_run(on(), 2, 1000, 500)
    step = 2e-3 + 2 * 1250 * 4e-9
    assert run.ttft_s == pytest.approx(40.08e-3)
    assert run.inter_token_s == pytest.approx(step)
    assert run.seconds == pytest.approx(40.08e-3 + 500 * step)
    assert run.output_tokens_per_s == pytest.approx(1000 / (40.08e-3 + 500 * step))


def test_a_server_reads_and_writes_at_the_same_time() -> None:
    # 1,000 tokens in (20.04 ms) and 500 out, ten at a time, half of the prompt still there in the second case.
    full = capacity(on(), 1000, 500, max_sequences=10)
    step = 2e-3 + 10 * 1250 * 4e-9
    assert (full.batch, full.limited_by, full.bound_by) == (10, "max sequences", "bandwidth")
    assert full.requests_per_s == pytest.approx(1 / (20.04e-3 + 500 * step / 10))
    assert full.output_tokens_per_s == pytest.approx(500 * (full.requests_per_s or 0))
    assert full.ttft_s == pytest.approx(step + 20.04e-3)
    assert full.inter_token_s == pytest.approx(step + 9 * 20.04e-3 / 500)
    half = capacity(on(), 1000, 500, max_sequences=10, cached_input_fraction=0.5)
    assert half.requests_per_s == pytest.approx(1 / (10.01e-3 + 500 * step / 10))
    assert capacity(on(), 1000, 500, max_sequences=150).bound_by == "arithmetic"


def test_what_memory_holds_is_no_limit_of_the_server() -> None:
    room = memory_fit(on(), 1500).max_batch
    assert capacity(on(), 1000, 500, max_sequences=room).limited_by == "memory"
    assert capacity(on(), 1000, 500, max_sequences=room - 1).limited_by == "max sequences"
    assert capacity(on(), 1000, 500).batch == room


@pytest.mark.parametrize("room", [2, 3, 10, 50])
def test_a_limit_that_only_the_last_sequence_breaks_costs_that_one(room: int) -> None:
    full, less = (capacity(on(), 1000, 500, max_sequences=count).inter_token_s for count in (room, room - 1))
    assert full is not None
    assert less is not None
    found = capacity(on(), 1000, 500, max_inter_token_s=(full + less) / 2, max_sequences=room)
    assert (found.batch, found.limited_by) == (room - 1, "inter-token latency")


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 19])
def test_a_mixtures_batch_is_found_though_its_weights_are_not_all_read(batch: int) -> None:
    # A twentieth of the weights for one token: a step of few sequences takes less than reading all of them would.
    mixture = roofline(replace(MODEL, active_parameters=5 * 10**7), BOARD, 1, WHOLE, "bf16")
    limits = [capacity(mixture, 0, 500, max_sequences=count).inter_token_s for count in (batch, batch + 1)]
    assert limits[0] is not None
    assert limits[1] is not None
    assert limits[0] < limits[1] < 2e-3
    found = capacity(mixture, 0, 500, max_inter_token_s=(limits[0] + limits[1]) / 2)
    assert (found.batch, found.limited_by) == (batch, "inter-token latency")


def test_limits_are_met_when_they_are_just_reached() -> None:
    alone = capacity(on(), 1000, 500, max_sequences=1)
    assert alone.ttft_s is not None
    assert alone.inter_token_s is not None
    assert capacity(on(), 1000, 500, max_ttft_s=alone.ttft_s).fits
    assert capacity(on(), 1000, 500, max_inter_token_s=alone.inter_token_s).fits
    assert not capacity(on(), 1000, 500, max_ttft_s=alone.ttft_s * 0.999).fits
    late = capacity(on(), 1000, 500, max_inter_token_s=alone.inter_token_s * 0.999)
    assert (late.fits, late.limited_by) == (False, "inter-token latency")
    reading = on().prefill_s(1000)
    assert capacity(on(), 1000, 0, max_ttft_s=reading).fits
    assert capacity(on(), 1000, 0, max_ttft_s=reading * 0.999).limited_by == "time to first token"


def test_one_token_is_an_answer_and_nothing_at_all_is_none() -> None:
    assert capacity(on(), 0, 1).fits
    assert batch_run(on(), 1, 0, 1).ttft_s == 0
    for tokens in ((0, 0), (10, 0.99)):
        with pytest.raises(ValueError, match="output_tokens must be a number >= 1, or 0 where there is a prompt"):
            batch_run(on(), 1, *tokens)


def test_weights_take_their_bits_and_int4_its_scales() -> None:
    # Groups of 64 weights share a scale and a zero point of 16 bits each.
    bits = {"bf16": 16, "fp8": 8, "int8": 8, "int4": 4 + 2 * 16 / 64}
    assert dict(BYTES_PER_WEIGHT) == {name: width / 8 for name, width in bits.items()}


def test_a_tied_embedding_is_read_for_the_output_and_another_is_not() -> None:
    tied, apart = model_spec("SmolLM2-135M"), model_spec("Llama-2-7B")
    assert tied.used_parameters == tied.parameters == 134_515_008  # the model's card
    assert apart.parameters - apart.used_parameters == 32_000 * 4096
    assert all(spec.bytes_per_weight == spec.bytes_per_kv == 2 for spec in model_specs())
    assert tied.weights_bytes == 2 * 134_515_008
