"""``costlab sample-log``: a made-up log to try the report on."""

from __future__ import annotations

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["sample_log"]


def sample_log(
    context: typer.Context,
    out: Annotated[Path, typer.Argument(help="The file to write: .csv or .parquet.")],
    requests: Annotated[
        int | None, typer.Option(metavar="N", help="Rows; 100,000, or a million for the capstone.")
    ] = None,
    days: Annotated[int, typer.Option(metavar="N", help="Days covered.")] = 7,
    tenants: Annotated[int, typer.Option(metavar="N", help="Teams that share the service.")] = 8,
    unpriced_fraction: Annotated[
        float, typer.Option(metavar="F", help="Share of the medium tier's requests without a price.")
    ] = 0.01,
    runaway: Annotated[bool, typer.Option("--runaway", help="Let one client run away on the last day, 14:00.")] = False,
    gpu_hours: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write GPU hours too: .csv or .parquet.")
    ] = None,
    gpus: Annotated[int, typer.Option(metavar="N", help="GPUs in that file.")] = 4,
    capstone: Annotated[
        bool,
        typer.Option("--capstone", help="The capstone's company instead: its day and, with --gpu-hours, its GPUs."),
    ] = False,
    seed: Annotated[int | None, typer.Option(metavar="N", help="The same seed gives the same log; 0, or 10.")] = None,
) -> None:
    """A made-up log of four tiers, busy afternoons and unequal tenants, to try `costlab report` on."""
    import numpy as np

    from costlab import synthetic
    from costlab._internal import checks

    for path in (out, gpu_hours):
        if path is not None and path.suffix not in (".csv", ".parquet"):
            raise InvalidValueError("a file to write", "one that ends in .csv or .parquet", path.name)
    if gpu_hours is not None and gpu_hours.resolve() == out.resolve():
        raise InvalidValueError("gpu_hours", "another file than that of the log", gpu_hours.name)
    # Both files are begun before anything is made, so that both are there in the end or neither.
    with atomic_write(out) as log_file, nullcontext() if gpu_hours is None else atomic_write(gpu_hours) as hours_file:
        if capstone:
            log, hours = _company(context, requests, seed)
        else:
            rng = np.random.default_rng(0 if seed is None else checks.integer("seed", seed))
            log = synthetic.sample_log(
                rng,
                100_000 if requests is None else requests,
                days=days,
                tenants=tenants,
                unpriced_fraction=unpriced_fraction,
                runaway=runaway,
            )
            hours = partial(synthetic.sample_gpu_hours, rng, days=days, gpus=gpus)
        _write(log, log_file, out.suffix)
        if hours_file is not None and gpu_hours is not None:
            _write(hours(), hours_file, gpu_hours.suffix)
    for path in (out, gpu_hours):
        if path is not None:
            typer.echo(f"wrote {path}", err=True)


def _company(context: typer.Context, requests: int | None, seed: int | None) -> tuple[object, Callable[[], object]]:
    """The day of the capstone's company, and what makes its GPU hours. Only its size and seed can be chosen."""
    from costlab import capstone

    for name in ("days", "tenants", "unpriced_fraction", "runaway", "gpus"):
        source = context.get_parameter_source(name)
        if source is not None and source.name != "DEFAULT":
            option = "--" + name.replace("_", "-")
            raise InvalidValueError("--capstone", f"given without {option}", f"both, and {option} is part of its story")
    chosen = {name: value for name, value in {"requests": requests, "seed": seed}.items() if value is not None}
    log = capstone.request_log(**chosen)
    return capstone.request_table(log), partial(capstone.gpu_table, log)


def _write(table: object, path: Path, kind: str) -> None:
    with extra("usage"):
        import pyarrow.csv
        import pyarrow.parquet
    if kind == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path, compression="zstd")
