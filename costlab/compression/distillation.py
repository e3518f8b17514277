"""Distillation: a small student learns what a large teacher says, not only which answer is right."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.progress import bar
from costlab.compression.soft_targets import Examples, distillation_loss
from costlab.errors import InvalidValueError

__all__ = ["Training", "distill"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Training:
    """How a student was trained.

    Attributes
    ----------
    losses : tuple of float
        Mean loss of each epoch: on the validation examples where there are some, else on those trained on.
    best_epoch : int
        The epoch of the least loss, from 0; its weights are the ones kept.
    stopped_early : bool
        Whether it ended before the last epoch because nothing got better.
    steps : int
        Updates of the weights.
    """

    losses: tuple[float, ...]
    best_epoch: int
    stopped_early: bool
    steps: int


def distill(
    student: Any,
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
    epochs : int
        Passes over the examples at most, >= 1.
    batch : int
        Examples of a step, >= 1.
    learning_rate : float
        Of Adam, > 0.
    patience : int
        Epochs, >= 1, after which training ends unless the loss fell by `least_gain_fraction` of itself.
    least_gain_fraction : float
        What counts as better, in [0, 1).
    seed : int
        Of the order of the examples and of the linear map. The student's first weights are the caller's.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    Training

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, there are no examples, a teacher's part is asked for and absent, or the loss
        is no longer a number.

    Notes
    -----
    On one thread of a CPU the same seed gives the same weights. Torch's own random state is left as it was.

    Examples
    --------
    Does a student learn what its teacher knows, of examples that nobody labelled?

    >>> import torch
    >>> from costlab.compression import UNLABELLED, Examples, small_network
    >>> points = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    >>> said = torch.stack([points[:, 0] - points[:, 1], points[:, 1] - points[:, 0]], dim=1)
    >>> unlabelled = Examples(inputs=points, labels=torch.full((200,), UNLABELLED), teacher_logits=said)
    >>> student = small_network(2, 2, seed=1)
    >>> training = distill(student, unlabelled, learning_rate=0.05)
    >>> bool((student(points).argmax(1) == said.argmax(1)).float().mean() > 0.95)
    True
    """
    torch = require("torch", "models")
    options = _Options(temperature, alpha, targets, checks.non_negative("hidden_weight", hidden_weight))
    checks.integer("epochs", epochs, at_least=1)
    checks.integer("batch", batch, at_least=1)
    checks.positive("learning_rate", learning_rate)
    checks.integer("patience", patience, at_least=1)
    checks.fraction("least_gain_fraction", least_gain_fraction, one=False)
    checks.integer("seed", seed)
    if not len(examples) or (validation is not None and not len(validation)):
        raise InvalidValueError("examples", "not empty", len(examples))
    order = torch.Generator().manual_seed(seed)
    carry = _carry(torch, student, examples, options, seed)
    weights = [*student.parameters(), *(() if carry is None else carry.parameters())]
    optimizer = torch.optim.Adam(weights, lr=learning_rate)
    stop = _Stopping(student, patience, least_gain_fraction)
    steps = 0
    with bar(progress, epochs, "training") as advance:
        for epoch in range(epochs):
            student.train()
            total = 0.0
            for which in torch.randperm(len(examples), generator=order).split(batch):
                loss = _loss(student, examples.chosen(which), options, carry)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                total += float(loss.detach()) * len(which)
                steps += 1
            mean = total / len(examples)
            if validation is not None:
                student.eval()
                with torch.no_grad():
                    mean = float(_loss(student, validation, options, carry))
            advance(f"epoch {epoch + 1}, loss {mean:.4g}")
            if stop.after(epoch, mean):
                break
    return stop.training(steps, epochs)


@dataclass(frozen=True, slots=True)
class _Options:
    temperature: float
    alpha: float
    targets: str
    hidden_weight: float


def _carry(torch: Any, student: Any, examples: Examples, options: _Options, seed: int) -> Any:
    """The linear map from the student's inner state to the teacher's, where that is asked for."""
    if options.hidden_weight == 0.0:
        return None
    if examples.teacher_hidden is None or not hasattr(student, "hidden"):
        raise InvalidValueError("hidden_weight", "0 without inner states of both", options.hidden_weight)
    with torch.no_grad():
        width = student.hidden(examples.inputs[:1]).shape[-1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.nn.Linear(width, examples.teacher_hidden.shape[-1])


def _loss(student: Callable[..., Any], chosen: Examples, options: _Options, carry: Any) -> Any:
    loss = distillation_loss(
        student(chosen.inputs),
        chosen,
        temperature=options.temperature,
        alpha=options.alpha,
        targets=options.targets,
    )
    if carry is None:
        return loss
    inner: Any = student.hidden  # type: ignore[attr-defined]
    wanted = chosen.teacher_hidden
    apart = (carry(inner(chosen.inputs)) - wanted).square().mean() / wanted.square().mean()
    return loss + options.hidden_weight * apart


class _Stopping:
    """Keeps the best weights, and says when nothing gets better."""

    def __init__(self, student: Any, patience: int, least_gain_fraction: float) -> None:
        self._student, self._patience, self._gain = student, patience, least_gain_fraction
        self._losses: list[float] = []
        self._bar, self._since, self._best, self._kept = math.inf, 0, 0, None

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
            losses=tuple(self._losses),
            best_epoch=self._best,
            stopped_early=len(self._losses) < epochs,
            steps=steps,
        )
