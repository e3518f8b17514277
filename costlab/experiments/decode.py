"""The study of decoding: a large model's shape with random weights, each time beside its floor."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, cast

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import (
    LLAMA_SHAPES,
    SCHEMES,
    LlamaShape,
    StudyResult,
    kv_cache_bytes,
    measured_bytes,
    quantize,
    random_llama,
    seconds,
    usable_device,
    weights_bytes,
)
from costlab.compression.instruments import added_bytes, one_thread, progress_bar
from costlab.compression.measuring import FAILURES, check_fits, hourly_price
from costlab.compression.quantization import computing_dtype, one_line, scheme_named
from costlab.compression.results import measured_here
from costlab.errors import InvalidValueError
from costlab.experiments.device import measure_device
from costlab.experiments.quantization import Batches, DeviceKind
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, bench_command, find_device
from costlab.serving import usd_per_mtok

if TYPE_CHECKING:
    import torch
    from pandas import DataFrame

#: The schemes that the study tries, the baseline first.
DECODE_SCHEMES: Final = {
    "cuda": ("bf16", "int8-weight-only", "int4-weight-only", "fp8"),
    "cpu": ("fp32", "bf16", "int8-weight-only"),
}

#: Batch sizes unless others are chosen.
BATCH_SIZES: Final = (1, 4, 16, 64)

_LIBRARIES: Final = ("torch", "torchao", "bitsandbytes", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRow:
    """One scheme at one batch size. Where it did not run, `reason` says why and what is measured is None.

    Attributes
    ----------
    scheme, phase, reason : str
        How the weights are stored; ``decode`` or ``prefill``; why it did not run, empty where it did.
    batch, tokens : int
        Sequences at once; tokens before the step, or tokens of each prompt.
    weights_bytes, peak_bytes : int or None
        All weights; and at its peak with cache and the numbers in between.
    median, least, greatest, tokens_per_s : float or None
        Milliseconds of a step, over the repeats; and tokens made, or read, of all sequences together.
    moved_bytes, operations : float
        What a step has to read, and to compute.
    memory_floor_ms, arithmetic_floor_ms : float
        Least time for each, at the copy bandwidth and the matrix rate measured in the same run.
    speedup, usd_per_mtok : float or None
        Times as fast as the first scheme in the same phase at the same batch; price of a million tokens at full use.
    """

    scheme: str
    phase: str
    batch: int
    tokens: int
    reason: str = ""
    weights_bytes: int | None = None
    peak_bytes: int | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    tokens_per_s: float | None = None
    moved_bytes: float = 0.0
    operations: float = 0.0
    memory_floor_ms: float = 0.0
    arithmetic_floor_ms: float = 0.0
    speedup: float | None = None
    usd_per_mtok: float | None = None

    @property
    def mbu_fraction(self) -> float | None:
        """Share of the copy bandwidth that the step used."""
        return None if self.median is None else self.memory_floor_ms / self.median

    @property
    def mfu_fraction(self) -> float | None:
        """Share of the matrix rate that the step used."""
        return None if self.median is None else self.arithmetic_floor_ms / self.median

    def line(self) -> str:
        """The row as text."""
        start = f"{self.scheme:<17} {self.phase:<7} batch {self.batch:<3}"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        faster = "" if self.speedup is None else f", {self.speedup:.2f}x"
        return (
            f"{start} {self.median:>9.4g} ms, {self.tokens_per_s:,.0f} tokens/s{faster}, "
            f"MBU {self.mbu_fraction:.0%}, MFU {self.mfu_fraction:.0%}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeResult(StudyResult[DecodeRow]):
    """Speed of a model's shape under several schemes.

    Where and when is told by the attributes of :class:`costlab.compression.StudyResult`.

    Attributes
    ----------
    rows : tuple of DecodeRow
        The schemes in turn, the baseline first.
    model, seed : str, int
        Name of the shape; its weights and tokens are random.
    compiled : bool
        Whether ``torch.compile`` with CUDA graphs ran it.
    copy_gb_per_s, matmul_tflop_per_s : float, mapping of str to float
        Bytes copied, read and written; and operations of matrix products of ``fp32`` and ``bf16``, in the same run.
    usd_per_hour, price : float or None, str
        What an hour of the device is taken to cost, and where that price comes from.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"run": "", "row": "rows"}

    rows: tuple[DecodeRow, ...]
    model: str
    compiled: bool
    copy_gb_per_s: float
    matmul_tflop_per_s: Mapping[str, float]
    seed: int
    usd_per_hour: float | None
    price: str

    def row(self, scheme: str, phase: str = "decode", batch: int = 1) -> DecodeRow:
        """The row of a scheme in a phase at a batch size. Raises an InvalidValueError if there is none."""
        known = dict.fromkeys(f"{row.scheme} {row.phase} {row.batch}" for row in self.rows)
        return self._find("scheme, phase and batch", known, scheme=scheme, phase=phase, batch=batch)

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each scheme, phase and batch size."""
        with extra("plots"):
            import pandas as pd
        rows = [{**asdict(row), "mbu": row.mbu_fraction, "mfu": row.mfu_fraction} for row in self.rows]
        return pd.DataFrame(rows).set_index(["scheme", "phase", "batch"])

    def lines(self) -> list[str]:
        """The result as text, a line for each row."""
        rates = [f"{self.copy_gb_per_s:.4g} GB/s copied"]
        rates += [f"{rate:.3g} TFLOP/s {name}" for name, rate in self.matmul_tflop_per_s.items()]
        run = f"{self.model} on {self.device_name} ({self.recorded_on}, median of {self.repeats})"
        return [f"{run}; {', '.join(rates)}", *(row.line() for row in self.rows)]


def decode_study(
    model: Annotated[str | None, Option("A shape: llama-3-8b, the default on a GPU, or small, on a CPU.")] = None,
    *,
    schemes: Annotated[
        list[str] | None, Option("A scheme, the baseline first; may be repeated. By default several.", flag="--scheme")
    ] = None,
    device: DeviceKind = None,
    batch_sizes: Batches = None,
    context: Annotated[int, Option("Tokens before a step.", metavar="TOKENS")] = 1024,
    repeats: Annotated[int, Option("Timed steps, at least 5.", metavar="N")] = 9,
    seed: Annotated[int, Option("Of weights and tokens.", metavar="SEED")] = 0,
    compiled: bool | None = None,
    progress: bool = True,
    free: int | None = None,
) -> DecodeResult:
    r"""Time of making a token and of reading a prompt under each scheme, beside the least time that the device allows.

    .. math:: t \ge \max\left(\frac{\text{bytes read}}{\text{copy bandwidth}},
              \frac{\text{operations}}{\text{matrix rate}}\right)

    Parameters
    ----------
    model : str, optional
        A name of ``costlab.compression.LLAMA_SHAPES``; by default ``llama-3-8b`` on a GPU and ``small`` on a CPU.
    schemes : sequence of str, optional
        Names of ``costlab.compression.SCHEMES``, the baseline first; by default the device's ``DECODE_SCHEMES``.
    batch_sizes : list of int, optional
        Sequences at once, each >= 1; by default 1, 4, 16 and 64. Prompts are read one at a time.
    context : int
        Tokens before the one that is made, and tokens of a prompt, >= 2.
    repeats, seed : int
        Timed steps, >= 5, after three that are not counted; and of weights and tokens.
    compiled : bool, optional
        Run ``torch.compile`` with CUDA graphs; by default on a GPU.
    device, progress, free
        As for :func:`costlab.compression.benchmark`.

    Raises
    ------
    ModelTooLargeError
        If the baseline does not fit into the memory.

    Notes
    -----
    Weights are random: speed does not depend on the values, quality has no meaning here. Bytes read are all weights but
    the input embedding, and the cache of every sequence; numbers in between are left out, so that the floor is a floor.
    The copy bandwidth counts bytes read and written. The matrix rate is that of the numbers computed with, fp32 or
    bf16; fp8, which multiplies in 8 bits, can be faster than its floor in prefill. A model as small as ``small`` fits
    into a CPU's cache, and may be faster than its memory.

    References
    ----------
    Pope et al. (2022), Efficiently Scaling Transformer Inference, https://arxiv.org/abs/2211.05102
    """
    device = usable_device(device)
    name = ("llama-3-8b" if device == "cuda" else "small") if model is None else model
    shape = LLAMA_SHAPES[checks.one_of("model", name, LLAMA_SHAPES)]
    chosen = DECODE_SCHEMES[device] if schemes is None else tuple(checks.one_of("scheme", s, SCHEMES) for s in schemes)
    batch_sizes = list(BATCH_SIZES) if batch_sizes is None else batch_sizes
    batches = [checks.integer("batch_sizes", batch, at_least=1) for batch in batch_sizes]
    if not chosen or not batches:
        raise InvalidValueError("schemes and batch_sizes", "not empty", (chosen, batches))
    checks.integer("context", context, at_least=2)
    checks.integer("repeats", repeats, at_least=5)
    checks.integer("seed", seed)
    compiled = device == "cuda" if compiled is None else compiled
    here = find_device(device)
    usd_per_hour, price = hourly_price(here, None)
    baseline = scheme_named(chosen[0])
    needed = weights_bytes(shape.weights, baseline.stored_on(device), baseline.kept_on(device))
    check_fits(baseline.name, needed, device, free)
    with one_thread(device), progress_bar(progress, len(chosen), "decoding") as advance:
        rates = {row["quantity"]: row["median"] for row in measure_device(device, repeats=5).rows}
        matmul = {name: rates[f"matmul {name}"] for name in ("fp32", "bf16")}
        run = _DecodeRun(shape, device, context, repeats, seed, compiled, rates["copy"], matmul, usd_per_hour)
        rows: list[DecodeRow] = []
        for scheme in chosen:
            rows += _compared(run.rows(scheme, batches), rows)
            advance(scheme)
    return DecodeResult(
        experiment="decode",
        model=name,
        rows=tuple(rows),
        compiled=compiled,
        copy_gb_per_s=rates["copy"],
        matmul_tflop_per_s=matmul,
        repeats=repeats,
        seed=seed,
        usd_per_hour=usd_per_hour,
        price=price,
        **measured_here(here, *_LIBRARIES),
    )


@dataclass(frozen=True, slots=True)
class _DecodeRun:
    """What all rows of a run have in common."""

    shape: LlamaShape
    device: str
    context: int
    repeats: int
    seed: int
    compiled: bool
    copy_gb_per_s: float
    matmul_tflop_per_s: Mapping[str, float]
    usd_per_hour: float | None

    def rows(self, scheme: str, batches: Sequence[int]) -> list[DecodeRow]:
        """The rows of one scheme."""
        steps = [("decode", batch) for batch in batches] + [("prefill", 1)]
        blank = [DecodeRow(scheme=scheme, phase=p, batch=b, tokens=self.context) for p, b in steps]
        import torch

        try:
            # Made at the width that it computes in, and narrowed where it is: a copy would not fit beside it.
            dtype = computing_dtype(scheme, self.device)
            model = random_llama(self.shape, device=self.device, dtype=dtype, seed=self.seed)
            model = quantize(model, scheme, device=self.device, in_place=True)
        except FAILURES as error:
            return [replace(row, reason=one_line(error)) for row in blank]
        rows = []
        for row in blank:
            try:
                rows.append(self._timed(model, row))
            except FAILURES as error:
                rows.append(replace(row, reason=one_line(error)))
        del model
        gc.collect()
        if self.device == "cuda":
            torch.compiler.reset()
            torch.cuda.empty_cache()
        return rows

    def _timed(self, model: torch.nn.Module, row: DecodeRow) -> DecodeRow:
        shape, decoding = self.shape, row.phase == "decode"
        cast("Callable[[int, int], None]", model.reserve)(row.batch, self.context + 1)
        step = self._step(model, row)
        for _ in range(3):
            seconds(step, self.device)
        added = added_bytes(step, self.device)
        times_ms = [1000 * seconds(step, self.device) for _ in range(self.repeats)]
        median = statistics.median(times_ms)
        tokens_per_s = 1000 * row.batch * (1 if decoding else row.tokens) / median
        number_bytes = next(model.parameters()).element_size()  # of the embedding, which no scheme narrows
        weights = measured_bytes(model)
        cache = kv_cache_bytes(shape.layers, shape.kv_heads, shape.head_dim, self.context + 1, row.batch)
        cache *= number_bytes / 2
        moved = weights - shape.vocabulary * shape.hidden * number_bytes + (cache if decoding else 0.0)
        operations = (shape.decode_operations if decoding else shape.prefill_operations)(row.batch, row.tokens)
        rate = self.matmul_tflop_per_s["fp32" if number_bytes == 4 else "bf16"]
        return replace(
            row,
            weights_bytes=weights,
            peak_bytes=None if added is None else int(weights + cache + added),
            median=median,
            least=min(times_ms),
            greatest=max(times_ms),
            tokens_per_s=tokens_per_s,
            moved_bytes=moved,
            operations=operations,
            memory_floor_ms=1e-6 * moved / self.copy_gb_per_s,
            arithmetic_floor_ms=1e-9 * operations / rate,
            usd_per_mtok=None if self.usd_per_hour is None else usd_per_mtok(self.usd_per_hour, tokens_per_s),
        )

    def _step(self, model: torch.nn.Module, row: DecodeRow) -> Callable[[], object]:
        import torch

        decoding = row.phase == "decode"
        generator = torch.Generator(device=self.device).manual_seed(self.seed)
        shape = (row.batch, 1 if decoding else row.tokens)
        tokens = torch.randint(self.shape.vocabulary, shape, generator=generator, device=self.device)
        start = row.tokens if decoding else 0
        mode = "reduce-overhead" if decoding else "max-autotune-no-cudagraphs"
        call = torch.compile(model, mode=mode, fullgraph=True, dynamic=False) if self.compiled else model

        def step() -> object:
            with torch.inference_mode():
                return call(tokens, start)

        return step


def _compared(rows: list[DecodeRow], before: list[DecodeRow]) -> list[DecodeRow]:
    """Rows with their speed beside that of the first scheme."""
    first = {(row.phase, row.batch): row.median for row in reversed(before or rows)}
    compared = []
    for row in rows:
        base = first[row.phase, row.batch]
        compared.append(replace(row, speedup=base / row.median if base and row.median else None))
    return compared


def _recording(result: DecodeResult, options: Mapping[str, object]) -> Recording:
    chosen = {
        "device": result.device_kind,
        "model": result.model,
        "scheme": tuple(dict.fromkeys(row.scheme for row in result.rows)),
        "batch": options["batch_sizes"] or BATCH_SIZES,
        "context": options["context"],
        "repeats": options["repeats"],
        "seed": options["seed"],
    }
    return result.to_recording(bench_command("decode", chosen))


EXPERIMENT: Final = Experiment(
    measure=decode_study, lines=DecodeResult.lines, recording=_recording, load=DecodeResult.from_recording
)
