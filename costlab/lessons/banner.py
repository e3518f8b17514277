"""The first output of every lesson: what it runs on."""

from costlab import __version__
from costlab.recordings.device import find_device

__all__ = ["banner"]


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
