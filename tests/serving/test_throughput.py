"""The roofline against its own limits, and against what others measured."""

import math
import tomllib
from dataclasses import replace
from importlib.resources import files
from typing import Any, get_args

import pytest
from hypothesis import given, settings, strategies as st

from costlab.catalog import gpus
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.serving import (
    Efficiency,
    Measurement,
    ModelSpec,
    batch_run,
    capacity,
    memory_fit,
    model_spec,
    model_specs,
    modelled,
    published_measurements,
    roofline,
)
from costlab.serving.throughput import Prefill

ROWS = tomllib.loads((files("costlab.serving") / "models.toml").read_text())["model"]
MIXTURE = ModelSpec(
    name="mixture",
    parameters=46_702_792_704,
    layers=32,
    heads=32,
    kv_heads=8,
    head_dim=128,
    active_parameters=12_879_925_248,
    lookup_parameters=131_072_000,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_parameters_follow_from_the_shape(row: dict[str, Any]) -> None:
    """A Llama layer: queries and output, keys and values, three matrices of the MLP or of each expert, two norms."""
    hidden, kv = row["hidden_size"], row["kv_heads"] * row["head_dim"]
    query, experts = row["heads"] * row["head_dim"], row.get("experts", 0)
    expert = 3 * hidden * row["ffn_size"]
    layer = 2 * hidden * query + 2 * hidden * kv + (experts or 1) * expert + hidden * experts + 2 * hidden
    assert row.get("expert_parameters", 0) == row["layers"] * experts * expert
    layer += query + 2 * kv if row.get("qkv_bias") else 0  # Qwen 2.5
    layer += 2 * row["head_dim"] if row.get("qk_norm") else 0  # Qwen 3
    embedding = row["vocabulary"] * hidden * (1 if row["tied_embeddings"] else 2)
    assert row["layers"] * layer + embedding + hidden == row["parameters"]


def test_known_memory() -> None:
    # 2 x 32 layers x 8 heads x 128 x 2 bytes, the figure vLLM's users compute for Llama-3-8B.
    assert model_spec("Llama-3.1-8B").kv_bytes_per_token == 131_072
    # Without grouped heads it is four times that: half a megabyte a token.
    assert model_spec("llama-2-7b").kv_bytes_per_token == 524_288
    # torchao's table: 13.21 GB in bf16, without the input embedding.
    spec = model_spec("Llama-2-7B")
    assert math.isclose(2 * spec.weights_read(1), 13.21e9, rel_tol=0.001)


FIRST = Efficiency()  # one model on one GPU; what is known of every GPU is tested in test_efficiency.py


def predicted(row: Measurement, efficiency: Efficiency = FIRST) -> float:
    """Our figure over the measured one."""
    return modelled(row, efficiency) / row.measured


def select(source: str, gpus_: int = 1, **wanted: object) -> list[Measurement]:
    rows = [r for r in published_measurements(source) if r.gpus == gpus_]
    return [r for r in rows if all(getattr(r, key) == value for key, value in wanted.items())]


def test_bf16_at_batch_1_on_an_a100_within_3_per_cent() -> None:
    """One MBU, taken from Llama-2-7B in torchao's table, gives another model and another laboratory on the same GPU."""
    rows = [*select("torchao", scheme="bf16", gpu="A100 80GB"), *select("gpt-fast", scheme="bf16")]
    predicted_rows = [row for row in rows if (row.source, row.model) != ("torchao", "Llama-2-7B")]
    assert [(row.source, row.model) for row in predicted_rows] == [
        ("torchao", "Llama-3-8B"),
        ("gpt-fast", "Llama-2-7B"),
        ("gpt-fast", "Llama-3.1-8B"),
    ]
    for row in predicted_rows:
        assert abs(predicted(row) - 1) < 0.03, row


def test_the_mbu_of_an_a100_is_not_that_of_an_h100() -> None:
    """At batch 1 in bf16 an H100 reached 0.57 of its bandwidth, and the default promises a fifth too much."""
    (row,) = select("torchao", scheme="bf16", gpu="H100")
    assert 1.19 < predicted(row) < 1.25
    assert abs(predicted(row, Efficiency(mbu_fraction=0.57)) - 1) < 0.02


def test_batches_in_fp16_on_an_a100_within_17_per_cent() -> None:
    rows = select("TensorRT-LLM 0.6.1", gpu="A100 80GB")
    assert len(rows) == 3
    for row in rows:
        assert abs(predicted(row) - 1) < 0.17, row


def test_batches_in_fp8_on_an_h100_within_22_per_cent() -> None:
    """With the MFU that its own first-token latency gives (2,048 tokens in 36 ms); bandwidth as on the A100."""
    rows = select("TensorRT-LLM 0.6.1", gpu="H100")
    assert len(rows) == 4
    for row in rows:
        assert abs(predicted(row, Efficiency(mfu_fraction=0.39)) - 1) < 0.22, row


def test_first_token_of_a_long_prompt_within_3_per_cent() -> None:
    (a100,) = select("TensorRT-LLM 0.5", gpu="A100 80GB", input_tokens=2048)
    (h100,) = select("TensorRT-LLM 0.5", gpu="H100", input_tokens=2048)
    assert abs(predicted(a100) - 1) < 0.03
    assert abs(predicted(h100, Efficiency(mfu_fraction=0.39)) - 1) < 0.03


def test_narrow_weights_do_not_reach_the_same_bandwidth() -> None:
    """Where the model fails, and the book says so: at batch 1 int8 and int4 are slower than their bytes, every time."""
    rows = [row for source in ("torchao", "gpt-fast") for row in select(source) if row.scheme != "bf16"]
    assert len(rows) == 13
    for row in rows:
        assert predicted(row) > (1.25 if "int4" in row.scheme else 1.05), row
    worst = max(rows, key=predicted)
    assert 2.2 < predicted(worst) < 2.4
    assert "int4" in worst.scheme


def test_first_tokens_of_short_prompts_take_longer_than_their_arithmetic() -> None:
    for row in select("TensorRT-LLM 0.5", input_tokens=128):
        assert predicted(row) < 0.65, row


def test_an_overhead_per_step_explains_torchaos_rows_within_8_per_cent() -> None:
    """Fitted on Llama-2-7B in bf16 alone: 9.31 ms measured, 6.48 ms of them reading at the full bandwidth."""
    (fitted,) = select("torchao", scheme="bf16", model="Llama-2-7B", gpu="A100 80GB")
    assert fitted.output_tokens_per_s is not None
    ideal = roofline("Llama-2-7B", "A100 80GB", efficiency=Efficiency(mbu_fraction=1.0)).step_s(1, 108)
    overhead = 1 / fitted.output_tokens_per_s - ideal
    two = Efficiency(mbu_fraction=1.0, step_overhead_s=overhead)
    for row in select("torchao", model="Llama-2-7B"):
        assert abs(predicted(row, two) - 1) < 0.08, row
    # It describes that model, not quantization: a 70B model has more of the same work in every step.
    for row in select("gpt-fast", model="Llama-2-70B"):
        assert predicted(row, two) > 1.3, row


@pytest.mark.parametrize(
    ("model", "gpus_", "low", "high"),
    [
        ("Llama-2-70B", 2, 0.95, 1.0),
        ("Llama-2-70B", 4, 1.05, 1.12),
        ("Llama-2-70B", 8, 1.28, 1.36),
        ("Llama-2-7B", 2, 1.22, 1.32),
        ("Llama-2-7B", 4, 1.6, 1.75),
        ("Llama-2-7B", 8, 2.5, 2.7),
    ],
)
def test_gpus_of_a_replica_add_up_less_the_more_there_are(model: str, gpus_: int, low: float, high: float) -> None:
    (row,) = select("gpt-fast", gpus_, model=model)
    assert low < predicted(row) < high


def test_a_model_that_only_reads_is_bound_by_arithmetic() -> None:
    on = roofline("Llama-3.1-8B", "L4")
    found = capacity(on, 500, 0)
    assert found.requests_per_s == 1 / on.prompt_arithmetic_s(500)
    assert (found.inter_token_s, found.output_tokens_per_s, found.bound_by) == (None, 0.0, "arithmetic")
    lone = 1000 * on.prompt_arithmetic_s(500)
    assert capacity(on, 500, 0, max_ttft_s=0.01).reasons == (f"a lone request takes {lone:.0f} ms",)


def test_packed_prompts_share_the_reading_of_the_weights() -> None:
    """100 tokens in and 50 out on an L4: 28.6 requests a second packed, 16.2 where each prompt is read alone."""
    small = replace(model_spec("Llama-3.1-8B"), bytes_per_weight=1.0)
    on = roofline(small, "L4", efficiency=Efficiency(mbu_fraction=0.70, mfu_fraction=0.67))
    packed, alone = (capacity(on, 100, 50, max_inter_token_s=0.1, prefill=how) for how in get_args(Prefill))
    assert packed.requests_per_s == pytest.approx(28.62, abs=0.005)
    assert alone.requests_per_s == pytest.approx(16.21, abs=0.005)
    with pytest.raises(InvalidValueError, match="prefill must be packed or alone, got 'chunked'"):
        capacity(on, 100, 50, prefill="chunked")  # type: ignore[arg-type]


@given(st.sampled_from([spec.name for spec in gpus()]), st.integers(1, 20_000))
def test_a_prompt_read_alone_costs_more_only_while_it_waits_for_the_weights(board: str, tokens: int) -> None:
    on = roofline("Llama-3.1-8B", board)
    packed, alone = on.added_prefill_s(tokens), on.added_prefill_s(tokens, "alone")
    assert packed <= alone * (1 + 1e-12)
    # The look-up table of the embedding is not read, hence the slack.
    if tokens > 1.05 * on.critical_batch():
        assert packed == pytest.approx(alone, rel=1e-12)


def test_encoders_pack_short_texts_and_refuse_nothing_to_read() -> None:
    on = roofline("Llama-3.1-8B", "L4")
    packed, alone = (capacity(on, 50, 0, prefill=how) for how in get_args(Prefill))
    assert packed.batch == math.floor(on.critical_batch() / 50)
    assert packed.ttft_s == alone.ttft_s
    assert alone.requests_per_s is not None
    assert packed.requests_per_s == pytest.approx(packed.batch * alone.requests_per_s)
    with pytest.raises(InvalidValueError, match="below 1 where nothing is written"):
        capacity(on, 50, 0, cached_input_fraction=1.0)


def test_a_lone_request_waits_for_nobody() -> None:
    """Its own prompt is read before its first token, not between two tokens."""
    on = roofline("Llama-3.1-8B", "L4")
    lone = capacity(on, 4000, 10, max_sequences=1)
    assert lone.batch == 1
    assert lone.limited_by == "max sequences"
    assert lone.inter_token_s == on.step_s(1, 4005)


def test_a_prefix_that_the_server_still_has_is_not_read_again() -> None:
    on = roofline("Llama-3.1-8B", "L4")
    none, half, all_ = (capacity(on, 1000, 100, cached_input_fraction=share) for share in (0.0, 0.5, 1.0))
    assert none.requests_per_s is not None
    assert half.requests_per_s is not None
    assert all_.requests_per_s is not None
    assert none.requests_per_s < half.requests_per_s < all_.requests_per_s
    assert none.batch == half.batch == all_.batch  # its memory is still there


def test_the_bound_says_whether_patience_buys_anything() -> None:
    small = replace(model_spec("Llama-3.1-8B"), bytes_per_weight=1.0)
    quick, patient = (capacity(roofline(small, "A100 80GB"), 400, 200, max_inter_token_s=s) for s in (0.015, 0.2))
    assert quick.bound_by == "bandwidth"
    assert patient.bound_by == "arithmetic"


@given(st.integers(1, 500), st.integers(1, 500), st.floats(1, 8000), st.floats(1, 8000))
def test_a_step_grows_with_batch_and_context(a: int, b: int, short: float, long: float) -> None:
    for model in (model_spec("Llama-3.1-8B"), MIXTURE):
        on = roofline(model, "H100")
        (few, many), (near, far) = sorted((a, b)), sorted((short, long))
        assert on.step_s(few, near) <= on.step_s(many, far)
        assert on.step_s(many, near) / many <= on.step_s(few, near) / few * (1 + 1e-12)  # batching never loses


def test_a_mixture_reads_few_weights_alone_and_all_in_a_crowd() -> None:
    assert math.isclose(MIXTURE.weights_read(1), 12_879_925_248, rel_tol=1e-9)
    assert math.isclose(MIXTURE.weights_read(1000), MIXTURE.parameters - MIXTURE.lookup_parameters, rel_tol=1e-9)


@pytest.mark.parametrize("board", gpus(), ids=lambda spec: spec.name)
def test_every_gpu_of_the_catalogue_has_a_roofline(board: Any) -> None:
    on = roofline("SmolLM2-135M", board)
    assert on.step_s(1, 100) > 0
    assert memory_fit(on, 1000).fits
    assert on.precision == ("fp16" if board.name == "T4" else "bf16")


@settings(max_examples=50)
@given(
    st.sampled_from([spec.name for spec in model_specs()]),
    st.sampled_from([spec.name for spec in gpus()]),
    st.integers(0, 4000),
    st.integers(1, 1000),
    st.floats(0.001, 1) | st.none(),
    st.floats(0.001, 1) | st.none(),
)
def test_capacity_is_the_largest_batch_within_memory_and_limits(
    model: str, board: str, tokens_in: int, out: int, ttft: float | None, between: float | None
) -> None:
    on = roofline(model, board)
    found = capacity(on, tokens_in, out, ttft, between)
    fit = memory_fit(on, tokens_in + out)
    prefill, context = on.added_prefill_s(tokens_in), tokens_in + out / 2

    def allowed(batch: int) -> bool:
        step = on.step_s(batch, context)
        return (
            batch <= fit.max_batch
            and (ttft is None or step + prefill <= ttft)
            and (between is None or step + (batch - 1) * prefill / out <= between)
        )

    if not found.fits:
        assert not allowed(1)
        assert found.reasons
        assert (found.requests_per_s, found.output_tokens_per_s, found.batch) == (None, None, 0)
        return
    assert allowed(found.batch)
    assert not allowed(found.batch + 1)
    assert found.requests_per_s is not None
    assert found.inter_token_s is not None
    # Little's law: sequences in progress = rate x time in progress, from the prompt to the last token.
    time_in_progress = prefill + out * found.inter_token_s
    assert math.isclose(found.batch, found.requests_per_s * time_in_progress, rel_tol=1e-9)


def test_not_fitting_is_a_result_with_reasons() -> None:
    too_big = capacity(roofline("Llama-3.1-70B", "L4"), 100, 100)
    assert not too_big.fits
    assert too_big.reasons == ("the weights take 141.1 GB, and 21.6 of 24 GB may be filled",)
    full = memory_fit(roofline("Llama-3.1-8B", "L4"), 100_000)
    assert full.max_batch == 0
    assert "one sequence of 100000 tokens takes 13.1 GB beside 16.1 GB of weights" in full.reasons[0]
    slow = capacity(roofline("Llama-3.1-8B", "L4"), 100, 100, max_inter_token_s=0.05)
    assert slow.reasons == ("a lone request has a token every 65 ms",)
    late = capacity(roofline("Llama-3.1-8B", "L4"), 4000, 100, max_ttft_s=0.5)
    assert late.reasons == ("a lone request has its first token after 798 ms",)


def test_above_the_critical_batch_arithmetic_decides() -> None:
    on = roofline("Llama-3.1-8B", "A100 80GB")
    critical = on.critical_batch()
    assert 100 < critical < 250
    below, above = (on.step_s(batch, 0) for batch in (critical / 2, critical * 2))
    assert math.isclose(below, on.step_s(1, 0))  # still the time to read the weights once
    assert above > 1.5 * below


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: roofline("Llama-4", "H100"), UnknownNameError, "unknown model 'Llama-4'; did you mean"),
        (lambda: roofline("Llama-2-7B", "H1000"), UnknownNameError, "unknown GPU 'H1000'; did you mean 'H100'?"),
        (lambda: roofline("Llama-2-7B", "T4", precision="bf16"), InvalidValueError, "precision must be one that"),
        (lambda: roofline("Llama-2-7B", "T4", 0), InvalidValueError, "gpus must be a whole number >= 1, got 0"),
        (lambda: Efficiency(mbu_fraction=70), InvalidValueError, "mbu_fraction must be a fraction > 0 and <= 1"),
        (lambda: Efficiency(step_overhead_s=-1), InvalidValueError, "step_overhead_s must be a number >= 0, got -1"),
        (lambda: replace(MIXTURE, bytes_per_weight=0), InvalidValueError, "bytes_per_weight must be a number > 0"),
        (lambda: replace(MIXTURE, bytes_per_kv=0), InvalidValueError, "bytes_per_kv must be a number > 0, got 0"),
        (lambda: replace(MIXTURE, layers=0), InvalidValueError, "layers must be a whole number >= 1, got 0"),
        (lambda: replace(MIXTURE, active_parameters=0), InvalidValueError, "active_parameters must be a whole number"),
        (lambda: replace(MIXTURE, lookup_parameters=-1), InvalidValueError, "lookup_parameters must be a whole number"),
        (
            lambda: replace(MIXTURE, active_parameters=None, lookup_parameters=MIXTURE.parameters),
            InvalidValueError,
            "lookup_parameters must be fewer than",
        ),
        (lambda: Efficiency(mfu_fraction=0), InvalidValueError, "mfu_fraction must be a fraction > 0 and <= 1"),
        (lambda: Efficiency(memory_fraction=1.1), InvalidValueError, "memory_fraction must be a fraction > 0 and <= 1"),
        (lambda: Efficiency(layer_overhead_s=-1), InvalidValueError, "layer_overhead_s must be a number >= 0, got -1"),
        (
            lambda: capacity(roofline("Llama-2-7B", "T4"), -1, 1),
            InvalidValueError,
            "input_tokens must be a number >= 0",
        ),
        (
            lambda: capacity(roofline("Llama-2-7B", "T4"), 1, 1, max_sequences=0),
            InvalidValueError,
            "max_sequences must be a whole number >= 1, got 0",
        ),
        (
            lambda: capacity(roofline("Llama-2-7B", "T4"), 1, 1, None, 0),
            InvalidValueError,
            "max_inter_token_s must be a number > 0, got 0",
        ),
        (lambda: replace(MIXTURE, kv_heads=5), InvalidValueError, "kv_heads must be a divisor of the 32 heads, got 5"),
        (lambda: replace(MIXTURE, active_parameters=10**12), InvalidValueError, "active_parameters must be at most"),
        (lambda: replace(MIXTURE, lookup_parameters=10**12), InvalidValueError, "lookup_parameters must be fewer than"),
        (lambda: memory_fit(roofline("Llama-2-7B", "T4"), 0), InvalidValueError, "context_tokens must be a number > 0"),
        (lambda: capacity(roofline("Llama-2-7B", "T4"), 1, 0.5), InvalidValueError, "output_tokens must be a number"),
        (lambda: capacity(roofline("Llama-2-7B", "T4"), 1, 1, 0), InvalidValueError, "max_ttft_s must be a number > 0"),
        (lambda: batch_run(roofline("Llama-2-7B", "T4"), 0, 1, 1), InvalidValueError, "sequences must be a whole"),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
