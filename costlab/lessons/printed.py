"""What a lesson prints beside its own results: what it runs on, guesses beside answers, recordings."""

from costlab import __version__
from costlab._internal import checks
from costlab.recordings import find_device, find_recording, recorded_devices


def banner(live: str = "everything", recorded: str = "nothing") -> None:
    """Print what this notebook runs on, what it measures here and what it shows from a recording.

    Parameters
    ----------
    live : str
        What is computed or measured on this machine.
    recorded : str
        What is shown as it was measured on another machine.
    """
    device = find_device()
    memory = "" if device.memory_gib is None else f", {device.memory_gib:.0f} GiB, driver {device.driver}"
    kind = "GPU" if device.kind == "cuda" else "no GPU; CPU"
    print(f"costlab {__version__} on {kind}: {device.name}{memory} ({device.cores} CPU cores)")
    print(f"live here: {live}")
    print(f"from recordings: {recorded}")


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


def recorded(experiment: str, device: str) -> None:
    """Print the recording of `experiment` on `device`, or that it was not made yet and how to make it.

    Parameters
    ----------
    experiment : str
        Name as in ``costlab bench EXPERIMENT``.
    device : str
        Short name of the device: ``h200``, ``cpu``.
    """
    recording = find_recording(experiment, device)
    if recording is None:
        others = ", ".join(recorded_devices(experiment)) or "none"
        print(f"{experiment} on {device}: not recorded yet (recorded devices: {others})")
        print(f"to record it there: costlab bench {experiment} --record")
        return
    versions = ", ".join(f"{name} {number}" for name, number in recording.library_versions.items())
    print(f"recorded {recording.recorded_on} on {recording.device_name} ({versions})")
    for row in recording.rows:
        spread = f"{row['least']:.3g} to {row['greatest']:.3g}"
        print(f"{row['quantity']:<12} {row['median']:>8.3g} {row['unit']:<8} ({spread}, {recording.repeats} repeats)")
