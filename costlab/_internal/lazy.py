"""Packages whose names are loaded on first use: importing one costs nothing and needs no optional library."""

from __future__ import annotations

import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def lazy_package(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package that lists its names once, for type checkers and for Python.

    ::

        if TYPE_CHECKING:
            from costlab.router.cascade import Cascade as Cascade
        else:
            __getattr__, __dir__ = lazy_package(__name__)

    Parameters
    ----------
    package : str
        Its ``__name__``. No module in it may be named like a name that it exports: once imported, the module would
        hide the name.
    """

    @cache
    def homes() -> dict[str, str]:
        """The module of each name, read from the imports that a type checker sees."""
        import ast

        source = sys.modules[package].__spec__.loader.get_source(package)  # type: ignore[union-attr]
        blocks = (node.body for node in ast.parse(source).body if isinstance(node, ast.If))
        imports = (node for body in blocks for node in body if isinstance(node, ast.ImportFrom))
        return {alias.name: str(node.module) for node in imports for alias in node.names if alias.asname}

    def get(name: str) -> Any:
        if name == "__all__":
            return sorted(homes())
        if name.startswith("__") or name not in homes():
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(import_module(homes()[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes()})

    return get, names
