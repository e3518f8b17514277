"""An engine's curve: how far it stays behind the roofline, by the requests that it has in flight, as measured."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from costlab._internal import checks
from costlab.catalog import gpu as gpu_spec
from costlab.errors import InvalidValueError
from costlab.serving.measurements import Measurement, modelled, published_measurements

#: A curve needs at least this many points; two show no bend.
MIN_POINTS = 3


@dataclass(frozen=True, slots=True)
class EngineCurve:
    r"""The seconds between two tokens that an engine really needs, over those of the roofline, by requests in flight.

    .. math:: s(n) = \frac{t_\text{measured}(n)}{t_\text{roofline}(n)}

    Attributes
    ----------
    in_flight : tuple of int
        Requests that the engine answered at a time, >= 1, ascending; at least one.
    slowdowns : tuple of float, length of in_flight
        The ratio at each, > 0: 1.1 where a token took a tenth longer than the roofline says.
    source : str
        Who measured it, on what.

    Notes
    -----
    Between two points the ratio is interpolated; before the first and beyond the last it keeps their value. That is a
    guess where more requests are in flight than were measured.

    Examples
    --------
    At 4 requests in flight a token took 1.1 times as long as the roofline says, at 8 it took 1.3 times. And at 6?

    >>> round(EngineCurve((4, 8), (1.1, 1.3)).slowdown(6), 3)
    1.2
    """

    in_flight: tuple[int, ...]
    slowdowns: tuple[float, ...]
    source: str = ""

    def __post_init__(self) -> None:
        checks.instance("in_flight", self.in_flight, tuple)
        checks.instance("slowdowns", self.slowdowns, tuple)
        if not self.in_flight or len(self.in_flight) != len(self.slowdowns):
            raise InvalidValueError("slowdowns", "one for each number in flight", self.slowdowns)
        for number in self.in_flight:
            checks.integer("in_flight", number, at_least=1)
        if any(later <= earlier for earlier, later in pairwise(self.in_flight)):
            raise InvalidValueError("in_flight", "ascending", self.in_flight)
        for ratio in self.slowdowns:
            checks.positive("slowdowns", ratio)

    def slowdown(self, in_flight: float) -> float:
        """The ratio with this many requests in flight, > 0."""
        number = checks.positive("in_flight", in_flight)
        points = tuple(zip(self.in_flight, self.slowdowns, strict=True))
        if number <= points[0][0]:
            return points[0][1]
        for (low, before), (high, after) in pairwise(points):
            if number <= high:
                return before + (after - before) * (number - low) / (high - low)
        return points[-1][1]


def engine_curve(gpu_name: str) -> EngineCurve | None:
    """The curve of an engine on one GPU of a kind, from what others published; None where no one did.

    Of several runs it takes the one measured at the most numbers of requests, in formats of at least 8 bits a weight.
    The ratio to the roofline is what carries over to another model on the same GPU; that it does is an assumption.

    Parameters
    ----------
    gpu_name : str
        As in the catalogue.

    Raises
    ------
    UnknownNameError
        If there is no such GPU.

    Examples
    --------
    With how many users at a time was an engine measured on an A10G, and how much slower than the roofline was it?

    >>> curve = engine_curve("A10G")
    >>> curve.in_flight, [round(ratio, 2) for ratio in curve.slowdowns]
    ((1, 5, 10), [1.05, 1.1, 1.1])
    """
    board = gpu_spec(gpu_name).name
    runs: dict[tuple[str | int, ...], list[Measurement]] = {}
    for row in published_measurements():
        counted = row.kind == "serving" and row.batch is not None and row.inter_token_s is not None
        if counted and row.gpu == board and row.gpus == 1 and row.bytes_per_weight >= 1:
            run = row.source, row.engine, row.model, row.scheme, row.input_tokens, row.output_tokens
            runs.setdefault(run, []).append(row)
    longest = max(runs.values(), key=len, default=[])
    if len(longest) < MIN_POINTS:
        return None
    rows = sorted(longest, key=lambda row: row.batch or 0)
    first = rows[0]
    return EngineCurve(
        tuple(row.batch or 0 for row in rows),
        tuple(row.measured / modelled(row) for row in rows),
        f"{first.engine} {first.engine_version}".strip() + f", {first.model}, {first.scheme} ({first.source_url})",
    )
