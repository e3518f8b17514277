"""What every result says of its measuring: where, when and by which versions; and how that goes into a recording."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from costlab.recordings import Device, Recording, library_versions

__all__ = ["Measured", "measured_here", "measured_there"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A result of one device on one day.

    Attributes
    ----------
    device, device_name, driver : str
        As in a :class:`costlab.recordings.Recording`.
    library_versions : mapping of str to str
        Versions of what did the measuring.
    recorded_on : str
        ISO date.
    """

    device: str
    device_name: str
    driver: str
    library_versions: Mapping[str, str]
    recorded_on: str

    def _as_recording(
        self, experiment: str, command: str, repeats: int, rows: Sequence[Mapping[str, Any]], **beside: str
    ) -> Recording:
        """These rows as a recording; `beside` stands among the versions."""
        return Recording(
            experiment=experiment,
            device=self.device,
            device_name=self.device_name,
            driver=self.driver,
            library_versions={**self.library_versions, **beside},
            recorded_on=self.recorded_on,
            command=command,
            repeats=repeats,
            rows=tuple(rows),
        )


def measured_here(found: Device, libraries: Sequence[str]) -> dict[str, Any]:
    """The attributes of :class:`Measured` for a run on a device, now. On a CPU all is measured on one thread."""
    return {
        "device": found.short_name,
        "device_name": found.name if found.kind == "cuda" else f"{found.name}, one thread",
        "driver": found.driver,
        "library_versions": library_versions(*libraries),
        "recorded_on": date.today().isoformat(),
    }


def measured_there(recording: Recording) -> dict[str, Any]:
    """The attributes of :class:`Measured` that a recording holds; a price among its versions is no version."""
    versions = {name: version for name, version in recording.library_versions.items() if name != "price"}
    names = ("device", "device_name", "driver", "recorded_on")
    return {**{name: getattr(recording, name) for name in names}, "library_versions": versions}
