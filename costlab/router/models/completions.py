"""What an OpenAI-compatible server sends back, read without trust: the answer, how sure it is, and what was billed."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

from costlab.errors import InvalidValueError
from costlab.router.models.prediction import ModelError, Prediction, Usage

__all__ = ["mean_probability", "read_completion", "read_usage"]

#: Of a server's own words, so many characters go into an error.
MAX_QUOTED = 200
#: Log-probabilities below minus this are nonsense. Servers write -9999 for a token that could not come.
MIN_LOG = 1e6


def mean_probability(log_probabilities: Sequence[float]) -> float:
    r"""Confidence of a generated answer: the geometric mean of its tokens' probabilities.

    .. math:: \exp\left(\frac1n \sum_i \log p_i\right)

    Returns
    -------
    float
        In 0..1; NaN for no tokens.

    Notes
    -----
    It says how usual the wording is to the model, not how right: calibrate it on labelled answers before a threshold
    means anything.

    Examples
    --------
    Two tokens, one certain and one with probability a quarter:

    >>> mean_probability([0.0, math.log(0.25)])
    0.5
    """
    values = list(log_probabilities)
    return min(1.0, math.exp(sum(values) / len(values))) if values else math.nan


def read_completion(text: str, parse: Callable[[str], Any] | None = None, *, usage_required: bool = True) -> Prediction:
    """The prediction in the body of a chat completion.

    Parameters
    ----------
    text : str
        The body.
    parse : callable, optional
        Makes the answer from the model's words; raises for words that are no answer.
    usage_required : bool
        Whether a body that does not say what was billed is an error. By default it is: it would count as free.

    Raises
    ------
    ModelError
        If the body is not a chat completion, holds no answer, or the answer is none to `parse`. Where the body says
        what was billed, the error does too; otherwise the error says that this is not known.
    """
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        raise ModelError(f"the answer is not JSON: {quoted(text)}", bill_unknown=True) from None
    usage = read_usage(body)
    choice = _first(body, "choices")
    if choice is None:
        raise ModelError(f"the answer is no chat completion: {quoted(text)}", usage, bill_unknown=True)
    message = choice.get("message")
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, str) or not content:
        reason = choice.get("finish_reason")
        refusal = message.get("refusal") if isinstance(message, dict) else None
        said = f": {quoted(refusal)}" if isinstance(refusal, str) else ""
        raise ModelError(f"the model gave no answer (finish_reason {reason!r}){said}", usage, bill_unknown=True)
    if usage is None:
        if usage_required:
            raise ModelError("the server does not say what was billed (no usage in its answer)", bill_unknown=True)
        usage = Usage()
    if parse is None:
        return Prediction(content, _confidence(choice), usage)
    try:
        answer = parse(content)
    except Exception as error:  # whatever it raises, the call is billed
        raise ModelError(f"not an answer: {quoted(content)} ({error})", usage) from error
    return Prediction(answer, _confidence(choice), usage)


def read_usage(body: Any) -> Usage | None:
    """What a chat completion says was billed; None where it does not, or not in whole numbers.

    The protocol's ``prompt_tokens`` are all input tokens and ``cached_tokens`` the part of them that was read from the
    prompt cache; ``completion_tokens`` are all output tokens, those of hidden reasoning included. DeepSeek names the
    cached ones ``prompt_cache_hit_tokens``. A server that counts the cached tokens beside the others, as Anthropic's
    own protocol does, is recognised where there are more of them than of all; otherwise nothing tells it apart.
    """
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    if cached is None:
        cached = usage.get("prompt_cache_hit_tokens")
    counts = (usage.get("prompt_tokens"), cached or 0, usage.get("completion_tokens", 0))
    whole = [n for n in counts if isinstance(n, int) and not isinstance(n, bool)]
    if len(whole) < len(counts):
        return None
    total, read, output = whole
    try:
        return Usage(total + read if read > total else total, read, output)
    except InvalidValueError:
        return None


def _first(body: Any, key: str) -> dict[str, Any] | None:
    found = body.get(key) if isinstance(body, dict) else None
    return found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else None


def _confidence(choice: dict[str, Any]) -> float:
    """From the tokens' log-probabilities; NaN where the server gives none, or nonsense."""
    logs = choice.get("logprobs")
    tokens = logs.get("content") if isinstance(logs, dict) else None
    if not isinstance(tokens, list):
        return math.nan
    found = [one.get("logprob") if isinstance(one, dict) else None for one in tokens]
    numbers = [p for p in found if isinstance(p, int | float) and not isinstance(p, bool)]
    usable = [p for p in numbers if -MIN_LOG <= p <= 0.0]
    return mean_probability(usable) if len(usable) == len(found) else math.nan


def quoted(text: str) -> str:
    """The beginning of a text, in quotes, for an error message."""
    return repr(text if len(text) <= MAX_QUOTED else text[:MAX_QUOTED] + "...")
