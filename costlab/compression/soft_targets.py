"""What a student is trained on: examples with a teacher's answers, and the distance from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.errors import InvalidValueError

__all__ = ["TARGETS", "UNLABELLED", "Examples", "distillation_loss"]

#: The label of an example that nobody labelled.
UNLABELLED: Final = -100

#: What of a teacher can be learnt.
TARGETS: Final = ("soft", "argmax")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """What a student learns from.

    Attributes
    ----------
    inputs : torch.Tensor
        One example a row.
    labels : torch.Tensor
        Number of the right class of each, int64, or ``UNLABELLED``.
    teacher_logits : torch.Tensor, optional
        What the teacher says of each, shape (examples, classes), before the softmax.
    teacher_hidden : torch.Tensor, optional
        An inner state of the teacher for each, shape (examples, width).
    """

    inputs: Any
    labels: Any
    teacher_logits: Any = None
    teacher_hidden: Any = None

    def __post_init__(self) -> None:
        for name in ("labels", "teacher_logits", "teacher_hidden"):
            rows = getattr(self, name)
            if rows is not None and len(rows) != len(self.inputs):
                raise InvalidValueError(name, f"as many as the inputs, {len(self.inputs)}", len(rows))

    def __len__(self) -> int:
        return len(self.inputs)

    def chosen(self, which: Any) -> Examples:
        """Some of them, by their positions."""
        states = (self.teacher_logits, self.teacher_hidden)
        logits, hidden = (None if rows is None else rows[which] for rows in states)
        return Examples(
            inputs=self.inputs[which], labels=self.labels[which], teacher_logits=logits, teacher_hidden=hidden
        )


def distillation_loss(
    logits: Any,
    examples: Examples,
    *,
    temperature: float = 2.0,
    alpha: float = 1.0,
    targets: str = "soft",
) -> Any:
    r"""What a student is trained to make small: its distance from the teacher, and from the labels.

    .. math:: \alpha\,T^2\,\mathrm{KL}\!\left(\mathrm{softmax}(t/T)\,\|\,\mathrm{softmax}(s/T)\right)
              + (1 - \alpha)\,\mathrm{CE}(s, y)

    with the student's logits :math:`s`, the teacher's :math:`t` and the labels :math:`y`. The gradient of the first
    term shrinks as :math:`1/T^2`, which the factor undoes, so that `alpha` means the same at every temperature.

    Parameters
    ----------
    logits : torch.Tensor
        What the student says, shape (examples, classes).
    examples : Examples
        What it should say.
    temperature : float
        How much the teacher's second thoughts count, > 0: 1 takes its probabilities as they are, more makes them even.
    alpha : float
        Weight of the teacher, in [0, 1]. Without a teacher it must be 0.
    targets : {'soft', 'argmax'}
        Learn the teacher's probabilities; or only its first choice as if it were a label, the control that tells soft
        targets from more data. The temperature plays no part then.

    Returns
    -------
    torch.Tensor
        A scalar, the mean over the examples; the labels' term over those that are labelled.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, or `alpha` asks for a teacher that is not there.
    UnknownNameError
        If there are no such targets.

    References
    ----------
    Hinton, Vinyals and Dean (2015), Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531

    Examples
    --------
    What does a student lose that says exactly what its teacher says?

    >>> import torch
    >>> said = torch.tensor([[2.0, 0.5, -1.0]])
    >>> same = Examples(inputs=said, labels=torch.tensor([UNLABELLED]), teacher_logits=said)
    >>> float(distillation_loss(said, same, temperature=4.0))
    0.0
    """
    functional = require("torch", "models").nn.functional
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
            said = (logits / high).log_softmax(1)
            taught = high**2 * functional.kl_div(said, wanted, reduction="batchmean", log_target=True)
        loss = loss + weight * taught
    labelled = examples.labels != UNLABELLED
    if weight < 1.0 and bool(labelled.any()):
        loss = loss + (1.0 - weight) * functional.cross_entropy(logits[labelled], examples.labels[labelled])
    return loss
