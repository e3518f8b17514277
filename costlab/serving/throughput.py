"""How many requests a second a replica serves: a batch run to its end, and a server that takes them as they come."""

import math
from dataclasses import dataclass

from costlab._internal import checks
from costlab.serving.roofline import Roofline, checked_tokens, memory_fit

__all__ = ["BatchRun", "Capacity", "batch_run", "capacity"]


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch of equal requests, started together and run to the end.

    Attributes
    ----------
    seconds : float
        From the start to the last token.
    ttft_s : float
        Time to first token: reading the prompts of the whole batch, whose last position gives the first token.
    inter_token_s : float
        Time between two tokens of a sequence, on average.
    output_tokens_per_s : float
        Tokens written per second, of all sequences together.
    """

    seconds: float
    ttft_s: float
    inter_token_s: float
    output_tokens_per_s: float


def batch_run(on: Roofline, sequences: int, input_tokens: float, output_tokens: float) -> BatchRun:
    r"""The times of a batch that is read together and written together: how throughput tables are measured.

    .. math:: t = t_\text{prefill}(B, T_\text{in})
              + T_\text{out}\; t_\text{step}\!\left(B,\ T_\text{in} + \tfrac12 T_\text{out}\right)

    Parameters
    ----------
    on : Roofline
        The model on its GPUs. Whether the batch fits is not asked here; see :func:`memory_fit`.
    sequences : int
        Requests in the batch, >= 1.
    input_tokens, output_tokens : float
        Length of each prompt, >= 0, and of each answer, >= 1, or 0 for a model that only reads.

    Returns
    -------
    BatchRun

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Examples
    --------
    How many tokens a second do 60 conversations get out of Llama-2-7B on an A100?

    >>> from costlab.serving import roofline
    >>> round(batch_run(roofline("Llama-2-7B", "A100 80GB"), 60, 128, 2048).output_tokens_per_s)
    1720
    """
    checks.integer("sequences", sequences, at_least=1)
    input_tokens, output_tokens = checked_tokens(input_tokens, output_tokens)
    ttft = on.prefill_s(input_tokens, sequences)
    step = on.step_s(sequences, input_tokens + output_tokens / 2)
    seconds = ttft + output_tokens * step
    return BatchRun(seconds, ttft, step, sequences * output_tokens / seconds)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica can serve, steadily and within its limits.

    Attributes
    ----------
    fits : bool
        False when nothing can be served within memory and limits: then the figures below are None, and `reasons` says
        why.
    requests_per_s : float or None
        Requests per second at full load.
    output_tokens_per_s : float or None
        Tokens written per second, of all sequences together.
    batch : int
        Sequences in progress at a time; 0 when nothing fits.
    ttft_s : float or None
        Time to first token at full load, waiting in a queue aside.
    inter_token_s : float or None
        Mean time between two tokens of an answer at full load; None where nothing is written.
    limited_by : str
        What keeps the batch from being larger: ``memory``, ``time to first token``, ``inter-token latency`` or
        ``max sequences``.
    bound_by : str
        What a larger batch would be short of: ``bandwidth``, then more patience still buys requests; or
        ``arithmetic``, then it buys nothing more. Empty when nothing fits.
    reasons : tuple of str
        Why nothing can be served; empty when something can.
    """

    fits: bool
    requests_per_s: float | None
    output_tokens_per_s: float | None
    batch: int
    ttft_s: float | None
    inter_token_s: float | None
    limited_by: str
    bound_by: str
    reasons: tuple[str, ...]


def capacity(
    on: Roofline,
    input_tokens: float,
    output_tokens: float,
    max_ttft_s: float | None = None,
    max_inter_token_s: float | None = None,
    cached_input_fraction: float = 0.0,
    max_sequences: int | None = None,
) -> Capacity:
    r"""The requests per second that a replica serves steadily, new ones joining the batch as others end.

    With :math:`B` sequences in progress, of mean length :math:`c`, a request takes the GPU for its own prefill and its
    share of every step it takes part in:

    .. math:: \frac1R = t_\text{prefill} + \frac{T_\text{out}\, t_\text{step}(B, c)}{B}

    While it writes, it waits for the prefill of each of the :math:`B - 1` others, so that

    .. math:: t_\text{token} = t_\text{step}(B, c) + \frac{(B - 1)\, t_\text{prefill}}{T_\text{out}}, \qquad
              t_\text{first} = t_\text{step}(B, c) + t_\text{prefill}

    and Little's law holds: :math:`B = R\,(t_\text{prefill} + T_\text{out}\, t_\text{token})`. All of them grow with
    :math:`B`; so the answer is the largest batch that memory and limits allow. A model that only reads
    (:math:`T_\text{out} = 0`, an encoder) serves :math:`1 / t_\text{prefill}`.

    Parameters
    ----------
    on : Roofline
        The model on its GPUs.
    input_tokens, output_tokens : float
        Mean length of a prompt, >= 0, and of an answer, >= 1, or 0 where nothing is written.
    max_ttft_s, max_inter_token_s : float, optional
        Limits of the service level: longest time to first token, and longest mean time between tokens, > 0.
    cached_input_fraction : float
        Share of the prompt whose keys and values the server still has from an earlier request (prefix caching), in
        0..1. It need not be read again; its memory is counted for every sequence all the same.
    max_sequences : int, optional
        The server's own limit on sequences in progress, >= 1.

    Returns
    -------
    Capacity

    Raises
    ------
    InvalidValueError
        If an argument is outside its domain.

    Notes
    -----
    At full load a queue would grow without end: plan with `max_utilization_fraction` in
    :func:`costlab.serving.replicas_needed`. Lengths are taken as their means; memory is reserved for the full length.

    References
    ----------
    Yu et al. (2022), Orca: a distributed serving system for transformer-based generative models, OSDI'22,
    https://www.usenix.org/conference/osdi22/presentation/yu

    Examples
    --------
    How many chats a second does one L4 serve with Llama-3.1-8B in fp8, if tokens must come every 100 ms?

    >>> from dataclasses import replace
    >>> from costlab.serving import model_spec, roofline
    >>> small = replace(model_spec("Llama-3.1-8B"), bytes_per_weight=1.0)
    >>> round(capacity(roofline(small, "L4"), 400, 200, max_inter_token_s=0.1).requests_per_s, 1)
    4.7
    """
    prompt, answer = checked_tokens(input_tokens, output_tokens)
    ttft_limit = math.inf if max_ttft_s is None else checks.positive("max_ttft_s", max_ttft_s)
    token_limit = math.inf if max_inter_token_s is None else checks.positive("max_inter_token_s", max_inter_token_s)
    fresh = prompt * (1.0 - checks.fraction("cached_input_fraction", cached_input_fraction))
    fit = memory_fit(on, prompt + answer)
    if not fit.fits:
        return _nothing("memory", fit.reasons)
    prefill, context = on.prefill_s(fresh), prompt + answer / 2
    if answer == 0.0:
        return _reading(prefill, ttft_limit)
    most, limited_by = fit.max_batch, "memory"
    if max_sequences is not None and checks.integer("max_sequences", max_sequences, at_least=1) < most:
        most, limited_by = max_sequences, "max sequences"
    per_token = prefill / answer

    def broken(batch: int) -> str:
        step = on.step_s(batch, context)
        if step + prefill > ttft_limit:
            return "time to first token"
        return "inter-token latency" if step + (batch - 1) * per_token > token_limit else ""

    if first := broken(1):
        return _nothing(first, (_why(first, on.step_s(1, context), prefill),))
    batch = most
    if reason := broken(most):
        # A dense model's times are straight lines in the batch, so the answer is next to the guess; then by halves.
        low, high, limited_by = 1, most, reason
        by_first = on.largest_batch(ttft_limit - prefill, context)
        guess = min(by_first, on.largest_batch(token_limit, context, per_token))
        for middle in (guess, guess + 1):
            if low < middle < high:
                if reason := broken(middle):
                    high, limited_by = middle, reason
                else:
                    low = middle
        while high - low > 1:
            middle = (low + high) // 2
            if reason := broken(middle):
                high, limited_by = middle, reason
            else:
                low = middle
        batch = low
    step = on.step_s(batch, context)
    rate = 1.0 / (prefill + answer * step / batch)
    bound = "arithmetic" if on.is_arithmetic_bound(batch, context) else "bandwidth"
    between = step + (batch - 1) * per_token
    return Capacity(True, rate, rate * answer, batch, step + prefill, between, limited_by, bound, ())


def _nothing(limited_by: str, reasons: tuple[str, ...]) -> Capacity:
    return Capacity(False, None, None, 0, None, None, limited_by, "", reasons)


def _reading(prefill: float, ttft_limit: float) -> Capacity:
    if prefill > ttft_limit:
        return _nothing("time to first token", (f"a lone request takes {1000 * prefill:.0f} ms",))
    return Capacity(True, 1.0 / prefill, 0.0, 1, prefill, None, "arithmetic", "arithmetic", ())


def _why(limit: str, step: float, prefill: float) -> str:
    if limit == "time to first token":
        return f"a lone request has its first token after {1000 * (step + prefill):.0f} ms"
    return f"a lone request has a token every {1000 * step:.0f} ms"
