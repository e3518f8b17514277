"""What others measured: where it was read, that no row exceeds its data sheet, and which row is nearest."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from costlab.catalog import gpu, gpus
from costlab.errors import InvalidValueError, UnknownNameError
from costlab.serving import (
    Efficiency,
    Measurement,
    ModelSpec,
    modelled,
    nearest_measurement,
    published_measurements,
    roofline,
)

IDEAL = Efficiency(mbu_fraction=1.0, mfu_fraction=1.0, memory_fraction=1.0)


def test_every_row_has_a_source_an_engine_and_a_gpu_of_the_catalogue() -> None:
    for row in published_measurements():
        assert row.source_url.startswith("https://")
        assert gpu(row.gpu).name == row.gpu
        assert row.note
        assert row.engine
        assert row.engine_version or "stated" in row.note or row.source in ("torchao", "gpt-fast"), row


def test_there_are_rows_of_every_gpu_but_the_smaller_a100() -> None:
    counts = Counter(row.gpu for row in published_measurements())
    assert sum(counts.values()) >= 80
    assert {spec.name for spec in gpus()} - counts.keys() == {"A100 40GB"}
    assert min(counts.values()) >= 5


@pytest.mark.parametrize("row", published_measurements(), ids=lambda row: f"{row.source}-{row.gpu}-{row.model}")
def test_no_row_is_faster_than_its_data_sheet_allows(row: Measurement) -> None:
    """A published figure above the peak is a mistake of its author or of ours; two were met on the way and left out."""
    ratio = modelled(row, IDEAL) / row.measured
    assert ratio > 1 if row.value_name == "output_tokens_per_s" else ratio < 1


def test_rows_are_found_by_what_they_are_of() -> None:
    assert published_measurements(gpu="a100_80") == published_measurements(gpu="A100 80GB")
    assert published_measurements(gpu="A100 40GB") == ()
    # torchao calls it Llama-3-8B; it is the same shape, under both names.
    rows = published_measurements("torchao", model="Llama-3.1-8B")
    assert {row.model for row in rows} == {"Llama-3-8B", "Llama-3.1-8B"}
    assert rows == published_measurements("torchao", model="Llama-3-8B")
    assert {row.value_name for row in published_measurements(phase="prefill")} == {"ttft_s"}
    assert all(row.batch for row in published_measurements(kind="static"))


def test_the_nearest_row_has_the_asked_gpu_and_then_size_width_and_batch() -> None:
    near = nearest_measurement("B200", "Llama-3.1-70B", bytes_per_weight=1.0, batch=30)
    assert near is not None
    assert (near.model, near.scheme, near.batch) == ("Llama-3.1-70B", "fp8", 32)
    far = nearest_measurement("T4", "Llama-3.1-8B", bytes_per_weight=0.5625, batch=1)
    assert far is not None
    assert (far.model, far.scheme.split()[0]) == ("Mistral-7B", "int4")  # nobody's 8B on a T4, and the 7B is close
    own = ModelSpec(name="mine", parameters=7_000_000_000, layers=32, heads=32, kv_heads=8, head_dim=128)
    assert nearest_measurement("T4", replace(own, bytes_per_weight=0.5)) == nearest_measurement(
        "T4", own, bytes_per_weight=0.5
    )
    assert nearest_measurement("A100 40GB", "Llama-2-7B") is None
    first = nearest_measurement("A100 80GB", phase="prefill")
    assert first is not None
    assert first.ttft_s == first.measured


def test_a_run_goes_before_kernels_and_one_gpu_before_several() -> None:
    near = nearest_measurement("A100 80GB", "Llama-2-70B", batch=1)
    assert near is not None
    assert (near.gpus, near.scheme) == (2, "bf16")  # the fewest that hold it in 16 bits
    for board in ("H100", "H200"):
        row = nearest_measurement(board, "Llama-3.1-8B")
        assert row is not None
        assert row.kind != "kernels"


def test_a_row_says_in_words_that_it_is_not_ours() -> None:
    rows = published_measurements("bitsandbytes", gpu="T4")
    assert rows[0].text() == (
        "published: Qwen2.5-3B, fp16, on a T4, batch 1, 64 tokens in and 64 out: 39.0 ms a token "
        "(run with transformers 4.46.3; "
        "https://github.com/bitsandbytes-foundation/bitsandbytes/blob/main/benchmarking/README.md, read 2026-11-30)"
    )
    (eight,) = (row for row in published_measurements("gpt-fast", model="Llama-2-7B") if row.gpus == 8)
    assert "on 8 x A100 80GB, batch 1, 5 tokens in and 200 out: 328 tokens/s (run with gpt-fast; " in eight.text()
    (packed,) = published_measurements("nm-vllm")
    assert "on an A10G, as many at a time as fit, " in packed.text()
    (summed,) = published_measurements(kind="kernels", gpu="B200", phase="prefill")
    assert "(kernels of vLLM 0.24.0, added up; " in summed.text()


def test_a_value_is_shown_in_the_unit_of_its_kind() -> None:
    whole = {"output_tokens_per_s": None, "inter_token_s": None, "ttft_s": None}
    shown = {
        row(**whole | {name: value}).text().split(" out: ")[1].split(" (")[0]
        for name, value in (("output_tokens_per_s", 1234.5), ("inter_token_s", 0.0995), ("ttft_s", 0.25))
    }
    assert shown == {"1,234 tokens/s", "99.5 ms a token", "250 ms to the first token"}
    assert row(**whole | {"output_tokens_per_s": 100.0}).text().split(" out: ")[1].startswith("100 tokens/s")
    assert " on an H100, " in row(gpu="H100").text()
    assert " on a B200, " in row(gpu="B200").text()


def test_what_waits_for_the_prompts_of_others() -> None:
    """In progress with others, a sequence waits for their prompts; in a static batch it does not."""
    row = published_measurements("aiconfigurator silicon 0.12.0", gpu="H100", model="Llama-3.1-8B")[0]
    assert row.batch is not None
    on = roofline(row.spec, row.gpu, precision="bf16")
    wait = (row.batch - 1) * on.added_prefill_s(row.input_tokens) / row.output_tokens
    assert modelled(row) - modelled(replace(row, kind="static")) == pytest.approx(wait)
    # The same row, had its source told tokens per second.
    rate = replace(row, inter_token_s=None, output_tokens_per_s=1.0)
    assert modelled(rate) == pytest.approx(row.batch / modelled(row))
    whole = replace(rate, phase="whole")
    assert modelled(whole) < modelled(rate)
    assert modelled(replace(whole, kind="static")) == modelled(whole)  # over the whole run they wait as long


def row(**changes: Any) -> Measurement:
    return replace(published_measurements()[0], **changes)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: published_measurements("vllm"), UnknownNameError, "unknown source 'vllm'"),
        (lambda: published_measurements(gpu="A10"), UnknownNameError, "unknown GPU 'A10'; did you mean 'A10G'?"),
        (
            lambda: published_measurements(kind="statik"),
            UnknownNameError,
            "unknown kind 'statik'; did you mean 'static'",
        ),
        (lambda: published_measurements(phase="decoding"), UnknownNameError, "unknown phase 'decoding'; did you mean"),
        (lambda: published_measurements(model="Llama-9"), UnknownNameError, "unknown model 'Llama-9'"),
        (
            lambda: nearest_measurement("H100", bytes_per_weight=0),
            InvalidValueError,
            "bytes_per_weight must be a number",
        ),
        (lambda: nearest_measurement("H100", batch=0), InvalidValueError, "batch must be a whole number >= 1, got 0"),
        (lambda: row(ttft_s=1.0), InvalidValueError, "must be one measured value, got [107.38, 1.0]"),
        (lambda: row(output_tokens_per_s=-1.0), InvalidValueError, "measured value must be a number > 0, got -1.0"),
        (lambda: row(batch=None), InvalidValueError, "batch must be the sequences at a time, unless a server took"),
        (
            lambda: modelled(row(model="Llama-3.1-70B", batch=None, kind="serving")),
            InvalidValueError,
            "a model that fits",
        ),
    ],
)
def test_bad_input_is_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert message in str(caught.value)
