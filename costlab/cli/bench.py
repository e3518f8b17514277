"""``costlab bench``: measurements on the machine at hand."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from costlab.cli.shared import JsonFlag, bench, print_json, whole

__all__ = ["bench_device"]


@bench.command("device")
def bench_device(
    device: Annotated[str | None, typer.Option(help="cuda or cpu; by default the GPU if there is one.")] = None,
    repeats: Annotated[int, typer.Option(parser=whole, metavar="N", help="Timed repetitions, at least 5.")] = 9,
    copy_mib: Annotated[int | None, typer.Option(parser=whole, metavar="MIB", help="MiB copied.")] = None,
    size: Annotated[int | None, typer.Option(parser=whole, metavar="ROWS", help="Rows of the matrices.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Keep the result as a recording.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where to; by default the package's recordings.")] = None,
    as_json: JsonFlag = False,
) -> None:
    """How fast this device copies memory and multiplies matrices (needs torch)."""
    from costlab import recordings
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
        path = recordings.save(result, folder)
        typer.echo(f"recorded in {path.name}", err=True)
