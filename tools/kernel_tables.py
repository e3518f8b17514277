"""NVIDIA's tables of measured kernels: extract the rows that we use, and fit what each GPU reaches.

The tables are in the package aiconfigurator 0.12.0 (Apache-2.0), which costlab does not depend on. In an environment of
its own::

    python -m venv /tmp/aic && /tmp/aic/bin/pip install aiconfigurator==0.12.0
    /tmp/aic/bin/python tools/kernel_tables.py extract tests/serving/kernels.json

and then, with costlab::

    python -m tools.kernel_tables fit tests/serving/kernels.json

prints the tables of ``costlab/serving/efficiency.toml``. Steps of a mixture of experts and of a model on several GPUs::

    /tmp/aic/bin/python tools/kernel_tables.py large costlab/serving/large.toml

What is extracted are sums over the kernels of a step, each of
which NVIDIA timed by itself; norms, activations and the look-up of words are not timed there but estimated by the tool,
and `timed_fraction` says how much of a row was. They are not runs of an engine.
"""

import argparse
import json
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

VERSION: Final = "0.12.0"

#: Models of the catalogue, and what aiconfigurator calls them.
MODELS: Final = {
    "Llama-3.1-8B": "meta-llama/Meta-Llama-3.1-8B",
    "Llama-3.1-70B": "meta-llama/Meta-Llama-3.1-70B",
    "Qwen3-32B": "Qwen/Qwen3-32B",
    "Qwen3-1.7B": "Qwen/Qwen3-1.7B",
}

#: Sequences and tokens of context of the decoding steps, and lengths of the prompts, of each model.
DECODE: Final = {
    "Llama-3.1-8B": [(1, 1024), (16, 1024), (64, 1024), (256, 1024), (16, 4096), (64, 4096)],
    "Llama-3.1-70B": [(1, 1024), (64, 1024), (256, 1024)],
    "Qwen3-32B": [(1, 1024), (16, 4096), (64, 1024), (256, 1024)],
    "Qwen3-1.7B": [(1, 1024), (64, 1024)],
}
PREFILL: Final = {
    "Llama-3.1-8B": [128, 512, 1024, 2048, 4096, 8192],
    "Llama-3.1-70B": [1024, 4096],
    "Qwen3-32B": [512, 2048, 8192],
    "Qwen3-1.7B": [1024],
}

#: GPUs, what aiconfigurator calls them, and for each the engines whose kernels were timed, and the format. On a B200
#: vLLM's 8-bit kernels are uneven (70B: 1.8 ms of a step for queries, keys and values at batch 1, and 4.2 at 64), and
#: those of TensorRT-LLM are not.
BOARDS: Final = {
    "A100 80GB": ("a100_sxm", [("vllm", "bfloat16"), ("trtllm", "int8_wo"), ("trtllm", "int4_wo")]),
    "H100": ("h100_sxm", [("vllm", "bfloat16"), ("vllm", "fp8")]),
    "H200": ("h200_sxm", [("vllm", "bfloat16"), ("vllm", "fp8")]),
    "B200": ("b200_sxm", [("vllm", "bfloat16"), ("trtllm", "fp8"), ("trtllm", "nvfp4")]),
    "L40S": ("l40s", [("vllm", "bfloat16"), ("vllm", "fp8")]),
}
ENGINES: Final = {"vllm": "vLLM", "trtllm": "TensorRT-LLM"}

#: Of aiconfigurator's formats: bytes of a weight, bits as efficiency.toml counts them, number format of the arithmetic.
FORMATS: Final = {
    "bfloat16": (2.0, 16, "bf16"),
    "fp8": (1.0, 8, "fp8"),
    "int8_wo": (1.0, 8, "bf16"),
    "int4_wo": (0.5625, 4, "bf16"),
    "nvfp4": (0.5625, 4, "fp4"),
}

#: Large models: what aiconfigurator calls them, the GPUs that share them, and batches with 1,024 tokens of context.
LARGE: Final = {
    "Qwen3-30B-A3B": ("Qwen/Qwen3-30B-A3B", (1,), (1, 2, 4, 8, 16, 32, 64, 256)),
    "Llama-3.1-70B": ("meta-llama/Meta-Llama-3.1-70B", (2, 4, 8), (1, 16, 64, 256)),
}


def large(day: str) -> str:
    """The text of large.toml: steps of large models in bf16 by vLLM's kernels, with what experts and exchange take."""
    cli_estimate = import_module("aiconfigurator.cli.api").cli_estimate
    lines = [
        "# Decoding steps of large models, with 1,024 tokens of context in 16 bits: kernels of vLLM that NVIDIA timed",
        "# one by one, added up. Norms and activations are estimated there. Written by `tools/kernel_tables.py large`.",
    ]
    for model, (path, shares, batches) in LARGE.items():
        for board in ("H100", "H200"):
            system, _ = BOARDS[board]
            rows: list[str] = []
            engine = ""
            for gpus in shares:
                for batch in batches:
                    more: dict[str, Any] = {"tp_size": gpus}
                    if "A3B" in path:
                        more |= {"moe_quant_mode": "bfloat16", "moe_tp_size": 1, "moe_ep_size": 1}
                    answer = cli_estimate(
                        path,
                        system,
                        backend_name="vllm",
                        mode="static_gen",
                        isl=1024,
                        osl=2,
                        batch_size=batch,
                        gemm_quant_mode="bfloat16",
                        **more,
                    )
                    engine = f"vLLM {answer.backend_version}"
                    parts = answer.summary.get_generation_latency_dict()
                    experts = parts.get("generation_moe", 0.0)
                    exchange = sum(value for name, value in parts.items() if name.startswith("generation_ar_"))
                    rows.append(
                        f"[[table.row]]\ngpus = {gpus}\nbatch = {batch}\nstep_s = {answer.tpot / 1000:.6f}\n"
                        f"experts_s = {experts / 1000:.6f}\nexchange_s = {exchange / 1000:.6f}\n"
                    )
            lines.append(
                f'\n[[table]]\nmodel = "{model}"\ngpu = "{board}"\ncontext_tokens = 1024\nengine = "{engine}"\n'
                f'source = "aiconfigurator {VERSION} (Apache-2.0)"\n'
                f'source_url = "https://pypi.org/project/aiconfigurator/{VERSION}/"\nchecked = {day}'
            )
            lines += rows
    return "\n".join(lines)


def extract() -> dict[str, Any]:
    """The rows, from an aiconfigurator that is installed."""
    cli_estimate = import_module("aiconfigurator.cli.api").cli_estimate
    if (found := version("aiconfigurator")) != VERSION:
        raise SystemExit(f"aiconfigurator {VERSION} is what the figures are of, and {found} is installed")
    rows: list[dict[str, Any]] = []
    for board, (system, runs) in BOARDS.items():
        for engine, form in runs:
            for model, path in MODELS.items():
                steps = [("decode", batch, tokens) for batch, tokens in DECODE[model]]
                steps += [("prefill", 1, tokens) for tokens in PREFILL[model]]
                for phase, batch, tokens in steps:
                    answer = cli_estimate(
                        path,
                        system,
                        backend_name=engine,
                        mode="static_gen" if phase == "decode" else "static_ctx",
                        isl=tokens,
                        osl=2,
                        batch_size=batch,
                        gemm_quant_mode=form,
                    )
                    told = answer.summary
                    parts, origin = told.get_generation_latency_dict(), told.get_generation_source_dict()
                    if phase == "prefill":
                        parts, origin = told.get_context_latency_dict(), told.get_context_source_dict()
                    timed = sum(part for name, part in parts.items() if origin.get(name) == "silicon")
                    rows.append(
                        {
                            "gpu": board,
                            "engine": f"{ENGINES[engine]} {answer.backend_version}",
                            "format": form,
                            "model": model,
                            "phase": phase,
                            "batch": batch,
                            "tokens": tokens,
                            "seconds": round((answer.tpot if phase == "decode" else answer.ttft) / 1000, 8),
                            "timed_fraction": round(timed / sum(parts.values()), 3),
                        }
                    )
            print(f"{board} {engine} {form}: {len(rows)} rows", flush=True)
    about = f"sums of measured kernels, from aiconfigurator {VERSION} (Apache-2.0) by tools/kernel_tables.py"
    return {"about": about, "url": f"https://pypi.org/project/aiconfigurator/{VERSION}/", "rows": rows}


def fitted_on(row: dict[str, Any]) -> bool:
    """Whether a row is used for fitting: the Llamas, alone and at 64, and two lengths of prompts; the others test."""
    if row["model"] not in ("Llama-3.1-8B", "Llama-3.1-70B"):
        return False
    if row["phase"] == "prefill":
        return row["tokens"] in (1024, 4096)
    return row["tokens"] == 1024 and row["batch"] in (1, 64)


def board_spec(name: str) -> Any:
    """A GPU of the catalogue, or the L40S, which is not in it: its figures as aiconfigurator has them."""
    from costlab.catalog import gpu

    if name != "L40S":
        return gpu(name)
    figures: dict[str, Any] = {
        "memory_gb": 48,
        "bandwidth_gb_per_s": 864,
        "bf16_tflops": 362.05,
        "fp16_tflops": 362.05,
        "fp8_tflops": 733,
    }
    return replace(gpu("L4"), name="L40S", aliases=(), **figures)


def row_seconds(row: dict[str, Any], efficiency: Any) -> float:
    """What the roofline says of a row."""
    from costlab.serving import model_spec, roofline

    width, _, precision = FORMATS[row["format"]]
    shape = replace(model_spec(row["model"]), bytes_per_weight=width)
    on = roofline(shape, board_spec(row["gpu"]), 1, efficiency, precision)
    seconds: float = on.step_s(row["batch"], row["tokens"]) if row["phase"] == "decode" else on.prefill_s(row["tokens"])
    return seconds


def fit(rows: list[dict[str, Any]], mfu_fraction: float | None = None) -> tuple[Any, float]:
    """The efficiency with the least squares of relative errors, and the largest of them; an MFU that is given stays."""
    from costlab.serving import Efficiency

    def efficiency(logs: list[float]) -> Any:
        mbu, layer, *mfu = map(math.exp, logs)
        rate = min(1.0, mfu[0]) if mfu_fraction is None else mfu_fraction
        return Efficiency(mbu_fraction=min(1.0, mbu), mfu_fraction=rate, layer_overhead_s=layer)

    def errors(logs: list[float]) -> list[float]:
        return [math.log(row_seconds(row, efficiency(logs)) / row["seconds"]) for row in rows]

    start = [math.log(0.7), math.log(5e-5)] + [math.log(0.7)] * (mfu_fraction is None)
    best = least(lambda logs: sum(e * e for e in errors(logs)), start)
    found = efficiency(best)
    digits = {name: float(f"{getattr(found, name):.3g}") for name in ("mbu_fraction", "mfu_fraction")}
    return replace(found, layer_overhead_s=round(found.layer_overhead_s, 7), **digits), max(map(abs, errors(best)))


def fits(data: dict[str, Any]) -> dict[tuple[str, str], tuple[Any, float]]:
    """The fit of every GPU and format. Weights that are widened are multiplied as fast as wide ones."""
    found: dict[tuple[str, str], tuple[Any, float]] = {}
    rates: dict[tuple[str, str], float] = {}
    for board, (_, runs) in BOARDS.items():
        for _, form in runs:
            rows = [row for row in data["rows"] if (row["gpu"], row["format"]) == (board, form) and fitted_on(row)]
            rate = board, FORMATS[form][2]
            found[board, form] = fit(rows, rates.get(rate))
            rates.setdefault(rate, found[board, form][0].mfu_fraction)
    return found


def least(loss: Callable[[list[float]], float], start: list[float]) -> list[float]:
    """Where a smooth function of a few numbers is least, by trying steps along each and halving them."""
    at, lowest, step = list(start), loss(start), 0.5
    while step > 1e-5:
        moved = False
        for i in range(len(at)):
            for sign in (step, -step):
                tried = [*at[:i], at[i] + sign, *at[i + 1 :]]
                if (found := loss(tried)) < lowest:
                    at, lowest, moved = tried, found, True
        step = step if moved else step / 2
    return at


def tables(data: dict[str, Any]) -> str:
    """The tables of efficiency.toml."""
    engines = {(row["gpu"], row["format"]): row["engine"] for row in data["rows"]}
    reading: list[str] = []
    arithmetic: dict[tuple[str, str], str] = {}
    for (board, form), (found, worst) in fits(data).items():
        _, bits, precision = FORMATS[form]
        source = f"aiconfigurator {VERSION}, kernels of {engines[board, form]} in {form} on {board}"
        reading.append(
            f'[[reading]]\ngpu = "{board}"\nbits = {bits}\nmbu_fraction = {found.mbu_fraction:g}\n'
            f'layer_overhead_s = {found.layer_overhead_s:g}\nworst_error_fraction = {worst:.2g}\nsource = "{source}"\n'
        )
        arithmetic.setdefault(
            (board, precision),
            f'[[arithmetic]]\ngpu = "{board}"\nprecision = "{precision}"\n'
            f'mfu_fraction = {found.mfu_fraction:g}\nsource = "{source}"\n',
        )
    return "\n".join([*reading, *arithmetic.values()])


def main() -> None:
    """Write the rows, or print what is fitted to them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("what", choices=("extract", "fit", "large"))
    parser.add_argument("file", type=Path)
    options = parser.parse_args()
    if options.what == "extract":
        options.file.write_text(json.dumps(extract(), indent=1) + "\n", encoding="utf-8")
    elif options.what == "large":
        options.file.write_text(large(date.today().isoformat()), encoding="utf-8")
    else:
        print(tables(json.loads(options.file.read_text(encoding="utf-8"))), end="")


if __name__ == "__main__":
    main()
