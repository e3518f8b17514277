"""``costlab bench``: measurements on the machine at hand."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab import recordings
from costlab.cli.shared import JsonFlag, bench, print_json, whole

if TYPE_CHECKING:
    from costlab.compression import BenchmarkRow

__all__ = ["bench_device", "bench_quantization", "bench_semantic", "bench_traffic"]

Record = Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")]
Folder = Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")]


@bench.command("device")
def bench_device(
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the GPU if there is one.")] = None,
    repeats: Annotated[int, typer.Option(parser=whole, metavar="N", help="Timed repetitions, at least 5.")] = 9,
    copy_mib: Annotated[int | None, typer.Option(parser=whole, metavar="MIB", help="MiB copied.")] = None,
    size: Annotated[int | None, typer.Option(parser=whole, metavar="ROWS", help="Rows of the matrices.")] = None,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """How fast this device copies memory and multiplies matrices (needs torch)."""
    from costlab.devices import measure_device

    result = measure_device(device, repeats=repeats, copy_mib=copy_mib, size=size)
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(f"{result.device_name} ({result.recorded_on}, median of {repeats})")
        for row in result.rows:
            spread = f"{row['least']:.4g} to {row['greatest']:.4g}"
            typer.echo(f"{row['quantity']:<12} {row['median']:>10.4g} {row['unit']:<8} ({spread})")
    if record:
        _save(result, folder)


@bench.command("traffic")
def bench_traffic(
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """What the Azure traces say of real traffic: rate, bursts, lengths (from COSTLAB_DATA_DIR, or fetched)."""
    from costlab.traces import measure_traffic

    result = measure_traffic()
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(result.device_name)
        for row in result.rows:
            middle = row["levels"].index(0.5)
            tokens = f"{row['context_tokens'][middle]:g} and {row['generated_tokens'][middle]:g} tokens in the median"
            rate = f"{row['requests_per_s']:.2f} requests/s, gaps vary by {row['cv']:.2f} of their mean"
            typer.echo(f"{row['kind']:<13} {row['requests']:>7,} requests, {rate}, {tokens}")
    if record:
        _save(result, folder)


@bench.command("semantic")
def bench_semantic(
    splits: Annotated[int, typer.Option(parser=whole, metavar="N", help="Random divisions of each set.")] = 200,
    seed: Annotated[int, typer.Option(parser=whole, metavar="SEED", help="Of everything random.")] = 4,
    published: Annotated[bool, typer.Option(help="CLINC150 and BANKING77 too.")] = True,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """Semantic hits: right and wrong ones, and whether a fitted threshold keeps its promise (needs the model)."""
    from costlab.semantic_study import measure_semantic

    result = measure_semantic(splits=splits, seed=seed, published=published)
    if as_json:
        print_json(asdict(result))
    else:
        for row in result.rows:
            if row["what"] == "promise":
                hits = "no threshold" if row["found"] == 0 else f"hit rate {row['hit_rate_fraction']:.1%}"
                typer.echo(
                    f"{row['data']:<22} guards {row['guards']:<8} at most {row['max_error_fraction']:.0%} wrong: found "
                    f"in {row['found']} of {row['splits']}, promise broken in {row['broken']}, {hits}"
                )
    if record:
        _save(result, folder)


@bench.command("quantization")
def bench_quantization(
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the GPU if there is one.")] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="smollm2, minilm, or owner/name on the Hugging Face hub; may be repeated. By default both."),
    ] = None,
    scheme: Annotated[
        list[str] | None, typer.Option(help="A scheme, the baseline first; may be repeated. By default all.")
    ] = None,
    batch: Annotated[
        list[int] | None, typer.Option(parser=whole, metavar="N", help="A batch size; may be repeated.")
    ] = None,
    repeats: Annotated[int, typer.Option(parser=whole, metavar="N", help="Timed steps, at least 3.")] = 7,
    seed: Annotated[int, typer.Option(parser=whole, metavar="SEED", help="Of the order of the steps.")] = 0,
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
    if as_json:
        print_json(asdict(result))
    else:
        typer.echo(f"{result.device_name} ({result.recorded_on}, median of {repeats}); an hour: {result.price}")
        for row in result.rows:
            typer.echo(_variant_line(row))
    if record:
        chosen = [("--model", names), ("--scheme", scheme or ()), ("--batch", batches)]
        options = "".join(f" {flag} {value}" for flag, values in chosen for value in values)
        ending = f"--repeats {repeats} --seed {seed} --record"
        path = result.record(folder, command=f"costlab bench quantization --device {place}{options} {ending}")
        typer.echo(f"recorded in {path.name}", err=True)


def _variant_line(row: "BenchmarkRow") -> str:
    head = f"{row.model:<22} {row.variant:<17}"
    if row.reason:
        return f"{head} not measured: {row.reason}"
    times = ", ".join(f"{one.median:.4g} ms at {one.batch} ({one.ratio:.2f}x)" for one in row.latencies)
    quality = f"{row.metric} {row.quality:.4g} +- {row.quality_standard_error or 0:.2g} (n = {row.quality_n})"
    dollars = "no price" if row.usd is None else f"{row.usd:.3g} {row.usd_unit}"
    return f"{head} {(row.weights_bytes or 0) / 1e6:>6.1f} MB, {times}, {quality}, {dollars}"


def _save(result: recordings.Recording, folder: Path | None) -> None:
    path = recordings.save(result, folder)
    typer.echo(f"recorded in {path.name}", err=True)
