"""Students: small networks that answer what a large model would, at a fraction of its work."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import require

__all__ = ["hashed_words", "small_network", "words_network"]

_WORD: Final = re.compile(r"[a-z0-9']+")

#: Words and pairs of neighbours are counted in so many places; two that share one are taken for the same.
BUCKETS: Final = 8192


def hashed_words(texts: Sequence[str], buckets: int = BUCKETS) -> Any:
    """Numbers of the words and pairs of neighbouring words of each text, an array of int64 filled up with zeros.

    Parameters
    ----------
    texts : sequence of str
        Any texts; upper and lower case are one.
    buckets : int
        Numbers run from 1 to this, >= 1. They come from a checksum: nothing is fitted, and no word is unknown.

    Examples
    --------
    Do two texts with the same words in another order look the same?

    >>> a, b = hashed_words(["shared folder deleted", "deleted shared folder"])
    >>> sorted(set(a) & set(b)) == sorted(a), len(set(a) & set(b))
    (False, 4)
    """
    checks.integer("buckets", buckets, at_least=1)
    rows = []
    for text in texts:
        words = _WORD.findall(text.lower())
        pairs = [f"{one} {after}" for one, after in pairwise(words)]
        rows.append([1 + zlib.crc32(word.encode()) % buckets for word in (*words, *pairs)])
    numbers = np.zeros((len(rows), max(map(len, rows), default=0) or 1), dtype=np.int64)
    for place, row in zip(numbers, rows, strict=True):
        place[: len(row)] = row
    return numbers


def words_network(classes: int, *, width: int = 64, buckets: int = BUCKETS, seed: int = 0) -> Any:
    """A student of texts: the sum of a learnt vector for each word, and one layer on top.

    Parameters
    ----------
    classes : int
        Answers it tells apart, >= 1.
    width : int
        Numbers of a word's vector, >= 1.
    buckets : int
        As for :func:`hashed_words`.
    seed : int
        Of its first weights.

    Returns
    -------
    torch.nn.Module
        From numbers of :func:`hashed_words` as a tensor to logits. Its ``hidden`` gives the inner state.
    """
    torch = require("torch", "models")
    checks.integer("classes", classes, at_least=1)
    checks.integer("width", width, at_least=1)

    class Words(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Word vectors and a layer."""

        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.EmbeddingBag(buckets + 1, width, mode="sum", padding_idx=0)
            torch.nn.init.normal_(self.words.weight, std=0.1)
            self.output = torch.nn.Linear(width, classes)

        def hidden(self, numbers: Any) -> Any:
            """The summed vectors; long texts are scaled down."""
            length = (numbers > 0).sum(1, keepdim=True).clamp(min=1).float()
            return self.words(numbers) / length.sqrt()

        def forward(self, numbers: Any) -> Any:
            """Logits."""
            return self.output(torch.relu(self.hidden(numbers)))

    return _seeded(torch, Words, seed)


def small_network(inputs: int, classes: int, *, width: int = 8, layers: int = 1, seed: int = 0) -> Any:
    """A student (or, wide and deep, a teacher) of rows of numbers: layers of the same width.

    Parameters
    ----------
    inputs, classes : int
        Numbers of a row, and answers, >= 1.
    width, layers : int
        Of the inner layers, >= 1.
    seed : int
        Of its first weights.

    Returns
    -------
    torch.nn.Module
        From rows to logits. Its ``hidden`` gives the last inner state.
    """
    torch = require("torch", "models")
    for name, value in (("inputs", inputs), ("classes", classes), ("width", width), ("layers", layers)):
        checks.integer(name, value, at_least=1)

    class Layers(torch.nn.Module):  # type: ignore[misc, name-defined]
        """Layers with a bend between them."""

        def __init__(self) -> None:
            super().__init__()
            inner: list[Any] = []
            for layer in range(layers):
                inner += [torch.nn.Linear(width if layer else inputs, width), torch.nn.ReLU()]
            self.hidden = torch.nn.Sequential(*inner)
            self.output = torch.nn.Linear(width, classes)

        def forward(self, rows: Any) -> Any:
            """Logits."""
            return self.output(self.hidden(rows))

    return _seeded(torch, Layers, seed)


def _seeded(torch: Any, make: Any, seed: int) -> Any:
    """What `make` makes, with first weights of a seed; torch's own random state stays as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(checks.integer("seed", seed))
        return make()
