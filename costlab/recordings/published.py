"""What others have published where nothing was recorded here: sourced tables, and the ones nearest to a device."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import groupby
from typing import Final

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.catalog import GpuSpec, gpu
from costlab.errors import InvalidValueError, RecordingError
from costlab.serving import Measurement, model_spec, published_measurements

#: The experiments for which the rows of ``costlab.serving`` stand, and which kind of them.
_SERVED: Final = {"decode": "static", "serving": "serving"}

#: The shape that those experiments measure; of others' models the nearest in size is shown.
_MODEL: Final = "Llama-3-8B"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One figure of a published table.

    Attributes
    ----------
    quantity, value, unit : str, float, str
        What was measured, as our own recordings call it where they have it: ``copy``, ``int8 weight-only``.
    over : str
        The figure of the same table that this one is a speed-up over; empty where it is none.
    quality, detail : str
        What the source says of the quality at that speed, and what else to know; empty where there is nothing.
    """

    quantity: str
    value: float
    unit: str
    over: str = ""
    quality: str = ""
    detail: str = ""

    def __post_init__(self) -> None:
        checks.positive(self.quantity, self.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTable:
    """One measurement of others on one GPU.

    Attributes
    ----------
    experiment, gpu, model : str
        The experiment of ``costlab bench`` that measures the same; the GPU by its name in the catalogue; and what ran
        on it, empty where it was no model.
    source, library, note : str
        Who measured, with which library and version, and how.
    checked, source_url : datetime.date, str
        When and where it was read.
    figures : tuple of PublishedFigure
        What was measured.
    """

    experiment: str
    gpu: str
    model: str = ""
    source: str
    library: str
    checked: date
    source_url: str
    note: str
    figures: tuple[PublishedFigure, ...]

    def __post_init__(self) -> None:
        if not self.source_url.startswith("https://"):
            raise InvalidValueError("source_url", "the address that was read", self.source_url)
        quantities = [figure.quantity for figure in self.figures]
        if len(set(quantities)) < len(quantities):
            raise InvalidValueError("figures", "of different quantities", quantities)

    def figure(self, quantity: str) -> PublishedFigure:
        """The figure of a quantity. Raises an InvalidValueError if there is none."""
        for figure in self.figures:
            if figure.quantity == quantity:
                return figure
        raise InvalidValueError("quantity", f"one of {', '.join(f.quantity for f in self.figures)}", quantity)

    def speedup(self, quantity: str) -> float | None:
        """How many times as fast a quantity is as the one it is measured against; None where it is against none."""
        figure = self.figure(quantity)
        if not figure.over:
            return None
        ratio = figure.value / self.figure(figure.over).value
        return 1 / ratio if figure.unit in ("ms", "us") else ratio

    def lines(self) -> list[str]:
        """The table as text: whose it is, the figures, and its address."""
        ran = f"{self.model} on " if self.model else ""
        width, unit = (max(len(getattr(figure, name)) for figure in self.figures) for name in ("quantity", "unit"))
        lines = [f"{ran}{self.gpu}, by {self.source} ({self.library})"]
        for figure in self.figures:
            speedup = self.speedup(figure.quantity)
            times = "" if speedup is None else f"{speedup:.2f}x"
            words = [f"{times:<5}"] if any(one.over for one in self.figures) else []
            words += [word for word in (figure.quality, figure.detail) if word]
            value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.4g}"
            start = f"  {figure.quantity:<{width}} {value:>7} {figure.unit:<{unit}}"
            lines.append("  ".join([start, *words]).rstrip())
        return [*lines, f"  {self.note}", f"  checked {self.checked} at {self.source_url}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NearestPublished:
    """What was published nearest to a device.

    Attributes
    ----------
    experiment, asked, gpu : str
        The experiment, the GPU that was asked for, and the one that was measured: the same, or the nearest.
    nearness : str
        Why it is the nearest, in words.
    tables : tuple of PublishedTable
        All that was published on it.
    """

    experiment: str
    asked: str
    gpu: str
    nearness: str
    tables: tuple[PublishedTable, ...]

    def lines(self) -> list[str]:
        """What was published, as text; the first line says that it is not ours, and of which GPU it is."""
        head = f"published, not measured by us: {self.experiment} on {self.gpu}, {self.nearness}"
        return [head, *(line for table in self.tables for line in table.lines())]


@cache
def published_tables(experiment: str | None = None) -> tuple[PublishedTable, ...]:
    """All published tables, or those that stand for one experiment.

    For ``decode`` and ``serving`` these are the rows of :func:`costlab.serving.published_measurements`.

    Examples
    --------
    How much faster than dense was a vision model on an A100 with 2:4 sparsity in its MLPs, and at which quality?

    >>> table = next(table for table in published_tables("pruning") if table.gpu == "A100 80GB")
    >>> round(table.speedup("2:4 in the MLPs"), 2), table.figure("2:4 in the MLPs").quality
    (1.09, 'mIoU 0.5672')
    """
    tables = [
        PublishedTable(
            **{key: value for key, value in row.items() if key != "figure"},
            figures=tuple(PublishedFigure(**figure) for figure in row["figure"]),
        )
        for row in shipped_rows("costlab.recordings", "published.toml", "table")
    ]
    for name, kind in _SERVED.items():
        rows = sorted(published_measurements(kind=kind), key=_table_of)
        tables += [_served_table(name, tuple(group)) for _, group in groupby(rows, key=_table_of)]
    return tuple(table for table in tables if experiment in (None, table.experiment))


def _table_of(row: Measurement) -> tuple[str, ...]:
    return row.gpu, row.model, row.source, row.engine, row.engine_version, row.source_url, row.note


def _served_table(experiment: str, rows: tuple[Measurement, ...]) -> PublishedTable:
    """Rows of one model on one GPU from one source as a table, in the unit that each was published in."""
    first = rows[0]
    figures = []
    for row in rows:
        batch = "as many as fit" if row.batch is None else f"batch {row.batch}"
        boards = f", {row.gpus} GPUs" if row.gpus > 1 else ""
        per_s = row.output_tokens_per_s
        name = "prefill" if row.ttft_s is not None else "decode" if row.phase == "decode" else "whole"
        figures.append(
            PublishedFigure(
                quantity=f"{name}, {row.scheme}, {batch}, {row.input_tokens}/{row.output_tokens} tokens{boards}",
                value=per_s if per_s is not None else 1000 * row.measured,
                unit="ms" if per_s is None else "tokens/s",
            )
        )
    return PublishedTable(
        experiment=experiment,
        gpu=first.gpu,
        model=first.model,
        source=first.source,
        library=f"{first.engine} {first.engine_version}".strip(),
        checked=first.checked,
        source_url=first.source_url,
        note=first.note,
        figures=tuple(figures),
    )


def nearest_published(experiment: str, device: str) -> NearestPublished:
    """What others published of an experiment on a GPU, or else on the GPU that is nearest to it.

    Parameters
    ----------
    experiment : str
        Name as in ``costlab bench EXPERIMENT``.
    device : str
        A GPU of the catalogue, in any of its spellings: ``h200``.

    Raises
    ------
    UnknownNameError
        If the catalogue has no such GPU.
    RecordingError
        If nothing was published of the experiment.

    Notes
    -----
    Nearest is the GPU whose memory bandwidth, by the data sheet, differs by the smallest factor: it decides how fast a
    language model writes. Arithmetic, and what a kernel needs, may still differ. Of the models that were served there,
    the one nearest in size to Llama-3-8B is shown, which our own experiments run.

    Examples
    --------
    Which GPU is used for an L4, of which no copy bandwidth was found?

    >>> nearest_published("device", "L4").gpu
    'T4'
    """
    wanted = gpu(device)
    tables = published_tables(experiment)
    if not tables:
        raise RecordingError(f"nothing was published of {experiment}, as far as costlab/recordings/published.toml goes")
    specs = {table.gpu: gpu(table.gpu) for table in tables}
    found = min(specs.values(), key=lambda spec: _bandwidth_factor(wanted, spec))
    near = [table for table in tables if specs[table.gpu] is found]
    if experiment in _SERVED:
        size = min(_size_factor(table.model) for table in near)
        near = [table for table in near if _size_factor(table.model) == size]
    return NearestPublished(
        experiment=experiment, asked=wanted.name, gpu=found.name, nearness=nearness(wanted, found), tables=tuple(near)
    )


def _size_factor(model: str) -> float:
    return abs(math.log(model_spec(model).used_parameters / model_spec(_MODEL).used_parameters))


def _bandwidth_factor(one: GpuSpec, other: GpuSpec) -> float:
    return abs(math.log(one.bandwidth_gb_per_s / other.bandwidth_gb_per_s))


def nearness(wanted: GpuSpec, found: GpuSpec) -> str:
    """Why one GPU is taken for another, in words."""
    if wanted is found:
        return "the same GPU"
    return (
        f"nearest to the {wanted.name} in memory bandwidth "
        f"({found.bandwidth_gb_per_s:,.4g} and {wanted.bandwidth_gb_per_s:,.4g} GB/s)"
    )
