"""What a service pays beside its GPUs: electricity, the network, and the disk. And what it lets into the air."""

from dataclasses import dataclass
from datetime import date
from functools import cache

from costlab._internal import checks
from costlab._internal.rows import shipped_rows


def energy_kwh(board_power_w: float, hours: float, utilization_fraction: float = 1.0, pue: float = 1.0) -> float:
    r"""Electricity that a board takes from the grid, in kWh.

    .. math:: \frac{P \cdot u \cdot \text{PUE} \cdot h}{1000}

    Parameters
    ----------
    board_power_w : float
        Power limit of the board in watts, >= 0.
    hours : float
        Hours that it is on, >= 0.
    utilization_fraction : float
        Share of its limit that it takes on average, in 0..1.
    pue : float
        Power usage effectiveness: what the building takes for every watt of its computers, >= 1.

    Notes
    -----
    The host is left out: processors, memory and fans come on top. An idle board still takes a share of its limit.

    Examples
    --------
    What does an H100 take in a month of 730 hours at two thirds of its limit, with a PUE of 1.2?

    >>> round(energy_kwh(700, 730, 2 / 3, 1.2))
    409
    """
    power = checks.non_negative("board_power_w", board_power_w)
    share = checks.fraction("utilization_fraction", utilization_fraction)
    building = 1.0 + checks.non_negative("pue - 1", checks.finite("pue", pue) - 1.0)
    return power * share * building * checks.non_negative("hours", hours) / 1000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteFigure:
    """A published figure of what surrounds a GPU.

    Attributes
    ----------
    name, value, unit : str, float, str
        What it is called here, and the figure.
    place, year : str, int
        Where and when it holds.
    source, source_url, checked, note
        Who publishes it, where it was read and on which day, and what to know.
    """

    name: str
    value: float
    unit: str
    place: str
    year: int
    source: str
    source_url: str
    checked: date
    note: str = ""


@cache
def site_figures() -> dict[str, SiteFigure]:
    """All published figures, by name."""
    return {row["name"]: SiteFigure(**row) for row in shipped_rows("costlab.serving", "site.toml", "figure")}


def site_figure(name: str) -> SiteFigure:
    """The published figure called `name`, such as ``pue`` or ``grid, France``.

    Raises
    ------
    UnknownNameError
        If there is none.

    Examples
    --------
    How much carbon dioxide comes with a kWh in France?

    >>> figure = site_figure("grid, France")
    >>> (figure.value, figure.unit, figure.year)
    (56.0, 'g CO2e/kWh', 2023)
    """
    return site_figures()[checks.one_of("site figure", name, site_figures())]
