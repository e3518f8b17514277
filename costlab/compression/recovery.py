"""Fine-tuning after pruning: the weights that are left learn to say what the whole model said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from costlab._internal import checks
from costlab._internal.extras import require
from costlab.compression.models import PackagedModel
from costlab.compression.progress import bar
from costlab.datasets import support_queries
from costlab.errors import InvalidValueError

__all__ = ["recover"]


def recover(
    pruned: Any,
    found: PackagedModel,
    *,
    texts: Sequence[str] | None = None,
    steps: int = 60,
    batch: int = 16,
    learning_rate: float = 2e-4,
    seed: int = 0,
    progress: bool = False,
) -> tuple[float, ...]:
    r"""Train a pruned model, its masks attached, to answer as the model it was; it is changed itself.

    The loss is the distance from that teacher: of an encoder :math:`1 - \cos`, of its sentence vectors; of a language
    model :math:`\mathrm{KL}` of its next tokens. No label is needed.

    Parameters
    ----------
    pruned : torch.nn.Module
        What :func:`costlab.compression.prune` made of the model.
    found : PackagedModel
        The model before, the teacher, with its tokenizer.
    texts : sequence of str, optional
        What both read; by default the support queries of the part ``train``.
    steps : int
        Updates, >= 1.
    batch : int
        Texts of each, >= 1.
    learning_rate : float
        Of AdamW, > 0; it falls to zero in a straight line.
    seed : int
        Of the order of the texts.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    tuple of float
        The loss of each step, before its update.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, there are no texts, or the loss is no longer a number.
    """
    torch = require("torch", "models")
    checks.integer("steps", steps, at_least=1)
    checks.integer("batch", batch, at_least=1)
    checks.positive("learning_rate", learning_rate)
    generator = torch.Generator().manual_seed(checks.integer("seed", seed))
    if texts is None:
        texts = [query.text for query in support_queries().split("train")]
    if not texts:
        raise InvalidValueError("texts", "not empty", texts)
    apart = _vectors_apart if found.kind == "encoder" else _tokens_apart
    place = next(pruned.parameters()).device
    teacher = found.model.to(place)
    optimizer = torch.optim.AdamW(pruned.parameters(), lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / steps)
    losses = []
    with bar(progress, steps, "fine-tuning") as advance:
        for _ in range(steps):
            which = torch.randint(len(texts), (batch,), generator=generator).tolist()
            read = _read(found.tokenizer, [texts[k] for k in which]).to(place)
            loss = apart(torch, pruned, teacher, read)
            losses.append(float(loss.detach()))
            if losses[-1] != losses[-1]:
                raise InvalidValueError("learning_rate", "smaller: the loss is no number", learning_rate)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            advance(f"loss {losses[-1]:.4g}")
    pruned.eval()
    return tuple(losses)


def _read(tokenizer: Any, texts: list[str]) -> Any:
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer(texts, padding=True, truncation=True, max_length=128, return_tensors="pt")


def _vectors_apart(torch: Any, pruned: Any, teacher: Any, read: Any) -> Any:
    with torch.no_grad():
        wanted = _vectors(teacher, read)
    return 1.0 - torch.nn.functional.cosine_similarity(_vectors(pruned, read), wanted).mean()


def _vectors(model: Any, read: Any) -> Any:
    return (model(**read).last_hidden_state * read["attention_mask"].unsqueeze(-1)).sum(1)


def _tokens_apart(torch: Any, pruned: Any, teacher: Any, read: Any) -> Any:
    seen = read["attention_mask"].bool()
    with torch.no_grad():
        wanted = teacher(**read).logits[seen].log_softmax(-1)
    said = pruned(**read).logits[seen].log_softmax(-1)
    return torch.nn.functional.kl_div(said, wanted, reduction="batchmean", log_target=True)
