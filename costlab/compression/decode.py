"""The study of decoding: a large model's shape with random weights, each time beside its floor."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.benchmark import FAILURES, hourly_price
from costlab.compression.decode_results import DecodeResult, DecodeRow
from costlab.compression.llama import LLAMA_SHAPES, LlamaShape, random_llama
from costlab.compression.measured import measured_here
from costlab.compression.measured_sizes import measured_bytes
from costlab.compression.progress import bar
from costlab.compression.quantization import computing_dtype, one_line, quantize, usable_device
from costlab.compression.schemes import SCHEMES, scheme_named
from costlab.compression.sizes import kv_cache_bytes, weights_bytes
from costlab.compression.stopwatch import added_bytes, free_bytes, one_thread, seconds
from costlab.errors import InvalidValueError, ModelTooLargeError
from costlab.experiments import measure_device
from costlab.recordings import find_device
from costlab.serving import usd_per_mtok

__all__ = ["DECODE_SCHEMES", "decode_study"]

#: The schemes that the study tries, the baseline first.
DECODE_SCHEMES: Final = {
    "cuda": ("bf16", "int8-weight-only", "int4-weight-only", "fp8"),
    "cpu": ("fp32", "bf16", "int8-weight-only"),
}

_LIBRARIES: Final = ("torch", "torchao", "bitsandbytes", "costlab")


def decode_study(
    model: str | None = None,
    *,
    schemes: Sequence[str] | None = None,
    device: str | None = None,
    batch_sizes: Sequence[int] = (1, 4, 16, 64),
    context: int = 1024,
    repeats: int = 9,
    seed: int = 0,
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
        Names of ``costlab.compression.SCHEMES``, the baseline first; by default the device's
        ``costlab.compression.DECODE_SCHEMES``.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one.
    batch_sizes : sequence of int
        Sequences at once, each >= 1. Prompts are read one at a time.
    context : int
        Tokens before the one that is made, and tokens of a prompt, >= 2.
    repeats : int
        Timed steps, >= 5, after three that are not counted.
    seed : int
        Of weights and tokens.
    compiled : bool, optional
        Run ``torch.compile`` with CUDA graphs; by default on a GPU.
    progress : bool
        Show a bar on stderr.
    free : int, optional
        Bytes of memory that the model may take; by default what the system says is free.

    Returns
    -------
    DecodeResult
        A row for each scheme, phase and batch size; one that cannot run is a row with its reason.

    Raises
    ------
    UnknownNameError
        If a model or a scheme is unknown.
    InvalidValueError
        If CUDA is asked for and absent, or a number is outside its domain.
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
    place = usable_device(device)
    name = ("llama-3-8b" if place == "cuda" else "small") if model is None else model
    shape = LLAMA_SHAPES[checks.one_of("model", name, LLAMA_SHAPES)]
    chosen = DECODE_SCHEMES[place] if schemes is None else tuple(checks.one_of("scheme", s, SCHEMES) for s in schemes)
    batches = [checks.integer("batch_sizes", batch, at_least=1) for batch in batch_sizes]
    if not chosen or not batches:
        raise InvalidValueError("schemes and batch_sizes", "not empty", (chosen, batches))
    checks.integer("context", context, at_least=2)
    checks.integer("repeats", repeats, at_least=5)
    checks.integer("seed", seed)
    fast = place == "cuda" if compiled is None else compiled
    found = find_device(place)
    usd_per_hour, price = hourly_price(found, None)
    _check_fits(shape, chosen[0], place, free)
    with one_thread(place), bar(progress, len(chosen), "decoding") as advance:
        rates = {row["quantity"]: row["median"] for row in measure_device(place, repeats=5).rows}
        matmul = {name: rates[f"matmul {name}"] for name in ("fp32", "bf16")}
        run = _Run(shape, place, context, repeats, seed, fast, rates["copy"], matmul, usd_per_hour)
        rows: list[DecodeRow] = []
        for scheme in chosen:
            rows += _compared(run.rows(scheme, batches), rows)
            advance(scheme)
    return DecodeResult(
        model=name,
        rows=tuple(rows),
        compiled=fast,
        copy_gb_per_s=rates["copy"],
        matmul_tflop_per_s=matmul,
        repeats=repeats,
        seed=seed,
        usd_per_hour=usd_per_hour,
        price=price,
        **measured_here(found, _LIBRARIES),
    )


def _check_fits(shape: LlamaShape, scheme: str, place: str, free: int | None) -> None:
    stored = scheme_named(scheme)
    needed = weights_bytes(shape.weights, stored.stored_on(place), stored.kept_on(place))
    room = free_bytes(place) if free is None else free
    if room is not None and needed > room:
        raise ModelTooLargeError(scheme, needed, room, place)


@dataclass(frozen=True, slots=True)
class _Run:
    """What all rows of a run have in common."""

    shape: LlamaShape
    place: str
    context: int
    repeats: int
    seed: int
    compiled: bool
    copy_gb_per_s: float
    matmul_tflop_per_s: Mapping[str, float]
    usd_per_hour: float | None

    def rows(self, scheme: str, batches: Sequence[int]) -> list[DecodeRow]:
        """The rows of one scheme."""
        todo = [("decode", batch) for batch in batches] + [("prefill", 1)]
        blank = [DecodeRow(scheme=scheme, phase=p, batch=b, tokens=self.context) for p, b in todo]
        torch = require("torch", "models")
        model = None
        try:
            # Made at the width that it computes in, and narrowed where it is: a copy would not fit beside it.
            dtype = computing_dtype(scheme, self.place)
            model = random_llama(self.shape, device=self.place, dtype=dtype, seed=self.seed)
            model = quantize(model, scheme, device=self.place, in_place=True)
        except FAILURES as error:
            return [replace(row, reason=one_line(error)) for row in blank]
        done = []
        for row in blank:
            try:
                done.append(self._timed(torch, model, row))
            except FAILURES as error:
                done.append(replace(row, reason=one_line(error)))
        del model
        gc.collect()
        if self.place == "cuda":
            torch.compiler.reset()
            torch.cuda.empty_cache()
        return done

    def _timed(self, torch: Any, model: Any, row: DecodeRow) -> DecodeRow:
        model.reserve(row.batch, self.context + 1)
        step = self._step(torch, model, row)
        for _ in range(3):
            seconds(step, self.place)
        added = added_bytes(step, self.place)
        took = [1000 * seconds(step, self.place) for _ in range(self.repeats)]
        median = statistics.median(took)
        made = row.batch * (1 if row.phase == "decode" else row.tokens)
        weights = measured_bytes(model)
        kept = kv_cache_bytes(
            self.shape.layers, self.shape.kv_heads, self.shape.head_dim, self.context + 1, row.batch
        ) * (self._number_bytes(model) / 2)
        table = self.shape.vocabulary * self.shape.hidden * self._number_bytes(model)
        moved = weights - table + (kept if row.phase == "decode" else 0.0)
        count = self.shape.decode_operations if row.phase == "decode" else self.shape.prefill_operations
        operations = count(row.batch, row.tokens)
        usd = None if self.usd_per_hour is None else usd_per_mtok(self.usd_per_hour, 1000 * made / median)
        return replace(
            row,
            weights_bytes=weights,
            peak_bytes=None if added is None else int(weights + kept + added),
            median=median,
            least=min(took),
            greatest=max(took),
            tokens_per_s=1000 * made / median,
            moved_bytes=moved,
            operations=operations,
            memory_floor_ms=1e-6 * moved / self.copy_gb_per_s,
            arithmetic_floor_ms=1e-9 * operations / self._rate(model),
            usd_per_mtok=usd,
        )

    def _rate(self, model: Any) -> float:
        """TFLOP/s of products of the numbers that the model computes with."""
        return self.matmul_tflop_per_s["fp32" if self._number_bytes(model) == 4 else "bf16"]

    def _number_bytes(self, model: Any) -> float:
        return float(model.words.weight.element_size())

    def _step(self, torch: Any, model: Any, row: DecodeRow) -> Callable[[], object]:
        generator = torch.Generator(device=self.place).manual_seed(self.seed)
        shape = (row.batch, 1 if row.phase == "decode" else row.tokens)
        tokens = torch.randint(self.shape.vocabulary, shape, generator=generator, device=self.place)
        start = row.tokens if row.phase == "decode" else 0
        mode = "reduce-overhead" if row.phase == "decode" else "max-autotune-no-cudagraphs"
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
        known = base is not None and row.median is not None
        compared.append(replace(row, speedup=(base or 0.0) / row.median if known and row.median else None))
    return compared
