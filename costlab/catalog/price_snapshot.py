"""The collection of API prices that is installed, and its day."""

from dataclasses import dataclass
from datetime import date
from functools import cache

from costlab._internal.rows import shipped_rows


@dataclass(frozen=True, slots=True)
class ApiSnapshot:
    """The collection of API prices in use: release `version` of ``genai-prices``, whose prices hold on `date`.

    `dated` is False for a release whose day we do not know: its prices are at least as new as `date`.
    """

    version: str
    date: date
    dated: bool = True


@cache
def api_snapshot() -> ApiSnapshot:
    """The collection of API prices that is installed, and the day for which it holds.

    Notes
    -----
    The library does not say when a release was made. For the releases we know, the day is the newest price change in it
    that was not announced for later (``api_snapshots.toml``); for another, that of the newest release we know: its
    prices are at least that new.
    """
    from importlib.metadata import version  # here, since it takes a fifth of the time of importing the calculator

    installed = version("genai-prices")
    rows = shipped_rows("costlab.catalog", "api_snapshots.toml", "snapshot")
    days: dict[str, date] = {row["version"]: row["date"] for row in rows}
    return ApiSnapshot(installed, days.get(installed, max(days.values())), installed in days)
