"""What a lesson prints beside its own results: what it runs on, guesses beside answers, recordings."""

from inspect import signature
from pathlib import Path

from costlab import __version__
from costlab._internal import checks
from costlab.errors import RecordingError
from costlab.experiments import find_experiment
from costlab.recordings import (
    Recording,
    bench_command,
    find_device,
    find_recording,
    nearest_published,
    published_tables,
)


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
        print(f"computed: {shown}")
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


def recorded(experiment: str, device: str, folder: Path | None = None) -> None:
    """Print what was recorded of `experiment` on `device`, or else what others have published nearest to it.

    A recording is shown with its date, versions, command and device. Where there is none, the published figures are
    marked as not ours, with their source and what makes them the nearest, and with the command that would record our
    own.

    Parameters
    ----------
    experiment : str
        Name as in ``costlab bench EXPERIMENT``.
    device : str
        Short name of the device: ``h200``, ``cpu``.
    folder : pathlib.Path, optional
        Folder of the recordings, by default that of the package.

    Raises
    ------
    UnknownNameError
        If there is no such experiment, or no recording and no such GPU in the catalogue.
    RecordingError
        If it was neither recorded nor published: the lesson has nothing to show there.

    Examples
    --------
    What was measured of 4-bit weights on an H100?

    >>> recorded("quantization", device="h100")  # doctest: +ELLIPSIS
    published, not measured by us: quantization on H100, the same GPU
    Llama-3.1-8B on H100, by torchao (torchao, its README at commit fd6e4b1)
      bf16                         126.9 tokens/s         perplexity 7.54
    ...
    to record it ourselves, on the device: costlab bench quantization --device cuda --record
    """
    found = find_experiment(experiment)
    recording = find_recording(experiment, device, folder)
    if recording is not None:
        versions = ", ".join(f"{name} {number}" for name, number in recording.library_versions.items())
        print(f"recorded {recording.recorded_on} with {versions}")
        print(f"by {recording.command}")
        print(*_with_device(recording, list(found.recorded_lines(recording))), sep="\n")
        return
    takes_device = "device" in signature(found.measure).parameters
    command = bench_command(experiment, {"device": "cpu" if device == "cpu" else "cuda"} if takes_device else {})
    if device == "cpu" or not published_tables(experiment):
        raise RecordingError(
            f"{experiment} on {device} is neither recorded nor published: record it there with {command!r}, "
            "or add a published figure to costlab/recordings/published.toml"
        )
    print(*nearest_published(experiment, device).lines(), sep="\n")
    print(f"to record it ourselves, on the device: {command}")


def _with_device(recording: Recording, lines: list[str]) -> list[str]:
    """The lines of a result, after one with the device where the first does not name it."""
    return lines if recording.device_name in lines[0] else [f"on {recording.device_name}", *lines]
