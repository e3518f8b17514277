"""The tables of rows that the package ships as TOML files beside its modules."""

import tomllib
from importlib.resources import files
from typing import Any

__all__ = ["shipped_rows"]


def shipped_rows(package: str, file: str, table: str) -> tuple[dict[str, Any], ...]:
    """The rows of one table of a TOML file in a package, as they were written."""
    return tuple(tomllib.loads((files(package) / file).read_text(encoding="utf-8"))[table])
