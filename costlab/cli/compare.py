"""``costlab compare``: an API against one's own GPUs, for the workload in a file."""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from costlab.catalog import ApiPrice
from costlab.cli.shared import AsOf, JsonFlag, app, print_json, print_table

__all__ = ["compare"]


@app.command()
def compare(
    workload: Annotated[Path | None, typer.Argument(help="The workload file; --example prints one.")] = None,
    gpu: Annotated[list[str] | None, typer.Option(metavar="NAME", help="These GPUs instead of the file's.")] = None,
    api: Annotated[list[str] | None, typer.Option(metavar="MODEL", help="These models instead of the file's.")] = None,
    as_of: AsOf = None,
    example: Annotated[bool, typer.Option("--example", help="Print a workload file to begin with.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """What a workload costs at an API and on your own GPUs, where the bills cross, how sure that is, and what to do."""
    from costlab import compare as comparing

    if example:
        typer.echo(comparing.example(), nl=False)
        return
    if workload is None or str(workload) == ".":
        raise comparing.WorkloadFileError("no workload file given; --example prints one to begin with")
    result = comparing.compare(comparing.load(workload), api or (), gpu or (), as_of)
    if as_json:
        print_json(asdict(result))
        return
    _print(result)


def _print(result: Any) -> None:
    work = result.workload
    cached = f" ({work.cached_input_fraction:.0%} of them cached)" if work.cached_input_fraction else ""
    tokens = f"{work.input_tokens:,.6g} tokens in{cached} and {work.output_tokens:,.6g} out"
    asked = f"{work.images:g} images" if work.images else tokens
    typer.echo(f"{work.requests_per_day:,.10g} requests a day of {asked}, peak {work.peak_to_mean:g} x mean")
    table = Table()
    table.add_column("option", overflow="fold")
    for heading in ("usd per request", "running usd/month", "upfront usd", "all-in usd/month", "replicas"):
        table.add_column(heading, justify="right", overflow="fold")
    for cost in result.recommendation.options:
        out = " (ruled out)" if cost.ruled_out else ""
        figures = (cost.running_usd_per_month, cost.upfront_usd, cost.all_in_usd_per_month)
        per_request = "" if math.isinf(cost.usd_per_request) else f"{cost.usd_per_request:.4g}"
        table.add_row(
            escape(cost.name + out), per_request, *(f"{usd:,.0f}" for usd in figures), str(cost.replicas or "")
        )
    print_table(table)
    typer.echo(
        "A month has 730 hours. Upfront spending, over the file's horizon, is part of all-in and of usd per request."
    )
    for own in result.owns:
        if own.option is None and own.capacity is not None:
            typer.echo(f"not served: {own.name}: {'; '.join(own.capacity.reasons)}")
    if result.pair:
        typer.echo(f"\n{result.pair[1]} against {result.pair[0]}, running costs:")
        for line in _crossing(result):
            typer.echo(f"  {line}")
    typer.echo(f"\nrecommendation: {result.recommendation.choice}")
    for reason in result.recommendation.reasons:
        typer.echo(f"  {reason}")
    typer.echo("\nprices and rates:")
    for line in sources(result):
        typer.echo(f"  {line}")


def _crossing(result: Any) -> list[str]:
    lines = []
    even = result.break_even
    if even is None:
        lines.append("break-even: none, the API is free")
    elif even.reachable:
        busy = f"{even.replicas} serving replicas {even.utilization_fraction:.0%} as busy as the peak allows"
        lines.append(f"break-even: {even.requests_per_day:,.0f} requests a day ({busy})")
    else:
        lines.append(
            "break-even: none at any volume; a replica as full as the peak allows costs more than "
            "the requests it serves"
        )
    saving, crossing = result.saving, result.break_even_range
    low, middle, high = (saving.quantiles[q] for q in (0.05, 0.5, 0.95))
    verb, more = ("saves", "") if middle > 0 else ("costs", " more")
    spread = f"saving in 90 % of the draws: {low:,.0f} to {high:,.0f}"
    lines.append(f"self-hosting {verb} {abs(middle):,.0f} USD a month{more} ({spread})")
    lines.append(f"it saves something in {saving.positive_fraction:.1%} of the draws")
    if crossing.finite_fraction > 0.5:
        ends = [_volume(crossing.quantiles[q]) for q in (0.05, 0.95)]
        lines.append(f"break-even, 90 % of the draws: {ends[0]} to {ends[1]} requests a day")
    else:
        lines.append(f"there is a break-even in {crossing.finite_fraction:.1%} of the draws")
    first = result.matters.bars[0]
    lines.append(
        f"what matters most: {first.name} from {first.low:,.5g} to {first.high:,.5g} "
        f"moves the saving from {first.at_low:,.0f} to {first.at_high:,.0f}"
    )
    lines.append(f"{saving.samples:,} draws, seed {saving.seed}; the ranges stand under [uncertainty] in the file")
    return lines


def _volume(requests: float) -> str:
    return "none" if math.isinf(requests) else f"{requests:,.0f}"


def sources(result: Any) -> list[str]:
    """Where each price and each rate of a comparison comes from, a line each."""
    lines = []
    for side in result.apis:
        price = side.cost.price
        if isinstance(price, ApiPrice):
            output = "" if price.output_usd_per_mtok is None else f", {price.output_usd_per_mtok:g} out"
            rates = f"{price.input_usd_per_mtok:g} USD/Mtok in{output}, on {price.as_of}"
            rates += f", {price.usd_per_request:g} a request" if price.usd_per_request else ""
            lines.append(f"{side.option.name}: {rates} (genai-prices {price.snapshot.version}; {price.source_url})")
            lines += [f"{side.option.name}: {price.note}"] if price.note else []
        else:
            rates = f"{price.usd_per_image:g} USD an image, {price.kind}, {price.checked}"
            lines.append(f"{side.option.name}: {rates} ({price.source_url})")
    for own in result.owns:
        if own.capacity is not None and " x " in own.name:
            lines.append(f"{own.name}: several GPUs are taken to share the work without loss, which they do not")
        row = own.price
        if row is None:
            lines.append(f"{own.name}: {own.gpu_usd_per_hour:g} USD per GPU-hour, given in the file")
        else:
            machine = f", as {row.instance} with {row.instance_gpus}" if row.instance_gpus > 1 else ""
            where = f"{row.place}{machine}, {row.kind}, {row.checked}"
            lines.append(f"{own.name}: {row.usd_per_hour:g} USD per GPU-hour ({where}; {row.source_url or row.note})")
        if own.option is not None:
            made = "given in the file"
            if own.capacity is not None:
                made = f"estimated by the roofline, batch {own.capacity.batch}, limited by {own.capacity.limited_by}"
                made += f", MBU {own.efficiency.mbu_fraction:g}, MFU {own.efficiency.mfu_fraction:g}; measure it"
            lines.append(f"{own.name}: {own.option.capacity_requests_per_s:.3g} requests/s and replica, {made}")
    return lines
