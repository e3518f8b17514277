"""Commands print as wide as without a terminal, whatever runs the tests: pytest-xdist tells its workers a width."""

import pytest


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """No width is told."""
    monkeypatch.delenv("COLUMNS", raising=False)
