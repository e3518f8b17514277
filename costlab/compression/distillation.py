"""Distillation: a small student learns what a large teacher says, not only which answer is right."""

from __future__ import annotations

import copy
import math
import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression.instruments import progress_bar
from costlab.errors import InvalidValueError

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Network = TypeVar("Network")

#: The label of an example that no one labelled.
UNLABELLED: Final = -100

#: What of a teacher can be learnt.
TARGETS: Final = ("soft", "argmax")

#: Words and pairs of neighbours are counted in this many places; two that share one are taken for the same.
BUCKETS: Final = 8192

_WORD: Final = re.compile(r"[a-z0-9']+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a student learns from.

    Attributes
    ----------
    inputs, labels : torch.Tensor
        One example a row; and the number of the right class of each, int64, or ``UNLABELLED``.
    teacher_logits, teacher_hidden : torch.Tensor, optional
        What the teacher says of each before the softmax, shape (examples, classes); and an inner state of the teacher,
        shape (examples, width).
    """

    inputs: torch.Tensor
    labels: torch.Tensor
    teacher_logits: torch.Tensor | None = None
    teacher_hidden: torch.Tensor | None = None

    def __post_init__(self) -> None:
        for name in ("labels", "teacher_logits", "teacher_hidden"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.inputs):
                raise InvalidValueError(name, f"as many as the inputs, {len(self.inputs)}", len(rows))

    def __len__(self) -> int:
        return len(self.inputs)

    def chosen(self, which: torch.Tensor | slice) -> Examples:
        """Some of them, by their positions."""
        parts = {field.name: getattr(self, field.name) for field in fields(self)}
        return replace(self, **{name: rows[which] for name, rows in parts.items() if rows is not None})


def distillation_loss(
    logits: torch.Tensor, examples: Examples, *, temperature: float = 2.0, alpha: float = 1.0, targets: str = "soft"
) -> torch.Tensor:
    r"""What a student is trained to make small: its mean distance from the teacher, and from the labels there are.

    .. math:: \alpha\,T^2\,\mathrm{KL}\!\left(\mathrm{softmax}(t/T)\,\|\,\mathrm{softmax}(s/T)\right)
              + (1 - \alpha)\,\mathrm{CE}(s, y)

    with the student's logits :math:`s`, the teacher's :math:`t` and the labels :math:`y`. The gradient of the first
    term shrinks as :math:`1/T^2`, which the factor undoes, so that `alpha` means the same at every temperature.

    Parameters
    ----------
    logits, examples : torch.Tensor, Examples
        What the student says, shape (examples, classes); and what it should say.
    temperature : float
        How much the teacher's second thoughts count, > 0: 1 takes its probabilities as they are, more makes them even.
    alpha : float
        Weight of the teacher, in [0, 1]. Without a teacher it must be 0.
    targets : {'soft', 'argmax'}
        Learn the teacher's probabilities; or only its first choice as if it were a label, the control that tells soft
        targets from more data. The temperature plays no part then.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531

    Examples
    --------
    What does a student lose that says exactly what its teacher says?

    >>> import torch
    >>> logits = torch.tensor([[2.0, 0.5, -1.0]])
    >>> same = Examples(inputs=logits, labels=torch.tensor([UNLABELLED]), teacher_logits=logits)
    >>> float(distillation_loss(logits, same, temperature=4.0))
    0.0
    """
    with extra("models"):
        from torch.nn import functional
    high = checks.positive("temperature", temperature)
    weight = checks.fraction("alpha", alpha)
    checks.one_of("targets", targets, TARGETS)
    loss = logits.sum() * 0.0
    if weight > 0.0:
        if examples.teacher_logits is None:
            raise InvalidValueError("alpha", "0 without a teacher", alpha)
        if targets == "argmax":
            taught = functional.cross_entropy(logits, examples.teacher_logits.argmax(1))
        else:
            wanted = (examples.teacher_logits / high).log_softmax(1)
            given = (logits / high).log_softmax(1)
            taught = high**2 * functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
        loss = loss + weight * taught
    labelled = examples.labels != UNLABELLED
    if weight < 1.0 and bool(labelled.any()):
        loss = loss + (1.0 - weight) * functional.cross_entropy(logits[labelled], examples.labels[labelled])
    return loss


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a student was trained.

    Attributes
    ----------
    losses : tuple of float
        Mean loss of each epoch: on the validation examples where there are some, else on those trained on.
    best_epoch, steps : int
        The epoch of the least loss, from 0, whose weights are kept; and updates of the weights.
    stopped_early : bool
        Whether it ended before the last epoch because nothing got better.
    """

    losses: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    steps: int


class DistillOptions(TypedDict, total=False):
    """Options of :func:`distill`, where they are kept to be used."""

    temperature: float
    alpha: float
    targets: str
    hidden_weight: float
    epochs: int
    learning_rate: float


def distill(
    student: torch.nn.Module,
    examples: Examples,
    *,
    validation: Examples | None = None,
    temperature: float = 2.0,
    alpha: float = 1.0,
    targets: str = "soft",
    hidden_weight: float = 0.0,
    epochs: int = 40,
    batch: int = 64,
    learning_rate: float = 0.01,
    patience: int = 4,
    least_gain_fraction: float = 0.01,
    seed: int = 0,
    progress: bool = False,
) -> Training:
    """Train a student on what its teacher says, and on labels; without a teacher, `alpha` 0 is plain training.

    Parameters
    ----------
    student : torch.nn.Module
        Maps inputs to logits. It is trained itself, and ends in evaluation mode with the weights of its best epoch.
    examples, validation : Examples
        What it learns from; and what decides when to stop, by default the former.
    temperature, alpha, targets
        As for :func:`costlab.compression.distillation_loss`.
    hidden_weight : float
        Weight, >= 0, of a further term: the squared difference between ``student.hidden(inputs)``, carried to the
        teacher's width by a linear map that is trained along and then dropped, and the teacher's inner state, as a
        share of that state's own square.
    epochs, batch : int
        Passes over the examples at most, and examples of a step; >= 1.
    learning_rate : float
        Of Adam, > 0.
    patience, least_gain_fraction : int, float
        Epochs, >= 1, after which training ends unless the loss fell by this share of itself, in [0, 1).
    seed : int
        Of the order of the examples and of the linear map. The student's first weights are the caller's.
    progress : bool
        Show a bar on stderr.

    Raises
    ------
    InvalidValueError
        If a teacher's part is asked for and absent, or the loss is no longer a number.

    Notes
    -----
    On one thread of a CPU the same seed gives the same weights. Torch's own random state is left as it was.

    Examples
    --------
    Does a student learn what its teacher knows, of examples that no one labelled?

    >>> import torch
    >>> from costlab.compression import UNLABELLED, Examples, small_network
    >>> points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> logits = torch.stack([points[:, 0] - points[:, 1], points[:, 1] - points[:, 0]], dim=1)
    >>> unlabelled = Examples(inputs=points, labels=torch.full((200,), UNLABELLED), teacher_logits=logits)
    >>> student = small_network(2, 2, seed=1)
    >>> training = distill(student, unlabelled, learning_rate=0.05)
    >>> bool((student(points).argmax(1) == logits.argmax(1)).float().mean() > 0.95)
    True
    """
    with extra("models"):
        import torch
    checks.non_negative("hidden_weight", hidden_weight)
    checks.integer("epochs", epochs, at_least=1)
    checks.integer("batch", batch, at_least=1)
    checks.positive("learning_rate", learning_rate)
    checks.integer("patience", patience, at_least=1)
    checks.fraction("least_gain_fraction", least_gain_fraction, one=False)
    checks.integer("seed", seed)
    if not len(examples) or (validation is not None and not len(validation)):
        raise InvalidValueError("examples", "not empty", len(examples))
    order = torch.Generator().manual_seed(seed)
    hidden_distance = _HiddenDistance(student, examples, hidden_weight, seed) if hidden_weight else None

    def loss_of(chosen: Examples) -> torch.Tensor:
        logits = student(chosen.inputs)
        loss = distillation_loss(logits, chosen, temperature=temperature, alpha=alpha, targets=targets)
        return loss if hidden_distance is None else loss + hidden_weight * hidden_distance(chosen)

    carried = () if hidden_distance is None else hidden_distance.carry.parameters()
    optimizer = torch.optim.Adam([*student.parameters(), *carried], lr=learning_rate)
    stop = _Stopping(student, patience, least_gain_fraction)
    steps = 0
    with progress_bar(progress, epochs, "training") as advance:
        for epoch in range(epochs):
            student.train()
            total = 0.0
            for which in torch.randperm(len(examples), generator=order).split(batch):
                loss = loss_of(examples.chosen(which))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(which)
                steps += 1
            mean = total / len(examples)
            if validation is not None:
                student.eval()
                with torch.no_grad():
                    mean = float(loss_of(validation))
            advance(f"epoch {epoch + 1}, loss {mean:.4g}")
            if stop.after(epoch, mean):
                break
    return stop.training(steps, epochs)


class _HiddenDistance:
    """How far a student's inner state, carried to the teacher's width by a linear map, is from the teacher's."""

    def __init__(self, student: torch.nn.Module, examples: Examples, weight: float, seed: int) -> None:
        import torch

        hidden: Callable[[torch.Tensor], torch.Tensor] | None = getattr(student, "hidden", None)
        if examples.teacher_hidden is None or hidden is None:
            raise InvalidValueError("hidden_weight", "0 without inner states of both", weight)
        with torch.no_grad():
            width, teacher_width = hidden(examples.inputs[:1]).shape[-1], examples.teacher_hidden.shape[-1]
        self._hidden = hidden
        self.carry = _seeded(lambda: torch.nn.Linear(width, teacher_width), seed)

    def __call__(self, chosen: Examples) -> torch.Tensor:
        wanted = chosen.teacher_hidden
        if wanted is None:
            raise InvalidValueError("validation", "one with the teacher's inner states", wanted)
        carried: torch.Tensor = self.carry(self._hidden(chosen.inputs))
        return (carried - wanted).square().mean() / wanted.square().mean()


class _Stopping:
    """Keeps the best weights, and says when nothing gets better."""

    def __init__(self, student: torch.nn.Module, patience: int, least_gain_fraction: float) -> None:
        self._student, self._patience, self._gain = student, patience, least_gain_fraction
        self._losses: list[float] = []
        self._bar, self._since, self._best = math.inf, 0, 0
        self._kept = student.state_dict()

    def after(self, epoch: int, loss: float) -> bool:
        """Whether to end after this epoch."""
        if not math.isfinite(loss):
            raise InvalidValueError("learning_rate", f"smaller: the loss of epoch {epoch + 1} is no number", loss)
        self._losses.append(loss)
        if loss <= min(self._losses):
            self._best, self._kept = epoch, copy.deepcopy(self._student.state_dict())
        if loss < self._bar * (1.0 - self._gain):
            self._bar, self._since = loss, 0
        else:
            self._since += 1
        return self._since >= self._patience

    def training(self, steps: int, epochs: int) -> Training:
        """What happened; the student has its best weights again."""
        self._student.load_state_dict(self._kept)
        self._student.eval()
        return Training(
            losses=tuple(self._losses), best_epoch=self._best, stopped_early=len(self._losses) < epochs, steps=steps
        )


def hashed_words(texts: Sequence[str], buckets: int = BUCKETS) -> NDArray[np.int64]:
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
        pairs = [f"{word} {after}" for word, after in pairwise(words)]
        rows.append([1 + zlib.crc32(word.encode()) % buckets for word in (*words, *pairs)])
    numbers = np.zeros((len(rows), max(map(len, rows), default=0) or 1), dtype=np.int64)
    for place, row in zip(numbers, rows, strict=True):
        place[: len(row)] = row
    return numbers


def words_network(classes: int, *, width: int = 64, buckets: int = BUCKETS, seed: int = 0) -> torch.nn.Module:
    """A student of texts: the sum of a learnt vector for each word, its ``hidden``, and one layer on top.

    From numbers of :func:`hashed_words`, as a tensor, to logits.

    Parameters
    ----------
    classes, width : int
        Answers it tells apart, and numbers of a word's vector, >= 1.
    buckets, seed : int
        As for :func:`hashed_words`; and of its first weights.
    """
    with extra("models"):
        import torch
    checks.integer("classes", classes, at_least=1)
    checks.integer("width", width, at_least=1)

    class Words(torch.nn.Module):
        """Word vectors and a layer."""

        def __init__(self) -> None:
            super().__init__()
            self.words = torch.nn.EmbeddingBag(buckets + 1, width, mode="sum", padding_idx=0)
            torch.nn.init.normal_(self.words.weight, std=0.1)
            self.output = torch.nn.Linear(width, classes)

        def hidden(self, numbers: torch.Tensor) -> torch.Tensor:
            """The summed vectors; long texts are scaled down."""
            length = (numbers > 0).sum(1, keepdim=True).clamp(min=1).float()
            summed: torch.Tensor = self.words(numbers)
            return summed / length.sqrt()

        def forward(self, numbers: torch.Tensor) -> torch.Tensor:
            """Logits."""
            logits: torch.Tensor = self.output(torch.relu(self.hidden(numbers)))
            return logits

    return _seeded(Words, seed)


def small_network(inputs: int, classes: int, *, width: int = 8, layers: int = 1, seed: int = 0) -> torch.nn.Module:
    """A student (or, wide and deep, a teacher) of rows of numbers: layers of one width, the last is its ``hidden``.

    Parameters
    ----------
    inputs, classes : int
        Numbers of a row, and answers, >= 1.
    width, layers, seed : int
        Of the inner layers, >= 1; and of its first weights.
    """
    with extra("models"):
        import torch
    for name, value in (("inputs", inputs), ("classes", classes), ("width", width), ("layers", layers)):
        checks.integer(name, value, at_least=1)

    class Layers(torch.nn.Module):
        """Layers with a bend between them."""

        def __init__(self) -> None:
            super().__init__()
            inner: list[torch.nn.Module] = []
            for layer in range(layers):
                inner += [torch.nn.Linear(width if layer else inputs, width), torch.nn.ReLU()]
            self.hidden = torch.nn.Sequential(*inner)
            self.output = torch.nn.Linear(width, classes)

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            """Logits."""
            logits: torch.Tensor = self.output(self.hidden(rows))
            return logits

    return _seeded(Layers, seed)


def _seeded(make: Callable[[], Network], seed: int) -> Network:
    """What `make` makes, with first weights of a seed; torch's own random state stays as it was."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(checks.integer("seed", seed))
        return make()
