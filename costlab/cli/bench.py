"""``costlab bench``: measurements on the machine at hand."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from costlab import recordings
from costlab.cli.shared import Folder, JsonFlag, Record, bench, print_json, say_recorded, whole

__all__ = ["bench_answers", "bench_device", "bench_semantic", "bench_tiers", "bench_traffic"]


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
    from costlab.recordings.device import measure_device

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
    from costlab.experiments.traffic_traces import measure_traffic

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
    from costlab.experiments.semantic import measure_semantic

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


@bench.command("tiers")
def bench_tiers(
    splits: Annotated[int, typer.Option(parser=whole, metavar="N", help="Random halves of each set.")] = 200,
    seed: Annotated[int, typer.Option(parser=whole, metavar="SEED", help="Of the division of BANKING77.")] = 7,
    published: Annotated[bool, typer.Option(help="CLINC150 and BANKING77 too.")] = True,
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """Three tiers that classify queries: each alone, as a cascade, and whether promises hold (needs the model)."""
    from costlab.experiments.tiers import measure_tiers

    result = measure_tiers(splits=splits, seed=seed, published=published)
    if as_json:
        print_json(asdict(result))
    else:
        for row in result.rows:
            if row["what"] == "tier":
                right = f"{row['quality_fraction']:.1%} right of {row['queries']:,}"
                off = f"off by {row['raw_calibration_error']:.1%}, with temperature {row['calibration_error']:.1%}"
                typer.echo(f"{row['data']:<10} {row['tier']:<9} {right}; confidence {off}")
            elif row["what"] == "cascade":
                large = f"{row['all_large_quality_fraction']:.1%} at {row['all_large_usd_per_request']:.4f} all large"
                here = f"{row['quality_fraction']:.1%} right at {row['usd_per_request']:.4f} USD"
                mix = f"{row['fixed_mix_quality_fraction']:.1%} for a fixed mix of that cost"
                typer.echo(f"{row['data']:<10} cascade   {here}; {large}; {mix}")
            else:
                whose = "of the next half" if row["for_next"] else "of the long run"
                floor = f"{row['quality_floor_fraction']:.0%} {whose}"
                made = f"made in {row['found']} of {row['splits']}, broken on the other half in {row['broken']}"
                typer.echo(f"{row['data']:<10} promise   {floor}: {made}")
    if record:
        _save(result, folder)


@bench.command("answers")
def bench_answers(
    record: Record = False,
    folder: Folder = None,
    as_json: JsonFlag = False,
) -> None:
    """What three tiers answer to each support query, for `costlab demo` and the capstone (needs the model)."""
    from costlab.experiments.tier_predictions import measure_answers

    result = measure_answers()
    if as_json:
        print_json(asdict(result))
    else:
        for row in result.rows[:-1]:
            asked = f"{len(row['queries'].split()):,} queries of the {row['part']} part"
            typer.echo(f"{row['tier']:<9} answered {asked}")
        typer.echo(f"kept above a confidence of {' and '.join(f'{one:.3f}' for one in result.rows[-1]['thresholds'])}")
    if record:
        _save(result, folder)


def _save(result: recordings.Recording, folder: Path | None) -> None:
    say_recorded(recordings.save(result, folder))
