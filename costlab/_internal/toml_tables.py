"""TOML files of costlab's own: read against a pydantic model, with errors that name the key and what it should be."""

import tomllib
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field, ValidationError

from costlab._internal.plain_files import read_plain
from costlab.errors import near_names

# Above 1e15 sums of products lose their meaning, and at last become infinite.
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]

Model = TypeVar("Model", bound=BaseModel)
Place = tuple[int | str, ...]


def read_text(path: Path, error: type[Exception]) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; `error` where it is none, or has no end."""
    return read_plain(path, error)


def parse_table(
    model: type[Model],
    text: str,
    name: str,
    kind: str,
    error: type[Exception],
    keys_beside: Callable[[Place], Iterable[str]],
    kinds: Collection[str] = (),
    unshown: Collection[str] = (),
) -> Model:
    """The text of a TOML file as a model.

    Parameters
    ----------
    model : type of pydantic.BaseModel
        What the file must be.
    text, name, kind : str
        The file, and what error messages call it: its name, and what it should have been.
    error : type of exception
        What is raised where the text is no TOML, or a key is missing, unknown or has a value that it may not have.
    keys_beside : callable
        The keys that are allowed where an unknown one was found.
    kinds : collection of str
        Names of the kinds of a table that may be one of several; pydantic puts them into a place as if they were keys.
    unshown : collection of str
        Keys whose values no error repeats. Nor is any table or list: one of these keys may be in it.
    """
    try:
        return model.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as cause:
        message = f"{name} is not TOML: {cause}"
    except RecursionError:
        message = f"{name} is not {kind}: it is nested too deeply"
    except ValidationError as cause:
        message = f"{name}: {'; '.join(_words(one, keys_beside, kinds, unshown) for one in cause.errors()[:3])}"
    # Raised here, apart from its cause: pydantic's own error holds all that was in the file.
    raise error(message)


def _got(value: object, hidden: bool) -> str:
    """What was found in a place, as far as it may be shown."""
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "a list"
    return f"a {'text' if isinstance(value, str) else type(value).__name__}, not shown" if hidden else repr(value)


def _words(
    found: Any, keys_beside: Callable[[Place], Iterable[str]], kinds: Collection[str], unshown: Collection[str]
) -> str:
    """A validation error as costlab words it: ``workload.peak_to_mean must be >= 1, got 0.5``."""
    parts = [part for part in found["loc"] if part not in kinds]
    place = ".".join(str(part + 1) if isinstance(part, int) else part for part in parts)
    got = _got(found["input"], any(part in unshown for part in parts))
    if found["type"] == "missing":
        return f"{place} is missing"
    if found["type"].startswith("union_tag"):
        about = found["ctx"]
        place += "." + about["discriminator"].strip("'")
        if found["type"] == "union_tag_not_found":
            return f"{place} is missing"
        near = near_names(about["tag"], {kind: kind for kind in kinds})
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{place} must be one of {about['expected_tags']}, got {about['tag']!r}{hint}"
    if found["type"] == "extra_forbidden":
        near = near_names(str(found["loc"][-1]), {key: key for key in keys_beside(found["loc"])})
        return f"unknown key {place}" + (f"; did you mean {near[0]!r}?" if near else "")
    if found["type"] in ("model_type", "model_attributes_type"):
        return f"{place} must be a table, got {got}"
    if found["type"] == "tuple_type":
        return f"{place} must be a list, got {got}"
    wanted = found["msg"].removeprefix("Input should be ").replace("greater than or equal to", ">=")
    wanted = wanted.replace("less than or equal to", "<=").replace("greater than", ">").replace("less than", "<")
    return f"{place} must be {wanted}, got {got}"
