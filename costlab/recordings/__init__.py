"""Measurements made elsewhere, with what made them: the files beside this module, one per experiment and device.

A recording is written by ``costlab bench EXPERIMENT --record`` on the machine that it describes, never by hand. Where
there is none, :func:`nearest_published` has what others measured, with its source.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from shlex import quote
from typing import Any, TypeAlias

from costlab import __version__
from costlab._internal import checks
from costlab._internal.atomic_write import atomic_write
from costlab._internal.plain_files import read_plain
from costlab.errors import InvalidValueError, RecordingError
from costlab.recordings.published import (
    NearestPublished,
    PublishedFigure,
    PublishedTable,
    nearest_published,
    published_tables,
)

__all__ = [
    "FOLDER",
    "Device",
    "NearestPublished",
    "PublishedFigure",
    "PublishedTable",
    "Recording",
    "Row",
    "bench_command",
    "find_device",
    "find_recording",
    "library_versions",
    "load_recording",
    "nearest_published",
    "published_tables",
    "recorded_devices",
    "save_recording",
]

#: The folder of the recordings; inside the package, so that they travel with it.
#:
#: :meta hide-value:
FOLDER = Path(__file__).parent

# A measured quantity, as in JSON. Where an experiment has rows of several kinds, ``what`` tells them apart.
Row: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Device:
    """A device to measure on.

    Attributes
    ----------
    kind : {'cuda', 'cpu'}
        What torch calls it.
    name : str
        As it reports itself.
    short_name : str
        In the names of recordings: ``h200``, ``t4``, ``cpu``.
    driver : str
        Version of the GPU's driver; ``none`` on a CPU.
    memory_gib : float or None
        Memory of the GPU in GiB; None on a CPU.
    cores : int
        CPU cores that this process may use.
    """

    kind: str
    name: str
    short_name: str
    driver: str
    memory_gib: float | None
    cores: int


def find_device(kind: str | None = None) -> Device:
    """The GPU if there is one, otherwise the CPU.

    Parameters
    ----------
    kind : {'cuda', 'cpu'}, optional
        Insist on this kind.

    Raises
    ------
    InvalidValueError
        If ``'cuda'`` is asked for and no GPU answers, or ``nvidia-ml-py``, which asks it, is not installed.
    UnknownNameError
        If `kind` is neither.
    """
    if kind is not None:
        checks.one_of("device", kind, ("cuda", "cpu"))
    gpu = None if kind == "cpu" else _first_gpu()
    if gpu is not None:
        return gpu
    if kind == "cuda":
        raise InvalidValueError("device", "one that is present (nvidia-ml-py finds no GPU here)", kind)
    return Device("cpu", _cpu_name(), "cpu", "none", None, _cores())


def _first_gpu() -> Device | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
        name, driver = pynvml.nvmlDeviceGetName(gpu), pynvml.nvmlSystemGetDriverVersion()
        memory_gib = pynvml.nvmlDeviceGetMemoryInfo(gpu).total / 2**30
    except pynvml.NVMLError:
        return None
    finally:
        pynvml.nvmlShutdown()
    # "NVIDIA A100-SXM4-80GB" -> "a100-sxm4-80gb", "Tesla T4" -> "t4", "NVIDIA H200" -> "h200"
    words = [word for word in name.lower().split() if word not in ("nvidia", "tesla", "geforce")]
    return Device("cuda", name, "-".join(words), driver, memory_gib, _cores())


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def library_versions(*names: str) -> dict[str, str]:
    """The versions of those of the libraries that are installed.

    ``python`` is Python's own, and ``costlab`` this package's, installed or not.
    """
    own = {"python": platform.python_version(), "costlab": __version__}
    versions = {}
    for name in names:
        try:
            versions[name] = own.get(name) or version(name)
        except PackageNotFoundError:
            continue
    return versions


def bench_command(experiment: str, options: Mapping[str, object]) -> str:
    """The command that records an experiment.

    Parameters
    ----------
    experiment : str
        Its name.
    options : mapping of str to object
        What was chosen, by the option's name without dashes in front: ``copy_mib`` is ``--copy-mib``. An option with a
        list or tuple is repeated; one that is None or empty is left out; of a true one the name alone is written.

    Examples
    --------
    How are int8 and fp32 compared on a CPU?

    >>> bench_command("quantization", {"device": "cpu", "scheme": ["fp32", "int8"], "batch": None})
    'costlab bench quantization --device cpu --scheme fp32 --scheme int8 --record'
    """
    words = ["costlab", "bench", experiment]
    for name, value in options.items():
        values = value if isinstance(value, list | tuple) else () if value is None else (value,)
        for each in values:
            words.append(f"--{name.replace('_', '-')}")
            if each is not True:
                words.append(quote(str(each).removesuffix(".0")))
    return " ".join([*words, "--record"])


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
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name):
                raise RecordingError(f"a recording without {field.name} proves nothing")
        try:
            date.fromisoformat(self.recorded_on)
        except (TypeError, ValueError):
            raise RecordingError(f"recorded_on must be an ISO date, got {self.recorded_on!r}") from None

    @classmethod
    def from_run(
        cls,
        experiment: str,
        rows: Iterable[Row],
        *,
        device: Device,
        versions: Mapping[str, str],
        options: Mapping[str, object] | None = None,
        repeats: int = 1,
    ) -> Recording:
        """What an experiment has measured here, today.

        Parameters
        ----------
        experiment, rows, repeats
            As in the recording.
        device : Device
            What was measured.
        versions : mapping of str to str
            Of what did the measuring; see :func:`library_versions`.
        options : mapping of str to object, optional
            What :func:`bench_command` needs to say how to measure it again.
        """
        return cls(
            experiment=experiment,
            device=device.short_name,
            device_name=device.name,
            driver=device.driver,
            library_versions=versions,
            recorded_on=date.today().isoformat(),
            command=bench_command(experiment, options or {}),
            repeats=repeats,
            rows=tuple(rows),
        )


def recorded_devices(experiment: str, folder: Path | None = None) -> tuple[str, ...]:
    """Short names of the devices on which `experiment` was recorded."""
    names = (path.stem for path in (folder or FOLDER).glob(f"{experiment}-*.json"))
    return tuple(sorted(name.removeprefix(f"{experiment}-") for name in names))


def find_recording(experiment: str, device: str, folder: Path | None = None) -> Recording | None:
    """The recording of `experiment` on `device`, or None where none was made yet.

    Raises
    ------
    RecordingError
        If the file is there but cannot be trusted.
    """
    path = (folder or FOLDER) / f"{experiment}-{device}.json"
    return load_recording(path) if path.exists() else None


def load_recording(path: Path) -> Recording:
    """The recording in the file `path`.

    Raises
    ------
    RecordingError
        If the file is torn, foreign or incomplete; the message names it.
    """
    try:
        data = json.loads(read_plain(path, RecordingError))
        return Recording(**{**data, "rows": tuple(data["rows"])})
    except (ValueError, TypeError, KeyError) as error:
        raise RecordingError(f"{path.name} is no recording: {error}") from error


def save_recording(recording: Recording, folder: Path | None = None) -> Path:
    """Write a recording to its file, whole or not at all; an older one is replaced."""
    path = (folder or FOLDER) / f"{recording.experiment}-{recording.device}.json"
    text = json.dumps(asdict(recording), indent=1, allow_nan=False) + "\n"
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")
    return path
