"""Predict, then compute."""

from costlab._internal import checks

__all__ = ["reveal"]


def reveal(guess: float | None, actual: float, unit: str) -> None:
    """Print the answer beside the reader's guess.

    Parameters
    ----------
    guess : float or None
        The guess; None (as in an untouched notebook) shows the answer alone.
    actual : float
        The computed value.
    unit : str
        Printed after both.
    """
    shown = f"{_plain(checks.finite('actual', actual))} {unit}".strip()
    if guess is None:
        print(f"computed: {shown} (you did not guess; the next surprise is worth a try)")
        return
    try:
        guessed = checks.finite("guess", guess)
    except ValueError:
        print(f"computed: {shown} (your guess was not a number: {guess!r})")
        return
    print(f"computed: {shown}; your guess: {_plain(guessed)} {unit} ({_distance(guessed, actual)})")


def _plain(number: float) -> str:
    """Four significant digits, never as a power of ten up to a billion: 133,800 rather than 1.338e+05."""
    rounded = float(f"{number:.4g}")
    return f"{rounded:,.0f}" if 1e4 <= abs(rounded) < 1e9 else f"{rounded:,.4g}"


def _distance(guess: float, actual: float) -> str:
    if guess * actual <= 0:
        return "right" if guess == actual else "not even the same sign" if guess * actual < 0 else "far off"
    ratio = max(guess / actual, actual / guess)
    if ratio < 1.1:
        return "within 10 %: well guessed"
    return f"{ratio:.1f} times too {'high' if abs(guess) > abs(actual) else 'low'}"
