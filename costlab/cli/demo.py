"""``costlab demo`` and ``costlab sample-log``: a made-up day to look at, and made-up logs to report on."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from costlab._internal import checks
from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra
from costlab._internal.terminal import console
from costlab._internal.text import dollars
from costlab.cli.shared import JsonFlag, print_json, print_rows, say
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from rich.panel import Panel

    from costlab.demo import DemoProgress, DemoResult

#: Where no one sees a live display, a line is printed for this many hours of the day.
HOURS_A_LINE = 3

#: Seconds between two pictures of the live display: drawing one takes as long as some hundred requests.
REDRAWN_S = 0.1

COLOURS = {"normal": "green", "soft": "yellow", "hard": "red", "stopped": "red"}


def demo(
    requests: Annotated[int, typer.Option(metavar="N", help="Ordinary requests of the day.")] = 100_000,
    seed: Annotated[int, typer.Option(metavar="N", help="The same seed gives the same result.")] = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where the page goes; by default a new temporary folder.")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Leave the browser alone.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """A service's day in half a minute: cache, cascade, budget guard, ledger, report. Needs no network and no key."""
    from costlab.demo import demo_html, play_demo

    logging.getLogger("costlab.budget").addHandler(logging.NullHandler())  # what it says is shown below
    with _place(out) as path, atomic_write(path) as page:
        with _shown(quiet=as_json) as watch:
            result = play_demo(requests, seed, watch)
        page.write_text(demo_html(result), encoding="utf-8")
    if as_json:
        print_json(result.as_dict() | {"page": str(path)})
        return
    _print(result)
    say(f"the page: {path}")
    if not no_open and sys.stdout.isatty() and _has_browser():
        webbrowser.open(path.resolve().as_uri())


@contextmanager
def _place(out: Path | None) -> Iterator[Path]:
    """Where the page goes: the file that was named, or one in a new folder, which is gone where nothing came of it."""
    if out is not None:
        yield out
        return
    folder = Path(tempfile.mkdtemp(prefix="costlab-demo-"))
    try:
        yield folder / "demo.html"
    finally:
        with suppress(OSError):  # it holds the page
            folder.rmdir()


def _has_browser() -> bool:
    """Whether a browser has somewhere to open: on a machine without a screen it would take the terminal."""
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


@contextmanager
def _shown(quiet: bool) -> Iterator[Callable[[DemoProgress], None]]:
    """Tells on stderr how the day goes: live where someone looks at a terminal, else a line every few hours."""
    screen = console(stderr=True)
    if screen.is_terminal and not screen.is_dumb_terminal:
        from rich.live import Live

        with Live(console=screen, transient=True, auto_refresh=False) as live:
            drawn_s = 0.0

            def draw(now: DemoProgress) -> None:
                nonlocal drawn_s
                if time.monotonic() - drawn_s >= REDRAWN_S:
                    live.update(panel(now), refresh=True)
                    drawn_s = time.monotonic()

            yield draw
        return
    last = 0

    def line(now: DemoProgress) -> None:
        from costlab.demo import progress_line

        nonlocal last
        step = int(now.time_s / SECONDS_PER_HOUR) // HOURS_A_LINE if now.done < now.total else 24
        if step > last and now.done and not quiet:
            last = step
            say(progress_line(now), err=True)

    yield line


def panel(now: DemoProgress) -> Panel:
    """How the day is going, for a terminal."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    from costlab.demo import time_of_day

    figures = Table.grid(padding=(0, 1))
    figures.add_column(no_wrap=True, style="bold")
    figures.add_column(overflow="fold")
    figures.add_row("", ProgressBar(total=now.total, completed=now.done, width=50))
    figures.add_row("time of day", f"{time_of_day(now.time_s)}   {now.done:,} of {now.total:,} requests")
    spent, baseline = (dollars(bill.usd, cents=True) for bill in (now.here, now.baseline))
    figures.add_row("spent", f"[green]{spent}[/]   all to large, no guard: {baseline}")
    figures.add_row("right", f"{now.here.quality_fraction:.1%}   large alone: {now.baseline.quality_fraction:.1%}")
    for name, count in now.outcomes.items():
        share = count / now.done if now.done else 0.0
        colour = "red" if name == "refused" else "cyan"
        figures.add_row(name, f"[{colour}]{'━' * round(30 * share)}[/] {share:.1%}")
    levels = ", ".join(f"{name} [{COLOURS[level]}]{level}[/]" for name, level in now.levels.items())
    figures.add_row("budgets", levels)
    alerts = Text("\n".join(now.alerts[-3:]), style="yellow")
    return Panel(Group(figures, alerts), title="costlab demo: a service's day", expand=False)


def _print(result: DemoResult) -> None:
    from costlab.demo import BILL_HEADINGS, bill_rows, story

    figures = [heading for heading in BILL_HEADINGS if heading]
    print_rows(BILL_HEADINGS, bill_rows(result), numbers=figures, title=f"a service's day, seed {result.seed}")
    outcomes = result.end.outcomes
    print_rows(outcomes, [[f"{count:,}" for count in outcomes.values()]], numbers=outcomes, title="who answered")
    for line in story(result):
        say(line)
    for alert in result.end.alerts:
        say(f"  {alert}")


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
            say(f"wrote {path}", err=True)


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
