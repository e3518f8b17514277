"""Optional dependencies: imported where they are used, with an error that says how to install them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from costlab.errors import ForeignModelError, MissingExtraError, MissingModelError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType


class extra:  # noqa: N801 - reads as a statement
    """Guards the imports of what an optional dependency group brings.

    ::

        with extra("models"):
            import torch

    The imports stay real ones, so a type checker knows what they bring.

    Raises
    ------
    MissingExtraError
        If a module imported in the block is not installed. A module that is there but lacks a dependency of its own
        raises its own error.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        # Only an import in the block itself has no further frame.
        if isinstance(error, ModuleNotFoundError) and error.name and traceback and traceback.tb_next is None:
            raise MissingExtraError(error.name.split(".")[0], self._name) from error


def model_folder(module: str, model: str, packages: Iterable[str], names: Iterable[str] | None = None) -> Path:
    """The folder of the installed package `module`, which carries a model and is not imported.

    Its own code wants more than costlab does, which is why `packages` are installed without their dependencies. Its
    files are read only if they are those that were published: `names`, by default all that are known of the package.

    Raises
    ------
    MissingModelError
        If the package is not installed; the message names `model` and the ``pip install`` line for `packages`.
    ForeignModelError
        If a file is missing, or is another than the one with this name in ``packaged_models.toml``.
    """
    import tomllib
    from importlib.resources import files

    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingModelError(model, packages)
    folder = Path(spec.submodule_search_locations[0])
    table = (files("costlab._internal") / "packaged_models.toml").read_text(encoding="utf-8")
    published = tomllib.loads(table)[module]
    for name in published if names is None else names:
        if _sha256(folder / name) != published[name]:
            raise ForeignModelError(model, name, packages)
    return folder


def _sha256(path: Path) -> str:
    """Of a file; empty where there is none."""
    import hashlib

    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
