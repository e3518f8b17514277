"""``costlab bench quantization`` and its like: what makes a model smaller and faster, measured here."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab.cli.shared import JsonFlag, print_json

if TYPE_CHECKING:
    from costlab.compression import BenchmarkResult, BenchmarkRow, DecodeRow

__all__ = ["bench_combined", "bench_decode", "bench_distillation", "bench_pruning", "bench_quantization"]

Record = Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")]
Folder = Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")]
DeviceName = Annotated[str | None, typer.Option("--device", help="cuda or cpu; by default the GPU if there is one.")]
Models = Annotated[
    list[str] | None,
    typer.Option("--model", help="smollm2, minilm, or owner/name on the Hugging Face hub; may be repeated."),
]
Batches = Annotated[list[int] | None, typer.Option("--batch", metavar="N", help="A batch size; may be repeated.")]
Repeats = Annotated[int, typer.Option(metavar="N", help="Timed steps, at least 3.")]
Seed = Annotated[int, typer.Option(metavar="SEED", help="Of the order of the steps.")]


def bench_quantization(
    device: DeviceName = None,
    model: Models = None,
    scheme: Annotated[
        list[str] | None, typer.Option(help="A scheme, the baseline first; may be repeated. By default all.")
    ] = None,
    batch: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """What fewer bits do to size, speed, quality and price of real models (needs the models)."""
    from costlab.compression import MODEL_NAMES, quantization_study, usable_device

    names, batches = tuple(model or MODEL_NAMES), tuple(batch or (1, 32))
    place = usable_device(device)
    result = quantization_study(
        names, device=place, schemes=scheme, batch_sizes=batches, repeats=repeats, seed=seed, progress=not as_json
    )
    _show(result, as_json)
    if record:
        options = _options({"--model": names, "--scheme": scheme or (), "--batch": batches})
        command = f"costlab bench quantization --device {place}{options} --repeats {repeats} --seed {seed} --record"
        _say_recorded(result.record(folder, command=command))


def bench_distillation(
    seeds: Annotated[int, typer.Option(metavar="N", help="Repetitions, at least 5.")] = 10,
    temperature: Annotated[
        float, typer.Option(metavar="T", help="How much the teacher's second thoughts count.")
    ] = 2.0,
    alpha: Annotated[float, typer.Option(metavar="SHARE", help="Weight of the teacher.")] = 0.9,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """Whether a teacher helps a student, and why: soft targets or unlabelled data (needs scikit-learn, a model)."""
    from costlab.compression import distillation_study

    result = distillation_study(seeds=seeds, temperature=temperature, alpha=alpha, progress=not as_json)
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(f"{result.device_name} ({result.recorded_on}, {seeds} seeds, 95 % intervals)")
        for row in result.rows:
            own = row.spread
            typer.echo(
                f"{row.task:<24} {row.arm:<14} {row.examples:>5,} examples: "
                f"{own.mean:.1%} ({own.low:.1%} to {own.high:.1%})"
            )
        for cost in result.costs:
            typer.echo(f"{cost.task:<24} teacher {cost.teacher_ms:.3g} ms a query, student {cost.student_ms:.3g} ms")
    if record:
        options = f"--seeds {seeds} --temperature {temperature:g} --alpha {alpha:g}"
        _say_recorded(result.record(folder, command=f"costlab bench distillation {options} --record"))


def bench_pruning(
    device: DeviceName = None,
    model: Models = None,
    fraction: Annotated[
        list[float] | None,
        typer.Option(metavar="SHARE", help="Share of zeros, between 0 and 1; may be repeated."),
    ] = None,
    pattern: Annotated[
        list[str] | None, typer.Option(help="unstructured, structured or 2:4; may be repeated. By default all.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Of fine-tuning; 0 for none.")] = 60,
    batch: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """What zeros do to size, speed and quality, with fine-tuning and sparse kernels (needs the models)."""
    from costlab.compression import PATTERNS, pruning_study, usable_device
    from costlab.compression.pruning_study import FRACTIONS

    names, batches, place = tuple(model or ("minilm",)), tuple(batch or (1, 32)), usable_device(device)
    fractions, patterns = tuple(fraction or FRACTIONS), tuple(pattern or PATTERNS)
    result = pruning_study(
        names,
        device=place,
        fractions=fractions,
        patterns=patterns,
        steps=steps,
        batch_sizes=batches,
        repeats=repeats,
        seed=seed,
        progress=not as_json,
    )
    _show(result, as_json)
    if record:
        chosen = {"--model": names, "--fraction": fractions, "--pattern": patterns, "--batch": batches}
        command = f"costlab bench pruning --device {place}{_options(chosen)} --steps {steps}"
        command += f" --repeats {repeats} --seed {seed} --record"
        _say_recorded(result.record(folder, command=command, experiment="pruning"))


def bench_combined(
    device: DeviceName = None,
    variant: Annotated[
        list[str] | None, typer.Option(help="A variant, the baseline first; may be repeated. By default all.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Of fine-tuning, at least 1.")] = 60,
    batch: Batches = None,
    repeats: Repeats = 7,
    seed: Seed = 0,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """Pruned, quantized and distilled models on one task: quality against dollars (needs the models)."""
    from costlab.compression import COMBINED, combined_study, usable_device

    names, batches, place = tuple(variant or COMBINED), tuple(batch or (1, 32)), usable_device(device)
    result = combined_study(
        names, device=place, steps=steps, batch_sizes=batches, repeats=repeats, seed=seed, progress=not as_json
    )
    _show(result, as_json)
    if not as_json:
        typer.echo(f"not beaten in quality and dollars: {', '.join(result.front())}")
    if record:
        chosen = {"--variant": [f"'{name}'" for name in names], "--batch": batches}
        command = f"costlab bench combined --device {place}{_options(chosen)} --steps {steps}"
        command += f" --repeats {repeats} --seed {seed} --record"
        _say_recorded(result.record(folder, command=command, experiment="combined"))


def bench_decode(
    device: DeviceName = None,
    model: Annotated[
        str | None, typer.Option(help="A shape: llama-3-8b, the default on a GPU, or small, on a CPU.")
    ] = None,
    scheme: Annotated[
        list[str] | None, typer.Option(help="A scheme, the baseline first; may be repeated. By default several.")
    ] = None,
    batch: Batches = None,
    context: Annotated[int, typer.Option(metavar="TOKENS", help="Tokens before a step.")] = 1024,
    repeats: Annotated[int, typer.Option(metavar="N", help="Timed steps, at least 5.")] = 9,
    seed: Annotated[int, typer.Option(metavar="SEED", help="Of weights and tokens.")] = 0,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """Speed of a large model's shape with random weights, beside what the device allows (needs torch, torchao)."""
    from costlab.compression import decode_study, usable_device

    place, batches = usable_device(device), tuple(batch or (1, 4, 16, 64))
    result = decode_study(
        model,
        schemes=scheme,
        device=place,
        batch_sizes=batches,
        context=context,
        repeats=repeats,
        seed=seed,
        progress=not as_json,
    )
    if as_json:
        print_json(asdict(result))
    else:
        rates = f"{result.copy_gb_per_s:.4g} GB/s copied, "
        rates += ", ".join(f"{rate:.3g} TFLOP/s {name}" for name, rate in result.matmul_tflop_per_s.items())
        typer.echo(f"{result.model} on {result.device_name} ({result.recorded_on}, median of {repeats}); {rates}")
        for row in result.rows:
            typer.echo(_decode_line(row))
    if record:
        chosen = {"--scheme": dict.fromkeys(row.scheme for row in result.rows), "--batch": batches}
        command = f"costlab bench decode --device {place} --model {result.model}{_options(chosen)}"
        command += f" --context {context} --repeats {repeats} --seed {seed} --record"
        _say_recorded(result.record(folder, command=command))


def _decode_line(row: "DecodeRow") -> str:
    head = f"{row.scheme:<17} {row.phase:<7} batch {row.batch:<3}"
    if row.median is None:
        return f"{head} not measured: {row.reason}"
    faster = "" if row.speedup is None else f", {row.speedup:.2f}x"
    return (
        f"{head} {row.median:>9.4g} ms, {row.tokens_per_s:,.0f} tokens/s{faster}, "
        f"MBU {row.mbu_fraction:.0%}, MFU {row.mfu_fraction:.0%}"
    )


def _say_recorded(path: Path) -> None:
    typer.echo(f"recorded in {path.name}", err=True)


def _options(chosen: Mapping[str, Iterable[object]]) -> str:
    """Flags as they were typed, or would have been."""
    return "".join(f" {flag} {value}" for flag, values in chosen.items() for value in values)


def _show(result: "BenchmarkResult", as_json: bool) -> None:
    if as_json:
        print_json(asdict(result))
        return
    typer.echo(f"{result.device_name} ({result.recorded_on}, median of {result.repeats}); an hour: {result.price}")
    for row in result.rows:
        typer.echo(_variant_line(row))


def _variant_line(row: "BenchmarkRow") -> str:
    head = f"{row.model:<22} {row.variant:<23}"
    if row.reason:
        return f"{head} not measured: {row.reason}"
    times = ", ".join(f"{one.median:.4g} ms at {one.batch} ({one.ratio:.2f}x)" for one in row.latencies)
    quality = f"{row.metric} {row.quality:.4g} +- {row.quality_standard_error or 0:.2g} (n = {row.quality_n})"
    dollars = "no price" if row.usd is None else f"{row.usd:.3g} {row.usd_unit}"
    return f"{head} {(row.weights_bytes or 0) / 1e6:>6.1f} MB, {times}, {quality}, {dollars}"
