"""Recordings as the notebooks show them."""

from costlab.recordings import available, find_recording

__all__ = ["recorded"]


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
        others = ", ".join(available(experiment)) or "none"
        print(f"{experiment} on {device}: not recorded yet (recorded devices: {others})")
        print(f"to record it there: costlab bench {experiment} --record")
        return
    versions = ", ".join(f"{name} {number}" for name, number in recording.library_versions.items())
    print(f"recorded {recording.recorded_on} on {recording.device_name} ({versions})")
    for row in recording.rows:
        spread = f"{row['least']:.3g} to {row['greatest']:.3g}"
        print(f"{row['quantity']:<12} {row['median']:>8.3g} {row['unit']:<8} ({spread}, {recording.repeats} repeats)")
