"""Optional dependencies: imported where they are used, with an error that says how to install them."""

from importlib import import_module
from typing import Any

from costlab.errors import MissingExtraError

__all__ = ["require"]


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
