"""Rows that the package ships, and their names."""

import pytest

from costlab._internal.rows import by_spelling, named, shipped_rows
from costlab.catalog import gpus
from costlab.errors import UnknownNameError


def test_rows_come_as_they_were_written() -> None:
    assert shipped_rows("costlab.catalog", "gpus.toml", "gpu")[0]["name"] == gpus()[0].name


def test_every_spelling_finds_its_row_in_either_case() -> None:
    rows = by_spelling(gpus())
    for spec in gpus():
        for spelling in (spec.name, *spec.aliases):
            assert named("GPU", spelling.upper(), rows) is named("GPU", spelling.lower(), rows) is spec
    with pytest.raises(UnknownNameError, match="unknown GPU 'A10'; did you mean 'A10G'"):
        named("GPU", "A10", rows)
