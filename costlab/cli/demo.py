"""``costlab demo``: a service's day in half a minute, to show a colleague."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from costlab._internal.text import dollars
from costlab.cli.shared import JsonFlag, print_json, print_table
from costlab.units import SECONDS_PER_HOUR

if TYPE_CHECKING:
    from rich.panel import Panel

    from costlab.demo import DemoProgress, DemoResult

__all__ = ["demo", "panel"]

#: Where nobody sees a live display, a line stands for so many hours of the day.
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
    from costlab._internal.atomic_write import atomic_write
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
    typer.echo(f"the page: {path}")
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
    """Tells on stderr how the day goes: live where somebody looks at a terminal, else a line every few hours."""
    from rich.console import Console

    console = Console(stderr=True)
    if console.is_terminal and not console.is_dumb_terminal:
        from rich.live import Live

        with Live(console=console, transient=True, auto_refresh=False) as live:
            drawn_s = [0.0]

            def draw(now: DemoProgress) -> None:
                if time.monotonic() - drawn_s[0] >= REDRAWN_S:
                    live.update(panel(now), refresh=True)
                    drawn_s[0] = time.monotonic()

            yield draw
        return
    last = [0]

    def line(now: DemoProgress) -> None:
        from costlab.demo import progress_line

        step = int(now.time_s / SECONDS_PER_HOUR) // HOURS_A_LINE if now.done < now.total else 24
        if step > last[0] and now.done and not quiet:
            last[0] = step
            typer.echo(progress_line(now), err=True)

    yield line


def panel(now: DemoProgress) -> Panel:
    """How the day stands, for a terminal."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.progress_bar import ProgressBar
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

    table = Table(title=f"a service's day, seed {result.seed}", title_justify="left")
    for heading in BILL_HEADINGS:
        table.add_column(heading, justify="right" if heading else "left", overflow="fold")
    for row in bill_rows(result):
        table.add_row(*row)
    print_table(table)
    served = Table(title="who answered", title_justify="left")
    for heading in result.end.outcomes:
        served.add_column(heading, justify="right", overflow="fold")
    served.add_row(*(f"{count:,}" for count in result.end.outcomes.values()))
    print_table(served)
    for line in story(result):
        typer.echo(line)
    for alert in result.end.alerts:
        typer.echo(f"  {alert}")
