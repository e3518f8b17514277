"""Variants of a model side by side: size, memory, speed, quality and dollars, measured in one run."""

from __future__ import annotations

import gc
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.catalog import GpuPrice, gpu, gpu_price
from costlab.compression.measured import measured_here
from costlab.compression.progress import bar
from costlab.compression.quantization import usable_device
from costlab.compression.results import BenchmarkResult, BenchmarkRow, Latency
from costlab.compression.stopwatch import added_bytes, free_bytes, one_thread, seconds
from costlab.compression.subjects import Assessment, Subject
from costlab.errors import CostlabError, InvalidValueError, ModelTooLargeError
from costlab.recordings import Device, find_device
from costlab.serving import usd_per_mtok, usd_per_request

__all__ = ["Variant", "benchmark", "hourly_price"]

#: What a variant may fail with and be a row all the same: no kernel, no library, no memory.
FAILURES: Final = (CostlabError, ImportError, MemoryError, RuntimeError)

_LIBRARIES: Final = ("torch", "transformers", "torchao", "bitsandbytes", "onnxruntime", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to measure, made when its turn comes.

    Attributes
    ----------
    name : str
        What was done to it: ``int8-weight-only``.
    make : callable
        Makes the subject, on the device.
    model : str
        Which model it is a variant of.
    predicted_bytes : float, optional
        What its weights should take; where that is more than is free it is not made at all.
    """

    name: str
    make: Callable[[], Subject]
    model: str = "model"
    predicted_bytes: float | None = None


def benchmark(
    variants: Sequence[Variant],
    *,
    device: str | None = None,
    batch_sizes: Sequence[int] = (1, 32),
    repeats: int = 7,
    seed: int = 0,
    progress: bool = True,
    price: GpuPrice | None = None,
    free: int | None = None,
) -> BenchmarkResult:
    """Size, memory, speed, quality and price of variants of a model, each beside the first, which is the baseline.

    Parameters
    ----------
    variants : sequence of Variant
        What to measure, the baseline first, of one model.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one. The variants make their models there.
    batch_sizes : sequence of int
        Batches to time, each >= 1.
    repeats : int
        Timed steps at each batch size, >= 3, after one that is reported apart.
    seed : int
        Decides which of a pair is timed first.
    progress : bool
        Show a bar on stderr.
    price : GpuPrice, optional
        What an hour costs; by default AWS's list price of the GPU. The catalogue has no machines without a GPU, so that
        a CPU is charged as the smallest machine with one, a g4dn.xlarge: compare such dollars with each other only.
    free : int, optional
        Bytes of memory that a model may take; by default what the system says is free.

    Returns
    -------
    BenchmarkResult
        A row for each variant. One that cannot run (no kernel, no library, too little memory) is a row with its reason.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, two variants have one name, or CUDA is asked for and absent.
    ModelTooLargeError
        If the baseline does not fit into the memory.

    Notes
    -----
    On a CPU a time is processor time on one thread, on a GPU the time between two events: both leave out what other
    programs do. The baseline and a variant take turns, so that a machine that slows down slows both, and the ratio is
    the median over those pairs. Standard errors are of the sample of text; they say nothing of another text.
    """
    place = usable_device(device)
    found = find_device(place)
    batches = [checks.integer("batch_sizes", batch, at_least=1) for batch in batch_sizes]
    checks.integer("repeats", repeats, at_least=3)
    checks.integer("seed", seed)
    if not batches or not variants:
        raise InvalidValueError("variants and batch_sizes", "not empty", (len(variants), list(batch_sizes)))
    if len({(variant.model, variant.name) for variant in variants}) < len(variants):
        raise InvalidValueError("variants", "named differently", [variant.name for variant in variants])
    usd_per_hour, source = hourly_price(found, price)
    run = _Run(place, batches, repeats, random.Random(seed), usd_per_hour, free)  # noqa: S311
    with one_thread(place), bar(progress, len(variants), "measuring") as advance:
        rows = [run.baseline(variants[0])]
        advance(variants[0].name)
        for variant in variants[1:]:
            rows.append(run.beside(variant))
            advance(variant.name)
    return BenchmarkResult(
        rows=tuple(rows),
        repeats=repeats,
        seed=seed,
        usd_per_hour=usd_per_hour,
        price=source,
        **measured_here(found, _LIBRARIES),
    )


class _Run:
    """One run: the baseline, which stays, and the variants that come and go."""

    def __init__(
        self,
        place: str,
        batches: list[int],
        repeats: int,
        rng: random.Random,
        usd_per_hour: float | None,
        free: int | None,
    ) -> None:
        self._place, self._batches, self._repeats, self._rng = place, batches, repeats, rng
        self._usd_per_hour, self._free = usd_per_hour, free

    def baseline(self, variant: Variant) -> BenchmarkRow:
        """The baseline's row. It must run."""
        self._subject = self._made(variant)
        self._assessed = self._subject.assess()
        self._weights_bytes = self._subject.weights_bytes
        row = self._sized(variant, self._subject)
        latencies = tuple(self._alone(batch) for batch in self._batches)
        return self._judged(replace(row, latencies=latencies), self._assessed)

    def beside(self, variant: Variant) -> BenchmarkRow:
        """The row of a variant, timed in turn with the baseline; with a reason where it cannot run."""
        try:
            subject = self._made(variant)
            assessed = subject.assess()
            row = self._sized(variant, subject)
            latencies = tuple(self._in_turn(subject, batch) for batch in self._batches)
            return self._judged(replace(row, latencies=latencies), assessed)
        except FAILURES as error:
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            return BenchmarkRow(model=variant.model, variant=variant.name, reason=reason)
        finally:
            gc.collect()
            if self._place == "cuda":
                require("torch", "models").cuda.empty_cache()

    def _made(self, variant: Variant) -> Subject:
        free = free_bytes(self._place) if self._free is None else self._free
        if variant.predicted_bytes is not None and free is not None and variant.predicted_bytes > free:
            raise ModelTooLargeError(variant.name, variant.predicted_bytes, free, self._place)
        return variant.make()

    def _sized(self, variant: Variant, subject: Subject) -> BenchmarkRow:
        largest = max(self._batches)
        added = added_bytes(lambda: subject.step(largest)(), self._place)
        return BenchmarkRow(
            model=variant.model,
            variant=variant.name,
            disk_bytes=subject.disk_bytes,
            weights_bytes=subject.weights_bytes,
            peak_bytes=None if added is None else subject.weights_bytes + added,
            predicted_bytes=variant.predicted_bytes,
            size_ratio=subject.weights_bytes / self._weights_bytes,
            unit=subject.unit,
            facts=dict(getattr(subject, "facts", {})),
        )

    def _alone(self, batch: int) -> Latency:
        step = self._subject.step(batch)
        warm_up = seconds(step, self._place)
        return _latency(batch, warm_up, [seconds(step, self._place) for _ in range(self._repeats)], 1.0)

    def _in_turn(self, subject: Subject, batch: int) -> Latency:
        steps = (self._subject.step(batch), subject.step(batch))
        seconds(steps[0], self._place)
        warm_up = seconds(steps[1], self._place)
        took: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._repeats):
            for which in self._rng.sample((0, 1), 2):
                took[which].append(seconds(steps[which], self._place))
        ratio = statistics.median(mine / base for base, mine in zip(*took, strict=True))
        return _latency(batch, warm_up, took[1], ratio)

    def _judged(self, row: BenchmarkRow, assessed: Assessment) -> BenchmarkRow:
        pairs = zip(assessed.parts, self._assessed.parts, strict=True)
        changes = [mine - base for mine, base in pairs]
        same = [a == b for a, b in zip(assessed.answers, self._assessed.answers, strict=True)]
        per_s = next(one.units_per_s for one in row.latencies if one.batch == max(self._batches))
        usd, unit = None, "USD per million tokens" if row.unit == "token" else "USD per request"
        if self._usd_per_hour is not None:
            usd = (usd_per_mtok if row.unit == "token" else usd_per_request)(self._usd_per_hour, per_s)
        return replace(
            row,
            metric=assessed.metric,
            quality=assessed.value,
            quality_standard_error=_known(assessed.standard_error),
            quality_n=assessed.n,
            change=statistics.fmean(changes),
            change_standard_error=statistics.stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else None,
            agreement_fraction=sum(same) / len(same),
            usd=usd,
            usd_unit=unit,
        )


def _known(value: float) -> float | None:
    """None instead of a NaN, which a recording cannot hold."""
    return None if math.isnan(value) else value


def _latency(batch: int, warm_up_s: float, took: list[float], ratio: float) -> Latency:
    median = statistics.median(took)
    return Latency(
        batch=batch,
        median=1000 * median,
        least=1000 * min(took),
        greatest=1000 * max(took),
        warm_up_ms=1000 * warm_up_s,
        units_per_s=batch / median,
        ratio=ratio,
    )


def hourly_price(device: Device, price: GpuPrice | None) -> tuple[float | None, str]:
    """USD for an hour of a device, and where the price comes from; None where the catalogue has none."""
    try:
        name = "T4" if device.kind == "cpu" else gpu(device.name.removeprefix("NVIDIA ").removeprefix("Tesla ")).name
        found = gpu_price(name, snapshot="list", provider="aws") if price is None else price
    except LookupError as error:
        return None, f"none: {error}"
    source = f"{found.gpu} {found.pricing}, {found.place}, {found.checked}"
    if device.kind == "cpu" and price is None:
        source += " (the whole machine, for its CPU)"
    return found.usd_per_hour, source
