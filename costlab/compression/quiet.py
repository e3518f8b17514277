"""Silence for libraries that talk on stderr while they load."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr

__all__ = ["quiet"]


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, log lines and warnings inside; errors are raised as ever.

    torchao reports each compiled part that the machine cannot use, transformers draws bars: in a lesson that is noise
    between the reader and the result. Not for use in threads, because stderr and logging belong to the whole process.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
