"""The policy file: its keys, their checks, and errors that say where the mistake is."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from costlab._internal.toml_tables import parse_table, read_text
from costlab.errors import BudgetFileError, CostlabError
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
    table = parse_table(PolicyFile, text, name, "a policy file", BudgetFileError, lambda _: PolicyTable.model_fields)
    try:
        return BudgetPolicy(**table.budget.model_dump())
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
    return parse_policy(read_text(path, BudgetFileError), path.name)
