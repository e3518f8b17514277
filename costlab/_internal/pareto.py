"""The Pareto front: what nothing else beats in cost and quality at once."""

from collections.abc import Mapping

from costlab._internal import checks


def pareto_front(dots: Mapping[str, tuple[float, float]], *, less_is_better: bool = False) -> tuple[str, ...]:
    """Names of the alternatives that no other beats, the cheapest first.

    One beats another if it costs no more and is no worse, and differs in one of them.

    Parameters
    ----------
    dots : mapping of str to (float, float)
        Cost and quality of each.
    less_is_better : bool
        Whether a lower quality value is the better one, as of a perplexity.

    Returns
    -------
    tuple of str
        With equals side by side. A choice that is not among them can be replaced by one that is, without a loss.

    Raises
    ------
    InvalidValueError
        If a number is not finite.

    Notes
    -----
    Measured values carry errors: one that lies off the front by less than its standard error is as good as on it.

    Examples
    --------
    Which of three models need no one consider?

    >>> pareto_front({"large": (10.0, 0.90), "medium": (6.0, 0.80), "small": (1.0, 0.85)})
    ('small', 'large')
    """
    sign = -1.0 if less_is_better else 1.0
    known = {
        name: (checks.finite("cost", cost), sign * checks.finite("quality", quality))
        for name, (cost, quality) in dots.items()
    }
    front = [
        name
        for name, (cost, quality) in known.items()
        if not any(other != (cost, quality) and other[0] <= cost and other[1] >= quality for other in known.values())
    ]
    return tuple(sorted(front, key=lambda name: known[name]))
