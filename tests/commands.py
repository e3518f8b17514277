"""The command line as a user meets it: exit status, what is printed, and what is said on stderr."""

from collections.abc import Callable

import pytest

from costlab.cli import main

__all__ = ["Run", "command_line"]

Run = Callable[..., tuple[int, str, str]]


def command_line(capsys: pytest.CaptureFixture[str], *first: str) -> Run:
    """Calls ``costlab`` with the words `first` and those given."""

    def call(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*first, *words])
        out, err = capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return ended.value.code, out, err

    return call
