import json
import warnings
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import Any

import pytest

from costlab.cli import main
from costlab.compression import LLAMA_SHAPES, LlamaShape, measured_bytes, random_llama
from costlab.errors import InvalidValueError, ModelTooLargeError, UnknownNameError
from costlab.experiments import DecodeResult, decode_study
from costlab.experiments.decode import EXPERIMENT
from costlab.serving import model_spec
from tests import needs

pytestmark = pytest.mark.usefixtures("one_torch_thread")

TINY = LlamaShape(hidden=64, layers=2, heads=4, kv_heads=2, head_dim=16, ffn=96, vocabulary=128)


def libraries() -> Any:
    for library in ("torch", "torchao"):
        needs.extra(library, "models")
    import torch

    return torch


def test_the_shape_has_the_published_number_of_weights() -> None:
    # https://huggingface.co/meta-llama/Meta-Llama-3-8B states 8,030,261,248 parameters.
    shape = LLAMA_SHAPES["llama-3-8b"]
    assert shape.weights.parameters == 8_030_261_248 == model_spec("Llama-3-8B").parameters
    assert len(shape.weights.matrices) == 32 * 7 + 1


def test_operations_are_two_for_each_weight_and_four_for_each_seen_number() -> None:
    shape = LLAMA_SHAPES["llama-3-8b"]
    used = 8_030_261_248 - 128_256 * 4096
    assert shape.decode_operations(1, context=0) == 2 * used + 4 * 32 * 4096
    assert shape.decode_operations(3, context=99) == 3 * (2 * used + 4 * 32 * 4096 * 100)
    # By hand for two tokens: 1 + 2 places are seen.
    inner = used - 128_256 * 4096
    assert shape.prefill_operations(1, 2) == 2 * (2 * inner + 128_256 * 4096) + 4 * 32 * 4096 * 3


def test_it_computes_what_llama_computes() -> None:
    torch = libraries()
    needs.extra("transformers", "models")
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=128,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500_000.0},
    )
    theirs = LlamaForCausalLM(config).eval()
    ours: Any = random_llama(TINY, dtype=torch.float32, seed=3)
    names = {
        "words.weight": "model.embed_tokens.weight",
        "head.norm.weight": "model.norm.weight",
        "head.output.weight": "lm_head.weight",
    }
    parts = {
        "o": "self_attn.o_proj",
        "down": "mlp.down_proj",
        "attention_norm": "input_layernorm",
        "forward_norm": "post_attention_layernorm",
    }
    for layer in range(2):
        names |= {f"layers.{layer}.{a}.weight": f"model.layers.{layer}.{b}.weight" for a, b in parts.items()}
    weights = ours.state_dict()
    for layer in range(2):  # what we have as one matrix
        q, k, v = weights.pop(f"layers.{layer}.qkv.weight").split((64, 32, 32))
        gate, up = weights.pop(f"layers.{layer}.gate_up.weight").chunk(2)
        for name, part in (
            ("self_attn.q", q),
            ("self_attn.k", k),
            ("self_attn.v", v),
            ("mlp.gate", gate),
            ("mlp.up", up),
        ):
            names[f"{layer} {name}"] = f"model.layers.{layer}.{name}_proj.weight"
            weights[f"{layer} {name}"] = part
    theirs.load_state_dict({names[name]: part for name, part in weights.items()})
    tokens = torch.randint(128, (2, 7), generator=torch.Generator().manual_seed(0))
    ours.reserve(2, 7)
    with torch.inference_mode():
        wanted = theirs(tokens).logits
        read = ours(tokens[:, :5], 0)
        made = [ours(tokens[:, place : place + 1], place) for place in (5, 6)]
    assert torch.allclose(read, wanted[:, 4], atol=1e-5)
    assert torch.allclose(made[0], wanted[:, 5], atol=1e-5)
    assert torch.allclose(made[1], wanted[:, 6], atol=1e-5)
    assert float(wanted.std()) > 1e-3


def test_weights_are_as_many_as_the_shape_says_and_come_from_the_seed() -> None:
    torch = libraries()
    first, again, other = (random_llama(TINY, seed=seed) for seed in (1, 1, 2))
    assert measured_bytes(first) == 2 * TINY.weights.parameters
    weights = [model.get_parameter("head.output.weight") for model in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


@pytest.fixture(scope="module")
def result() -> DecodeResult:
    libraries()
    return decode_study(
        "small",
        schemes=["fp32", "int8-weight-only", "int4-weight-only"],
        device="cpu",
        batch_sizes=[1, 8],
        context=32,
        repeats=5,
        progress=False,
    )


def test_each_time_stands_beside_its_floor(result: DecodeResult) -> None:
    wide, narrow = result.row("fp32"), result.row("int8-weight-only")
    shape = LLAMA_SHAPES["small"]
    read = 4 * (shape.weights.parameters - shape.vocabulary * shape.hidden)
    assert wide.moved_bytes == read + 2 * 4 * 2 * 64 * 33 * 4  # keys and values of 4 layers, 2 heads of 64, in fp32
    assert wide.memory_floor_ms == pytest.approx(1000 * wide.moved_bytes / (1e9 * result.bandwidth_gb_per_s))
    assert result.bandwidth_gb_per_s == max(result.copy_gb_per_s, result.read_gb_per_s)
    assert wide.operations == shape.decode_operations(1, 32)
    rate = 1e12 * result.matmul_tflop_per_s["fp32"]
    assert wide.arithmetic_floor_ms == pytest.approx(1000 * wide.operations / rate)
    assert wide.mbu_fraction == pytest.approx(wide.memory_floor_ms / (wide.median or 0))
    assert wide.mfu_fraction == pytest.approx(wide.arithmetic_floor_ms / (wide.median or 0))
    assert wide.speedup == 1.0
    assert narrow.moved_bytes < 0.3 * wide.moved_bytes
    assert narrow.speedup == pytest.approx((wide.median or 0) / (narrow.median or 1))


def test_a_batch_makes_more_tokens_a_second_and_a_prompt_is_arithmetic(result: DecodeResult) -> None:
    one, many = result.row("fp32"), result.row("fp32", batch=8)
    assert (many.tokens_per_s or 0) > 1.5 * (one.tokens_per_s or 0)
    assert (many.usd_per_mtok or 1) < (one.usd_per_mtok or 0)
    prompt = result.row("fp32", "prefill")
    assert prompt.arithmetic_floor_ms > prompt.memory_floor_ms
    assert (prompt.tokens_per_s or 0) > (one.tokens_per_s or 0)


def test_a_scheme_without_a_kernel_is_a_row_with_its_reason(result: DecodeResult) -> None:
    rows = [row for row in result.rows if row.scheme == "int4-weight-only"]
    assert len(rows) == 3
    assert all("GPUs only" in row.reason and row.median is None and row.speedup is None for row in rows)
    assert rows[0].mbu_fraction is None


def test_a_result_is_recorded_and_read_again(result: DecodeResult, tmp_path: Path) -> None:
    assert DecodeResult.recorded("decode", "cpu", tmp_path) is None
    path = result.record(tmp_path, command="costlab bench decode --record")
    assert path.name == "decode-cpu.json"
    assert DecodeResult.recorded("decode", "cpu", tmp_path) == result


def test_no_gpu_was_recorded_that_is_not_there() -> None:
    # A lesson shows what others published where this is None; a file that is there must be whole.
    for device in ("h100", "h200", "a100-sxm4-80gb", "t4"):
        found = DecodeResult.recorded("decode", device)
        assert found is None or found.model == "llama-3-8b"


def test_table_and_figure(result: DecodeResult) -> None:
    needs.extra("pandas", "plots")
    needs.extra("matplotlib", "plots")
    from costlab import plotting

    table = result.frame()
    assert len(table) == 9
    assert table["mbu"].iloc[0] == pytest.approx(result.rows[0].mbu_fraction)
    ax = plotting.plot_decode(result)
    assert ax.get_xlabel() == "sequences at once"
    legend = ax.get_legend()
    assert legend is not None
    assert {text.get_text() for text in legend.get_texts()} == {"fp32", "int8-weight-only"}


@pytest.mark.gpu
def test_bf16_comes_near_its_floor_on_a_gpu() -> None:
    torch = libraries()
    if not torch.cuda.is_available():
        pytest.skip("no GPU here")
    found = decode_study(schemes=["bf16"], device="cuda", batch_sizes=[1], progress=False)
    assert (found.row("bf16").mbu_fraction or 0) > 0.5


def test_bad_input(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries()
    with pytest.raises(UnknownNameError, match="unknown model 'llama-3-70b'; did you mean 'llama-3-8b'"):
        decode_study("llama-3-70b", device="cpu")
    with pytest.raises(UnknownNameError, match="unknown scheme 'int5'"):
        decode_study("small", schemes=["int5"], device="cpu")
    with pytest.raises(InvalidValueError, match="context must be a whole number >= 2, got 1"):
        decode_study("small", device="cpu", context=1)
    with pytest.raises(InvalidValueError, match="schemes, batch_sizes and phases must be not empty"):
        decode_study("small", device="cpu", batch_sizes=[])
    with pytest.raises(InvalidValueError, match="repeats must be a whole number >= 5, got 4"):
        decode_study("small", device="cpu", repeats=4)
    with pytest.raises(ModelTooLargeError, match=r"fp32 takes 32\.12 GB for its weights, and 16\.00 GB of memory"):
        decode_study("llama-3-8b", device="cpu", free=16_000_000_000)
    with pytest.raises(InvalidValueError, match="kv_heads must be a divisor of the 4 heads, got 3"):
        LlamaShape(hidden=64, layers=2, heads=4, kv_heads=3, head_dim=16, ffn=96, vocabulary=128)
    with pytest.raises(InvalidValueError, match="head_dim must be even, got 15"):
        LlamaShape(hidden=64, layers=2, heads=4, kv_heads=2, head_dim=15, ffn=96, vocabulary=128)
    monkeypatch.setattr("costlab.recordings._first_gpu", lambda: None)
    with pytest.raises(InvalidValueError, match="device must be one that is present"):
        decode_study(device="cuda")


def test_names_of_a_result(result: DecodeResult) -> None:
    with pytest.raises(InvalidValueError, match="scheme, phase and batch must be one of fp32 decode 1, fp32 decode 8"):
        result.row("fp32", batch=2)


def test_the_command_prints_and_records(
    result: DecodeResult, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked: list[Any] = []

    @wraps(decode_study)
    def study(**options: Any) -> DecodeResult:
        asked.append((options["model"], options["batch_sizes"]))
        return result

    monkeypatch.setattr("costlab.experiments.decode.EXPERIMENT", replace(EXPERIMENT, measure=study))
    with pytest.raises(SystemExit) as ended:
        main(["bench", "decode", "--device", "cpu", "--batch", "1", "--record", "--folder", str(tmp_path)])
    out, err = capsys.readouterr()
    assert (ended.value.code, err) == (0, "recorded in decode-cpu.json\n")
    assert asked == [(None, [1])]
    lines = out.splitlines()
    assert len(lines) == 10
    assert "TFLOP/s bf16" in lines[0]
    assert "1.00x, MBU" in lines[1]
    assert "not measured: int4-weight-only does not run on cpu" in lines[-1]
    assert json.loads((tmp_path / "decode-cpu.json").read_text())["command"] == (
        "costlab bench decode --device cpu --model small --scheme fp32 --scheme int8-weight-only --scheme "
        "int4-weight-only --batch 1 --context 1024 --repeats 9 --seed 0 --record"
    )


def test_runs_of_single_steps_are_put_together_beside_the_first_scheme(result: DecodeResult) -> None:
    runs = [
        decode_study(
            "small", schemes=[s], phases=[p], batch_sizes=[1], context=8, repeats=5, device="cpu", progress=False
        )
        for p in ("prefill", "decode")
        for s in ("fp32", "int8-weight-only")
    ]
    assert [len(run.rows) for run in runs] == [1] * 4
    whole = DecodeResult.together(runs)
    assert [(row.scheme, row.phase) for row in whole.rows] == [
        ("fp32", "decode"),
        ("fp32", "prefill"),
        ("int8-weight-only", "decode"),
        ("int8-weight-only", "prefill"),
    ]
    wide, narrow = whole.row("fp32"), whole.row("int8-weight-only")
    assert (wide.speedup, wide.how) == (1.0, "one by one")
    assert narrow.speedup == pytest.approx((wide.median or 0) / (narrow.median or 1))
    # The best rate that any run saw is the floor of all: a floor must not lie above what was possible.
    assert whole.read_gb_per_s == max(run.read_gb_per_s for run in runs)
    assert wide.memory_floor_ms == pytest.approx(1e-6 * wide.moved_bytes / whole.bandwidth_gb_per_s)
    with pytest.raises(InvalidValueError, match="results must be of one device and shape with equal repeats"):
        DecodeResult.together([runs[0], replace(runs[1], repeats=7)])
    with pytest.raises(InvalidValueError, match="results must be of one device"):
        DecodeResult.together([])
    with pytest.raises(UnknownNameError, match="unknown phase 'decoding'"):
        decode_study("small", phases=["decoding"], device="cpu")


def test_eight_bits_multiplied_have_a_floor_of_their_own(result: DecodeResult) -> None:
    row = replace(result.row("fp32"), scheme="fp8")
    on_gpu = replace(result, driver="580", matmul_tflop_per_s={"fp32": 50.0, "bf16": 800.0, "fp8": 1500.0})
    assert on_gpu._beside_floor(row).arithmetic_floor_ms == pytest.approx(1e-9 * row.operations / 1500.0)
    without = replace(on_gpu, matmul_tflop_per_s={"fp32": 50.0, "bf16": 800.0})
    assert without._beside_floor(row).arithmetic_floor_ms == pytest.approx(1e-9 * row.operations / 800.0)


@pytest.mark.slow
def test_one_layer_is_translated_for_all_and_computes_the_same() -> None:
    torch = libraries()
    needs.program("g++", "c++", "clang++", install="apt-get install g++")
    from torch._dynamo.utils import counters

    from costlab.compression import quantize
    from costlab.compression.llama import compile_llama, interpret_llama

    model: Any = quantize(random_llama(TINY, dtype=torch.float32), "int8-weight-only", device="cpu", in_place=True)
    model.reserve(2, 5)
    tokens = torch.tensor([[3], [4]])
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchao's tensors have no name for the cache of translations
        plain = model(tokens, 4)
        compile_llama(model, {"coordinate_descent_tuning": True})
        counters.clear()
        compiled = model(tokens, 4)
        assert counters["stats"]["unique_graphs"] == 2  # the layer, of which there are two, and the head
        interpret_llama(model)
        counters.clear()
        assert torch.equal(model(tokens, 4), plain)
        assert not counters["stats"]
    assert torch.allclose(compiled, plain, atol=1e-5)
    assert float(plain.std()) > 1e-3
    torch.compiler.reset()


def test_a_step_that_cannot_be_compiled_runs_without_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    libraries()

    def refuse(*_: object) -> None:
        raise RuntimeError("no compiler\nhere")

    monkeypatch.setattr("costlab.experiments.decode.compile_llama", refuse)
    found = decode_study(
        "small", schemes=["fp32"], batch_sizes=[1], context=8, repeats=5, device="cpu", compiled=True, progress=False
    )
    assert {row.how for row in found.rows} == {"one by one (not compiled: no compiler here)"}
    assert all(row.median for row in found.rows)


def test_numbers_that_are_none_are_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    torch = libraries()

    def spoilt(*words: Any, **options: Any) -> Any:
        model = random_llama(*words, **options)
        model.get_parameter("head.norm.weight").fill_(torch.nan)
        return model

    monkeypatch.setattr("costlab.experiments.decode.random_llama", spoilt)
    found = decode_study("small", schemes=["fp32"], batch_sizes=[1], context=8, repeats=5, device="cpu", progress=False)
    assert {row.reason for row in found.rows} == {"its logits are not finite"}
