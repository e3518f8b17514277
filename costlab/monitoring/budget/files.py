"""The policy file: its keys, their checks, and errors that say where the mistake is."""

import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from costlab.errors import BudgetFileError, CostlabError, near_names
from costlab.monitoring.budget.policy import BudgetPolicy

__all__ = ["load_policy", "parse_policy"]


class PolicyTable(BaseModel):
    """The keys of ``[budget]``; their meaning and the rest of their checks are those of :class:`BudgetPolicy`."""

    # Strict: "4000" is a text and true is no number, also where Python would take them for one.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    daily_soft_usd: float
    daily_hard_usd: float
    monthly_usd: float
    monthly_soft_usd: float | None = None
    emergency_fraction: float = 1.5
    timezone: str = "UTC"
    on_store_failure: Literal["refuse", "allow"] = "refuse"
    reservation_ttl_s: float = 600.0


class PolicyFile(BaseModel):
    """A file with a budget in it; other tables are other programs' business."""

    model_config = ConfigDict(frozen=True, strict=True)

    budget: PolicyTable


def parse_policy(text: str, name: str = "the policy") -> BudgetPolicy:
    r"""A policy from the text of a TOML file with a table ``[budget]``; `name` stands in error messages.

    Raises
    ------
    BudgetFileError
        If the text is no TOML, or a key is missing, unknown or has a value that it may not have.

    Examples
    --------
    What does a file say that gives the source lesson's budget?

    >>> text = "[budget]\ndaily_soft_usd = 4000\ndaily_hard_usd = 5000\nmonthly_usd = 120000\n"
    >>> parse_policy(text).daily_hard_usd
    5000.0
    """
    try:
        table = PolicyFile.model_validate(tomllib.loads(text)).budget
        return BudgetPolicy(**table.model_dump())
    except tomllib.TOMLDecodeError as error:
        raise BudgetFileError(f"{name} is not TOML: {error}") from error
    except ValidationError as error:
        raise BudgetFileError(f"{name}: {'; '.join(_words(one) for one in error.errors()[:3])}") from error
    except CostlabError as error:
        raise BudgetFileError(f"{name}: budget.{error}") from error


def load_policy(path: str | Path) -> BudgetPolicy:
    """The policy in a TOML file.

    Raises
    ------
    BudgetFileError
        If the file is not UTF-8, or as :func:`parse_policy`.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise BudgetFileError(f"{path.name} is not a text in UTF-8") from error
    return parse_policy(text, path.name)


def _words(error: Any) -> str:
    """A validation error as costlab words it: ``budget.daily_hard_usd must be a valid number, got 'much'``."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "missing":
        return f"{place} is missing"
    if error["type"] == "extra_forbidden":
        near = near_names(str(error["loc"][-1]), {key: key for key in PolicyTable.model_fields})
        return f"unknown key {place}" + (f"; did you mean {near[0]!r}?" if near else "")
    return f"{place} must be {error['msg'].removeprefix('Input should be ')}, got {error['input']!r}"
