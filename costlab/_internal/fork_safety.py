"""What must not be taken through a fork: open files of SQLite, and names that have to be unique."""

import os
import secrets
import weakref
from collections.abc import Callable
from itertools import count
from typing import Any


def after_fork(method: Callable[[], Any]) -> None:
    """Call a bound method in every child process that is forked from this one, while its object lives.

    Cheaper than asking for the number of the process each time, which is a call of the system.
    """
    if hasattr(os, "register_at_fork"):  # Windows has no fork
        reference = weakref.WeakMethod(method)

        def in_child() -> None:
            alive = reference()
            if alive is not None:
                alive()

        os.register_at_fork(after_in_child=in_child)


class UniqueNames:
    """Names that no one else makes: a random part, which is another one after a fork, and a number."""

    def __init__(self) -> None:
        self._begin()
        after_fork(self._begin)

    def _begin(self) -> None:
        self._prefix, self._numbers = secrets.token_hex(8), count()

    def __call__(self) -> str:
        """The next name."""
        return f"{self._prefix}-{next(self._numbers)}"
