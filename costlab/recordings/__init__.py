"""Measurements made elsewhere, with what made them: the files beside this module, one per experiment and device.

A recording is written by ``costlab bench EXPERIMENT --record`` on the machine that it describes, never by hand.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from costlab._internal.atomic_write import atomic_write
from costlab.errors import RecordingError

__all__ = ["FOLDER", "Recording", "available", "find_recording", "load", "save"]

#: The folder of the recordings; inside the package, so that they travel with it.
#:
#: :meta hide-value:
FOLDER = Path(__file__).parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """The rows of one experiment on one device.

    Attributes
    ----------
    experiment : str
        Name of the experiment, as in ``costlab bench EXPERIMENT``.
    device : str
        Short name of the device, as in the file's name: ``h200``, ``cpu``.
    device_name, driver : str
        As the device reports itself; the driver is ``none`` on a CPU.
    library_versions : mapping of str to str
        Versions of what did the measuring.
    recorded_on : str
        ISO date.
    command : str
        The command that made the recording.
    repeats : int
        Measurements behind each row's median and spread.
    rows : tuple of mapping
        One mapping per measured quantity: numbers and strings.
    """

    experiment: str
    device: str
    device_name: str
    driver: str
    library_versions: Mapping[str, str]
    recorded_on: str
    command: str
    repeats: int
    rows: tuple[Mapping[str, Any], ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name):
                raise RecordingError(f"a recording without {field.name} proves nothing")
        try:
            date.fromisoformat(self.recorded_on)
        except (TypeError, ValueError):
            raise RecordingError(f"recorded_on must be an ISO date, got {self.recorded_on!r}") from None


def available(experiment: str, folder: Path | None = None) -> tuple[str, ...]:
    """Short names of the devices on which `experiment` was recorded."""
    return tuple(
        sorted(path.stem.removeprefix(f"{experiment}-") for path in (folder or FOLDER).glob(f"{experiment}-*.json"))
    )


def find_recording(experiment: str, device: str, folder: Path | None = None) -> Recording | None:
    """The recording of `experiment` on `device`, or None where none was made yet.

    Raises
    ------
    RecordingError
        If the file is there but cannot be trusted.
    """
    path = (folder or FOLDER) / f"{experiment}-{device}.json"
    return load(path) if path.exists() else None


def load(path: Path) -> Recording:
    """The recording in the file `path`.

    Raises
    ------
    RecordingError
        If the file is torn, foreign or incomplete; the message names it.
    """
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return Recording(**{**data, "rows": tuple(data["rows"])})
    except (ValueError, TypeError, KeyError) as error:
        raise RecordingError(f"{path.name} is no recording: {error}") from error


def save(recording: Recording, folder: Path | None = None) -> Path:
    """Write a recording to its file, whole or not at all; an older one is replaced."""
    folder = folder or FOLDER
    path = folder / f"{recording.experiment}-{recording.device}.json"
    text = json.dumps(asdict(recording), indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")
    return path
