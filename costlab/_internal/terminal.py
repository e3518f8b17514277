"""What goes to a terminal: text from outside is shown there, and never obeyed.

While a command runs, `sys.stdout` and `sys.stderr` escape control characters, whoever writes: the command, a warning, a
log record, a traceback. Tables and bars need some of their own; they are drawn by :func:`console`, which escapes what
they hold.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from costlab._internal.text import harmless

if TYPE_CHECKING:
    from rich.console import Console


class _Escaping:
    """A stream of text that shows control characters but for ends of lines and tabs."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # where rich writes what it has drawn

    def write(self, text: str) -> int:
        """Write a text; how much of it there was."""
        self.rich_proxied_file.write(harmless(text))
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


@contextmanager
def escaping() -> Iterator[None]:
    """Nothing that is printed until the block ends is obeyed by a terminal."""
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", _Escaping(stream)) for stream in before)
    try:
        yield
    except Exception:
        traceback.print_exc()  # here, since it may quote a file
        sys.exit(1)
    finally:
        sys.stdout, sys.stderr = before


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """Draws tables and bars."""
    from rich.console import Console
    from rich.segment import Segment

    class Escaping(Console):
        def render(self, *arguments: Any, **options: Any) -> Iterator[Segment]:
            for segment in super().render(*arguments, **options):
                yield segment if segment.control else Segment(harmless(segment.text), segment.style)

    return Escaping(stderr=stderr, width=width)
