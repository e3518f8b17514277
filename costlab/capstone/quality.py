"""How good the models are that a plan may choose, as sources say."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any

from costlab._internal import checks
from costlab.errors import InvalidValueError

__all__ = ["model_qualities", "model_quality"]


@cache
def _sources() -> dict[str, Any]:
    return tomllib.loads((files("costlab.capstone") / "quality.toml").read_text(encoding="utf-8"))


def model_qualities() -> dict[str, float]:
    """MMLU of every model, unquantized, best first: share of right answers, in 0..1.

    References
    ----------
    OpenAI, simple-evals (read 2026), https://github.com/openai/simple-evals
    """
    known: dict[str, float] = _sources()["mmlu"]["fraction"]
    return dict(known)


def model_quality(model: str, weights: str = "bf16") -> float:
    """MMLU of a model, with what quantization leaves of it.

    Parameters
    ----------
    model : str
        Name of the model.
    weights : str
        ``bf16``, as the model is published, or what it was quantized to.

    Returns
    -------
    float
        Share of right answers, in 0..1.

    Raises
    ------
    UnknownNameError
        If the model is not in the table.
    InvalidValueError
        If no source says what these weights cost in quality.

    Notes
    -----
    MMLU is not the company's task, and a floor on it is a crutch. Measure your own.

    Examples
    --------
    What does Llama-3.1-8B lose to 4-bit weights?

    >>> round(model_quality("Llama-3.1-8B") - model_quality("Llama-3.1-8B", "int4"), 4)
    0.0164
    """
    known = model_qualities()
    quality = known[checks.one_of("model", model, known)]
    if weights == "bf16":
        return quality
    kept = {row["weights"]: row["fraction"] for row in _sources()["kept"] if row["model"] == model}
    if weights not in kept:
        raise InvalidValueError("weights", f"one of {', '.join(['bf16', *kept])} for {model}", weights)
    left: float = kept[weights]
    return quality * left
