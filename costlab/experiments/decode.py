"""The study of decoding: a large model's shape with random weights, each time beside its floor."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Self, cast

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
from costlab.compression.instruments import added_bytes, graphed, one_thread, progress_bar, quiet
from costlab.compression.llama import compile_llama, interpret_llama
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

#: Parts of an answer: its tokens one after the other, and the prompt before them.
PHASES: Final = ("decode", "prefill")

#: Options of Inductor. With a batch of one a product is a sum over the weights as they are read, and its kernel is
#: tuned; more members are left to the libraries, save weights of 8 bits, which no library widens as it reads them.
_ONE: Final = {"coordinate_descent_tuning": True}
_WIDENED: Final = {"max_autotune": True, "coordinate_descent_tuning": False}
_MANY: Final = {"coordinate_descent_tuning": False}

_LIBRARIES: Final = ("torch", "torchao", "bitsandbytes", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeRow:
    """One scheme at one batch size. Where it did not run, `reason` says why and what is measured is None.

    Attributes
    ----------
    scheme, phase, reason : str
        How the weights are stored; ``decode`` or ``prefill``; why it did not run, empty where it did.
    how : str
        What ran it: ``compiled``, ``one by one`` or both, in a ``CUDA graph`` or not, and why it was not compiled.
    batch, tokens : int
        Sequences at once; tokens before the step, or tokens of each prompt.
    weights_bytes, peak_bytes : int or None
        All weights; and at its peak with cache and the numbers in between.
    median, least, greatest, tokens_per_s : float or None
        Milliseconds of a step, over the repeats; and tokens made, or read, of all sequences together.
    moved_bytes, operations : float
        What a step has to read, and to compute.
    memory_floor_ms, arithmetic_floor_ms : float
        Least time for each, at the bandwidth and the matrix rate measured in the same run.
    speedup, usd_per_mtok : float or None
        Times as fast as the first scheme in the same phase at the same batch; price of a million tokens at full use.
    """

    scheme: str
    phase: str
    batch: int
    tokens: int
    reason: str = ""
    how: str = ""
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
        """Share of the bandwidth that the step used."""
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
    copy_gb_per_s, read_gb_per_s : float
        Bytes copied, read and written; and bytes only read, in the same run.
    matmul_tflop_per_s : mapping of str to float
        Operations of matrix products of ``fp32`` and ``bf16``, and of ``fp8`` where the device has it, in the same run.
    usd_per_hour, price : float or None, str
        What an hour of the device is taken to cost, and where that price comes from.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"run": "", "row": "rows"}

    rows: tuple[DecodeRow, ...]
    model: str
    compiled: bool
    copy_gb_per_s: float
    read_gb_per_s: float
    matmul_tflop_per_s: Mapping[str, float]
    seed: int
    usd_per_hour: float | None
    price: str

    @property
    def bandwidth_gb_per_s(self) -> float:
        """The faster of reading and copying; no step reads faster."""
        return max(self.copy_gb_per_s, self.read_gb_per_s)

    def row(self, scheme: str, phase: str = "decode", batch: int = 1) -> DecodeRow:
        """The row of a scheme in a phase at a batch size. Raises an InvalidValueError if there is none."""
        known = dict.fromkeys(f"{row.scheme} {row.phase} {row.batch}" for row in self.rows)
        return self._find("scheme, phase and batch", known, scheme=scheme, phase=phase, batch=batch)

    @classmethod
    def together(cls, results: Sequence[Self]) -> Self:
        """Results of several runs on one device as one, with the best rates of all as the floor of each row.

        The first scheme of the first result is the baseline. Raises an InvalidValueError if there are none, or they
        are not of one shape, device and number of repeats.
        """
        if len({(result.device, result.model, result.repeats) for result in results}) != 1:
            places = [(result.device, result.model, result.repeats) for result in results]
            raise InvalidValueError("results", "of one device and shape with equal repeats", places)
        rates = [result.matmul_tflop_per_s for result in results]
        best = replace(
            results[0],
            compiled=any(result.compiled for result in results),
            copy_gb_per_s=max(result.copy_gb_per_s for result in results),
            read_gb_per_s=max(result.read_gb_per_s for result in results),
            matmul_tflop_per_s={name: max(each.get(name, 0.0) for each in rates) for each in rates for name in each},
        )
        schemes = list(dict.fromkeys(row.scheme for result in results for row in result.rows))
        steps = sorted(
            (row for result in results for row in result.rows),
            key=lambda row: (schemes.index(row.scheme), PHASES.index(row.phase), row.batch),
        )
        rows = _compared([best._beside_floor(row) for row in steps], ())
        return replace(best, rows=tuple(rows))

    def _beside_floor(self, row: DecodeRow) -> DecodeRow:
        """The row with its floors at this result's rates."""
        if row.median is None:
            return row
        rate = self.matmul_tflop_per_s[_multiplied(row.scheme, self.device_kind, self.matmul_tflop_per_s)]
        return replace(
            row,
            memory_floor_ms=1e-6 * row.moved_bytes / self.bandwidth_gb_per_s,
            arithmetic_floor_ms=1e-9 * row.operations / rate,
        )

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each scheme, phase and batch size."""
        with extra("plots"):
            import pandas as pd
        rows = [{**asdict(row), "mbu": row.mbu_fraction, "mfu": row.mfu_fraction} for row in self.rows]
        return pd.DataFrame(rows).set_index(["scheme", "phase", "batch"])

    def lines(self) -> list[str]:
        """The result as text, a line for each row."""
        rates = [f"{self.copy_gb_per_s:.4g} GB/s copied, {self.read_gb_per_s:.4g} GB/s read"]
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
    phases: Annotated[
        list[str] | None, Option("decode or prefill; may be repeated. By default both.", flag="--phase")
    ] = None,
    context: Annotated[int, Option("Tokens before a step.", metavar="TOKENS")] = 1024,
    repeats: Annotated[int, Option("Timed steps, at least 5.", metavar="N")] = 9,
    seed: Annotated[int, Option("Of weights and tokens.", metavar="SEED")] = 0,
    compiled: bool | None = None,
    progress: bool = True,
    free: int | None = None,
) -> DecodeResult:
    r"""Time of making a token and of reading a prompt under each scheme, beside the least time that the device allows.

    .. math:: t \ge \max\left(\frac{\text{bytes read}}{\text{bandwidth}},
              \frac{\text{operations}}{\text{matrix rate}}\right)

    Parameters
    ----------
    model : str, optional
        A name of ``costlab.compression.LLAMA_SHAPES``; by default ``llama-3-8b`` on a GPU and ``small`` on a CPU.
    schemes : sequence of str, optional
        Names of ``costlab.compression.SCHEMES``, the baseline first; by default the device's ``DECODE_SCHEMES``.
    batch_sizes : list of int, optional
        Sequences at once, each >= 1; by default 1, 4, 16 and 64. Prompts are read one at a time.
    phases : sequence of str, optional
        ``decode``, ``prefill`` or both, the default.
    context : int
        Tokens before the one that is made, and tokens of a prompt, >= 2.
    repeats, seed : int
        Timed steps, >= 5, after three that are not counted; and of weights and tokens.
    compiled : bool, optional
        Run by ``torch.compile``; by default on a GPU. Where that fails it is run as it is, and the row says why. On a
        GPU each step is a CUDA graph.
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
    The bandwidth is the faster of a copy, whose bytes read and written count, and of a sum. The matrix rate is that of
    the numbers multiplied: fp32, bf16 or fp8. A model as small as ``small`` fits into a CPU's cache, and may be faster
    than its memory.

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
    phases = [checks.one_of("phase", phase, PHASES) for phase in (PHASES if phases is None else phases)]
    if not chosen or not batches or not phases:
        raise InvalidValueError("schemes, batch_sizes and phases", "not empty", (chosen, batches, phases))
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
        quick = measure_device(device, repeats=5, load_s=0)
        rates = {row["quantity"]: row["median"] for row in quick.rows if "median" in row}
        matmul = {precision: rates[f"matmul {precision}"] for precision in MULTIPLIED if f"matmul {precision}" in rates}
        result = DecodeResult(
            experiment="decode",
            model=name,
            rows=(),
            compiled=compiled,
            copy_gb_per_s=rates["copy"],
            read_gb_per_s=rates["read"],
            matmul_tflop_per_s=matmul,
            repeats=repeats,
            seed=seed,
            usd_per_hour=usd_per_hour,
            price=price,
            **measured_here(here, *_LIBRARIES),
        )
        run = _DecodeRun(shape, device, context, repeats, seed, compiled, usd_per_hour)
        rows: list[DecodeRow] = []
        for scheme in chosen:
            measured = [result._beside_floor(row) for row in run.rows(scheme, decode_steps(batches, phases))]
            rows += _compared(measured, rows)
            advance(scheme)
    return replace(result, rows=tuple(rows))


def decode_steps(batch_sizes: Sequence[int], phases: Sequence[str] = PHASES) -> list[tuple[str, int]]:
    """Phase and batch size of what is timed of a scheme; prompts are read one at a time."""
    steps = [("decode", batch) for batch in batch_sizes if "decode" in phases]
    return steps + [("prefill", 1)] * ("prefill" in phases)


#: Numbers whose matrix rate may be a floor.
MULTIPLIED: Final = ("fp32", "bf16", "fp8")


def _multiplied(scheme: str, device: str, known: Collection[str]) -> str:
    """Which of the `known` kinds of numbers a scheme multiplies."""
    if scheme == "fp8" and "fp8" in known:
        return "fp8"
    return "fp32" if scheme_named(scheme).kept_on(device) == 32 else "bf16"


@dataclass(frozen=True, slots=True)
class _DecodeRun:
    """What all rows of a run have in common."""

    shape: LlamaShape
    device: str
    context: int
    repeats: int
    seed: int
    compiled: bool
    usd_per_hour: float | None

    def rows(self, scheme: str, steps: Sequence[tuple[str, int]]) -> list[DecodeRow]:
        """The rows of one scheme, without floors."""
        blank = [DecodeRow(scheme=scheme, phase=p, batch=b, tokens=self.context) for p, b in steps]

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
            self._tidy(model)
        return rows

    def _tidy(self, model: torch.nn.Module) -> None:
        """Frees what a row took: translations, graphs, caches."""
        import torch

        interpret_llama(model)
        cast("Callable[[int, int], None]", model.reserve)(1, 1)
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()

    def _timed(self, model: torch.nn.Module, row: DecodeRow) -> DecodeRow:
        shape, decoding = self.shape, row.phase == "decode"
        cast("Callable[[int, int], None]", model.reserve)(row.batch, self.context + 1)
        step, how = self._step(model, row)
        for _ in range(3):
            seconds(step, self.device)
        times_ms = [1000 * seconds(step, self.device) for _ in range(self.repeats)]
        if not bool(step().isfinite().all()):
            raise RuntimeError("its logits are not finite")
        median = statistics.median(times_ms)
        tokens_per_s = 1000 * row.batch * (1 if decoding else row.tokens) / median
        number_bytes = next(model.parameters()).element_size()  # of the embedding, which no scheme narrows
        weights = measured_bytes(model)
        cache = kv_cache_bytes(shape.layers, shape.kv_heads, shape.head_dim, self.context + 1, row.batch)
        cache *= number_bytes / 2
        added = self._added(model, row)
        return replace(
            row,
            how=how,
            weights_bytes=weights,
            peak_bytes=None if added is None else int(weights + cache + added),
            median=median,
            least=min(times_ms),
            greatest=max(times_ms),
            tokens_per_s=tokens_per_s,
            moved_bytes=weights - shape.vocabulary * shape.hidden * number_bytes + (cache if decoding else 0.0),
            operations=(shape.decode_operations if decoding else shape.prefill_operations)(row.batch, row.tokens),
            usd_per_mtok=None if self.usd_per_hour is None else usd_per_mtok(self.usd_per_hour, tokens_per_s),
        )

    def _added(self, model: torch.nn.Module, row: DecodeRow) -> int | None:
        """Bytes of the numbers in between; of the plain call, for a graph's lie in memory of its own."""
        call = self._call(model, row)
        call()
        return added_bytes(call, self.device)

    def _step(self, model: torch.nn.Module, row: DecodeRow) -> tuple[Callable[[], torch.Tensor], str]:
        """The step, and what runs it."""
        call = self._call(model, row)
        how = "one by one"
        if self.compiled:
            try:
                with quiet():  # Inductor tells what it tries
                    compile_llama(model, self._options(row))
                    call()
                how = "compiled"
            except Exception as error:
                interpret_llama(model)
                how = f"one by one (not compiled: {one_line(error)})"
        step, captured = graphed(call, self.device)
        return step, ", ".join(filter(None, (captured, how)))

    def _options(self, row: DecodeRow) -> Mapping[str, bool]:
        if row.phase == "decode" and row.batch == 1:
            return _ONE
        return _WIDENED if row.phase == "decode" and row.scheme == "int8-weight-only" else _MANY

    def _call(self, model: torch.nn.Module, row: DecodeRow) -> Callable[[], torch.Tensor]:
        import torch

        decoding = row.phase == "decode"
        generator = torch.Generator(device=self.device).manual_seed(self.seed)
        shape = (row.batch, 1 if decoding else row.tokens)
        tokens = torch.randint(self.shape.vocabulary, shape, generator=generator, device=self.device)
        start = row.tokens if decoding else 0

        def call() -> torch.Tensor:
            with torch.no_grad():
                logits: torch.Tensor = model(tokens, start)
            return logits

        return call


def _compared(rows: Sequence[DecodeRow], before: Sequence[DecodeRow]) -> list[DecodeRow]:
    """Rows with their speed beside that of the first scheme."""
    baseline = (before or rows)[0].scheme
    first = {(row.phase, row.batch): row.median for row in (before or rows) if row.scheme == baseline}
    compared = []
    for row in rows:
        base = first.get((row.phase, row.batch))
        compared.append(replace(row, speedup=base / row.median if base and row.median else None))
    return compared


def _recording(result: DecodeResult, options: Mapping[str, object]) -> Recording:
    chosen = {
        "device": result.device_kind,
        "model": result.model,
        "scheme": tuple(dict.fromkeys(row.scheme for row in result.rows)),
        "batch": options["batch_sizes"] or BATCH_SIZES,
        "phase": options.get("phases"),
        "context": options["context"],
        "repeats": options["repeats"],
        "seed": options["seed"],
    }
    return result.to_recording(bench_command("decode", chosen))


EXPERIMENT: Final = Experiment(
    measure=decode_study, lines=DecodeResult.lines, recording=_recording, load=DecodeResult.from_recording
)
