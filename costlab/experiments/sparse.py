"""The study of 2:4 kernels: the matrices of a large model's feed-forward part, dense, masked and semi-structured."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Self

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import (
    LLAMA_SHAPES,
    LlamaShape,
    StudyResult,
    make_permanent,
    measured_bytes,
    prune,
    seconds,
    usable_device,
    with_sparse_kernel,
)
from costlab.compression.instruments import graphed, one_thread, progress_bar
from costlab.compression.measuring import FAILURES
from costlab.compression.quantization import one_line
from costlab.compression.results import measured_here
from costlab.errors import InvalidValueError
from costlab.experiments.device import measure_device
from costlab.experiments.quantization import DeviceKind
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, bench_command, find_device

if TYPE_CHECKING:
    import torch
    from pandas import DataFrame

#: What is timed, the baseline first.
#:
#: :meta hide-value:
SPARSE_KINDS: Final = {
    "dense": "all weights as they are",
    "masked": "two of every four weights zero, multiplied like any number",
    "semi-structured": "the same zeros, skipped by the sparse tensor cores",
}

#: Tokens multiplied at once unless others are chosen: a step of as many sequences, or a prompt.
TOKENS: Final = (1, 64, 512, 4096)

_LIBRARIES: Final = ("torch", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseRow:
    """One matrix, kept in one way, times a number of tokens. Where it did not run, `reason` says why.

    Attributes
    ----------
    layer, rows, columns : str, int, int
        ``gate_up`` or ``down``, with its outputs and inputs.
    kind, tokens, reason : str, int, str
        A name of ``SPARSE_KINDS``; tokens at once; why it did not run, empty where it did.
    how : str
        On a GPU whether a CUDA graph ran it, and why not.
    weights_bytes : int or None
        Of the matrix, with what says where the zeros are.
    median, least, greatest : float or None
        Milliseconds of the product, over the repeats.
    memory_floor_ms, arithmetic_floor_ms : float
        Least time to read the matrix and the inputs and to write the outputs; and to multiply, a skipped zero being no
        operation: at the bandwidth and the matrix rate of bf16 (on a CPU fp32) measured in the same run.
    speedup : float or None
        Times as fast as the dense matrix.
    error_fraction : float or None
        Length of the difference to the masked product over the length of that product.
    """

    layer: str
    rows: int
    columns: int
    kind: str
    tokens: int
    reason: str = ""
    how: str = ""
    weights_bytes: int | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    memory_floor_ms: float = 0.0
    arithmetic_floor_ms: float = 0.0
    speedup: float | None = None
    error_fraction: float | None = None

    def line(self) -> str:
        """The row as text."""
        start = f"{self.layer:<7} {self.kind:<15} {self.tokens:>5} tokens"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        floor = max(self.memory_floor_ms, self.arithmetic_floor_ms)
        faster = "" if self.speedup is None else f", {self.speedup:.2f}x"
        return f"{start} {self.median:>9.4g} ms{faster}, {floor / self.median:.0%} of its floor"


@dataclass(frozen=True, slots=True, kw_only=True)
class SparseResult(StudyResult[SparseRow]):
    """Time of products with 2:4 matrices.

    Where and when is told by the attributes of :class:`costlab.compression.StudyResult`.

    Attributes
    ----------
    rows : tuple of SparseRow
        Each matrix at each number of tokens, dense first.
    model, seed : str, int
        Name of the shape; weights and inputs are random.
    bandwidth_gb_per_s, matmul_tflop_per_s : float
        The faster of reading and copying; and products of dense matrices, in the same run.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"run": "", "row": "rows"}

    rows: tuple[SparseRow, ...]
    model: str
    seed: int
    bandwidth_gb_per_s: float
    matmul_tflop_per_s: float

    def row(self, kind: str, layer: str = "gate_up", tokens: int = 1) -> SparseRow:
        """The row of a way to keep a matrix. Raises an InvalidValueError if there is none."""
        known = dict.fromkeys(f"{row.kind} {row.layer} {row.tokens}" for row in self.rows)
        return self._find("kind, layer and tokens", known, kind=kind, layer=layer, tokens=tokens)

    @classmethod
    def together(cls, results: Sequence[Self]) -> Self:
        """Results of several runs on one device as one. Raises an InvalidValueError where they do not belong together.

        Each row keeps the floors of its own run; the rates are the best of all.
        """
        if len({(result.device, result.model, result.repeats) for result in results}) != 1:
            places = [(result.device, result.model, result.repeats) for result in results]
            raise InvalidValueError("results", "of one device and shape with equal repeats", places)
        return replace(
            results[0],
            rows=tuple(row for result in results for row in result.rows),
            bandwidth_gb_per_s=max(result.bandwidth_gb_per_s for result in results),
            matmul_tflop_per_s=max(result.matmul_tflop_per_s for result in results),
        )

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each matrix, way and number of tokens."""
        with extra("plots"):
            import pandas as pd
        return pd.DataFrame([asdict(row) for row in self.rows]).set_index(["layer", "kind", "tokens"])

    def lines(self) -> list[str]:
        """The result as text, a line for each row."""
        rates = f"{self.bandwidth_gb_per_s:.4g} GB/s, {self.matmul_tflop_per_s:.3g} TFLOP/s dense"
        run = f"{self.model} on {self.device_name} ({self.recorded_on}, median of {self.repeats})"
        return [f"{run}; {rates}", *(row.line() for row in self.rows)]


def sparse_study(
    model: Annotated[str | None, Option("A shape: llama-3-8b, the default on a GPU, or small, on a CPU.")] = None,
    *,
    tokens: Annotated[
        list[int] | None, Option("Tokens at once; may be repeated.", metavar="N", flag="--tokens")
    ] = None,
    device: DeviceKind = None,
    repeats: Annotated[int, Option("Timed products, at least 5.", metavar="N")] = 9,
    seed: Annotated[int, Option("Of weights and inputs.", metavar="SEED")] = 0,
    progress: bool = True,
) -> SparseResult:
    """Time of the feed-forward part's products when two of every four weights are zero, beside the dense ones.

    Parameters
    ----------
    model : str, optional
        A name of ``costlab.compression.LLAMA_SHAPES``; by default ``llama-3-8b`` on a GPU and ``small`` on a CPU.
    tokens : list of int, optional
        Tokens multiplied at once, each >= 1; by default 1, 64, 512 and 4096.
    repeats, seed : int
        Timed products, >= 5, after three that are not counted; and of weights and inputs.
    device, progress
        As for :func:`costlab.compression.benchmark`.

    Notes
    -----
    Numbers are bf16 on a GPU and fp32 on a CPU, where no kernel skips the zeros of the pattern: that row has its
    reason. On a GPU each product is a CUDA graph, so that asking for it costs nothing, and the cache is filled with
    something else before each. What stays dense in a model (attention, embeddings, output) is not here: a model gains
    less.

    References
    ----------
    Mishra et al. (2021), Accelerating Sparse Deep Neural Networks, https://arxiv.org/abs/2104.08378
    """
    device = usable_device(device)
    name = ("llama-3-8b" if device == "cuda" else "small") if model is None else model
    shape = LLAMA_SHAPES[checks.one_of("model", name, LLAMA_SHAPES)]
    sizes = [checks.integer("tokens", count, at_least=1) for count in (TOKENS if tokens is None else tokens)]
    if not sizes:
        raise InvalidValueError("tokens", "not empty", tokens)
    checks.integer("repeats", repeats, at_least=5)
    checks.integer("seed", seed)
    matrices = feed_forward(shape)
    with one_thread(device), progress_bar(progress, len(matrices), "multiplying") as advance:
        quick = measure_device(device, repeats=5, load_s=0)
        rates = {row["quantity"]: row["median"] for row in quick.rows if "median" in row}
        result = SparseResult(
            experiment="sparse",
            model=name,
            rows=(),
            repeats=repeats,
            seed=seed,
            bandwidth_gb_per_s=max(rates["copy"], rates["read"]),
            matmul_tflop_per_s=rates["matmul bf16" if device == "cuda" else "matmul fp32"],
            **measured_here(find_device(device), *_LIBRARIES),
        )
        rows: list[SparseRow] = []
        for layer, (outputs, inputs) in matrices.items():
            blank = SparseRow(layer=layer, rows=outputs, columns=inputs, kind="dense", tokens=1)
            rows += _products(result, blank, sizes, device)
            advance(layer)
    return replace(result, rows=tuple(rows))


def feed_forward(shape: LlamaShape) -> dict[str, tuple[int, int]]:
    """Outputs and inputs of the two matrices of a feed-forward part, by their names."""
    return {"gate_up": (2 * shape.ffn, shape.hidden), "down": (shape.hidden, shape.ffn)}


def _products(result: SparseResult, blank: SparseRow, sizes: Sequence[int], device: str) -> list[SparseRow]:
    """The rows of one matrix."""
    import torch

    dtype = torch.bfloat16 if device == "cuda" else torch.float32
    generator = torch.Generator(device=device).manual_seed(result.seed)
    dense = torch.nn.Linear(blank.columns, blank.rows, bias=False, device="meta", dtype=dtype).to_empty(device=device)
    dense.requires_grad_(False)
    dense.weight.normal_(0.0, 0.02, generator=generator)
    whole = torch.nn.Sequential(dense)
    masked = make_permanent(prune(whole, pattern="2:4")).requires_grad_(False)
    made: dict[str, torch.nn.Module | str] = {"dense": whole, "masked": masked}
    try:
        made["semi-structured"] = with_sparse_kernel(masked, "semi-structured", device=device)
    except FAILURES as error:
        made["semi-structured"] = one_line(error)
    rows = []
    for count in sizes:
        states = torch.randn(count, blank.columns, generator=generator, device=device).to(dtype)
        first: float | None = None
        for kind, layer in made.items():
            row = replace(blank, kind=kind, tokens=count)
            try:
                if isinstance(layer, str):
                    raise RuntimeError(layer)
                row = _timed(result, row, layer, masked, states, device)
            except FAILURES as error:
                row = replace(row, reason=one_line(error))
            first = row.median if kind == "dense" else first
            rows.append(replace(row, speedup=first / row.median if first and row.median else None))
    return rows


def _timed(
    result: SparseResult,
    row: SparseRow,
    layer: torch.nn.Module,
    masked: torch.nn.Module,
    states: torch.Tensor,
    device: str,
) -> SparseRow:
    import torch

    with torch.no_grad():
        call: Callable[[], object] = partial(layer, states)
        product, wanted = layer(states).float(), masked(states).float()
        error = float((product - wanted).norm() / wanted.norm())
        if not error <= (MOST_ERROR if row.kind == "semi-structured" else 2.0):  # what is no number is not either
            raise RuntimeError(f"its product is {error:.2g} away from the masked one")
        step, how = graphed(call, device)
        sweep = _sweep(device)
        times_ms = []
        for _ in range(3 + result.repeats):
            sweep()
            times_ms.append(1000 * seconds(step, device))
    del times_ms[:3]
    weights = measured_bytes(layer)
    width = states.element_size()
    moved = weights + width * row.tokens * (row.rows + row.columns)
    operations = 2 * row.tokens * row.rows * row.columns / (2 if row.kind == "semi-structured" else 1)
    return replace(
        row,
        how=how,
        weights_bytes=weights,
        median=statistics.median(times_ms),
        least=min(times_ms),
        greatest=max(times_ms),
        memory_floor_ms=1e-6 * moved / result.bandwidth_gb_per_s,
        arithmetic_floor_ms=1e-9 * operations / result.matmul_tflop_per_s,
        error_fraction=None if row.kind == "dense" else error,
    )


def _sweep(device: str) -> Callable[[], object]:
    """A call that fills a GPU's cache with something else, so that weights come from its memory as in a model."""
    import torch

    if device == "cpu":
        return lambda: None
    return torch.empty(CACHE_BYTES, dtype=torch.uint8, device=device).zero_


#: More than any GPU's cache holds.
CACHE_BYTES: Final = 2**28

#: A product in bf16 may differ by so much from the same product summed in another order.
MOST_ERROR: Final = 0.02


def _recording(result: SparseResult, options: Mapping[str, object]) -> Recording:
    chosen = {
        "device": result.device_kind,
        "model": result.model,
        "tokens": options["tokens"] or TOKENS,
        "repeats": options["repeats"],
        "seed": options["seed"],
    }
    return result.to_recording(bench_command("sparse", chosen))


EXPERIMENT: Final = Experiment(
    measure=sparse_study, lines=SparseResult.lines, recording=_recording, load=SparseResult.from_recording
)
