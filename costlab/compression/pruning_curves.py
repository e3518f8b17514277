"""From the rows of a study of pruning to the curves that are drawn: quality and bytes against the share of zeros."""

from __future__ import annotations

from costlab.compression.results import BenchmarkResult, BenchmarkRow
from costlab.errors import InvalidValueError

__all__ = ["bytes_by_zeros", "quality_by_zeros"]


def quality_by_zeros(result: BenchmarkResult, *, model: str | None = None) -> dict[str, list[tuple[float, float]]]:
    """For each pattern, and each fine-tuned, pairs of share of zeros and quality, from the dense model on.

    Parameters
    ----------
    result : BenchmarkResult
        Of :func:`costlab.compression.pruning_study`.
    model : str, optional
        By default its first.

    Returns
    -------
    dict
        Named ``unstructured``, ``unstructured, tuned`` and so on; for :func:`costlab.plotting.plot_pruning`.

    Raises
    ------
    InvalidValueError
        If the model has no measured row ``dense``.
    """
    first, rows = _rows(result, model)
    curves: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        head, _, ending = row.variant.partition(", ")
        pattern = head.split(" ")[0]
        if pattern == "masked" or ending not in ("", "tuned"):
            continue
        curve = curves.setdefault(f"{pattern}, {ending}" if ending else pattern, [(0.0, first.quality or 0.0)])
        curve.append((row.facts["sparsity_fraction"], row.quality or 0.0))
    return {name: sorted(curve) for name, curve in curves.items()}


def bytes_by_zeros(result: BenchmarkResult, *, model: str | None = None) -> dict[str, list[tuple[float, float]]]:
    """For each way to store a model pruned anywhere, pairs of share of zeros and bytes.

    Parameters
    ----------
    result : BenchmarkResult
        Of :func:`costlab.compression.pruning_study`.
    model : str, optional
        By default its first.

    Returns
    -------
    dict
        Named ``dense``, ``zlib`` and ``CSR``; for :func:`costlab.plotting.plot_pruned_bytes`.

    Raises
    ------
    InvalidValueError
        If the model has no measured row ``dense``.
    """
    first, rows = _rows(result, model)
    curves: dict[str, list[tuple[float, float]]] = {"dense": [], "zlib": [], "CSR": []}
    for row in (first, *rows):
        if row is first or (row.variant.startswith("unstructured") and "," not in row.variant):
            zeros = row.facts["sparsity_fraction"]
            sizes = (float(row.weights_bytes or 0), row.facts["packed_bytes"], row.facts["csr_bytes"])
            for name, size in zip(curves, sizes, strict=True):
                curves[name].append((zeros, size))
    return {name: sorted(curve) for name, curve in curves.items()}


def _rows(result: BenchmarkResult, model: str | None) -> tuple[BenchmarkRow, list[BenchmarkRow]]:
    """The dense row of a model, and its others that were measured."""
    model = result.rows[0].model if model is None else model
    rows = [row for row in result.rows if row.model == model and not row.reason]
    first = next((row for row in rows if row.variant == "dense"), None)
    if first is None:
        raise InvalidValueError("model", "one whose dense variant was measured", model)
    return first, [row for row in rows if row is not first]
