"""A progress bar on stderr, which is gone when the work is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["bar"]


@contextmanager
def bar(shown: bool, steps: int, what: str) -> Iterator[Callable[[str], None]]:
    """A call that says what was done in each step; without `shown` it does nothing."""
    if not shown:
        yield lambda name: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as drawn:
        task: Any = drawn.add_task(what, total=steps)
        yield lambda name: drawn.update(task, advance=1, description=name)
