"""Negotiated discounts as a user gives them: one share for all, or a small file with one for each provider."""

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from costlab._internal.toml_tables import parse_table, read_text
from costlab.catalog import Discounts
from costlab.catalog.provider_ids import one_provider
from costlab.errors import CostlabError, InvalidValueError, UnknownNameError

Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class DiscountFileError(CostlabError, ValueError):
    """A file of discounts that cannot be used; the message names the file, the key and what it should be."""


class _DiscountFile(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    everywhere: Share = 0.0
    providers: dict[str, Share] = {}


def parse_discounts(text: str, name: str = "the discounts") -> Discounts:
    """Discounts from the text of a TOML file; error messages call it `name`.

    Raises
    ------
    DiscountFileError
        If the text is no TOML, a key is unknown or has a value that is no share, or a provider is unknown or twice
        there.

    Examples
    --------
    >>> print(parse_discounts('''
    ... everywhere = 0.05
    ... [providers]
    ... azure = 0.12
    ... '''))
    12 % off the list prices of azure, 5 % off those of all others
    """
    file = parse_table(_DiscountFile, text, name, "a file of discounts", DiscountFileError, _keys_beside)
    by_provider: dict[str, float] = {}
    for spelling, off in file.providers.items():
        try:
            provider = one_provider(spelling).id
        except UnknownNameError as error:
            raise DiscountFileError(f"{name}: providers.{spelling}: {error}") from error
        if provider in by_provider:
            raise DiscountFileError(f"{name}: providers.{spelling} is {provider}, which has a discount already")
        by_provider[provider] = off
    return Discounts(file.everywhere, by_provider)


def load_discounts(option: str) -> Discounts:
    """Discounts as the option ``--discount`` has them: a share (``0.12``), or the path of a TOML file.

    Parameters
    ----------
    option : str
        A number in 0..1 (1 excluded), or a path. The file has the share off every list price under `everywhere`, and
        that of single providers in the table `providers`, named as the catalogue or a log calls them.

    Raises
    ------
    InvalidValueError
        If it is a number outside the domain, or neither a number nor a file.
    DiscountFileError
        As :func:`parse_discounts`.
    OSError
        If it is no number, and the file cannot be read.

    Examples
    --------
    >>> print(load_discounts("0.12"))
    12 % off the list prices of all providers
    """
    try:
        share = float(option)
    except ValueError:
        path = Path(option)
        if path.suffix.lower() != ".toml" and not path.exists():
            raise InvalidValueError("discount", "a share such as 0.12, or a file of discounts", option) from None
        return parse_discounts(read_text(path, DiscountFileError), path.name)
    return Discounts(share)


def _keys_beside(place: tuple[int | str, ...]) -> tuple[str, ...]:
    return tuple(_DiscountFile.model_fields)
