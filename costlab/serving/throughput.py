"""How many requests a second a replica serves: a batch run to its end, and a server that takes them as they come."""

from dataclasses import dataclass

from costlab import checks
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
        Time to first token: reading the prompts of the whole batch.
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
        Length of each prompt, >= 0, and of each answer, >= 1.

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
    checks.whole("sequences", sequences, at_least=1)
    checked_tokens(input_tokens, output_tokens)
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
        Mean time between two tokens of an answer at full load.
    limited_by : str
        What keeps the batch from being larger: ``memory``, ``time to first token`` or ``inter-token latency``.
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
    reasons: tuple[str, ...]


def capacity(
    on: Roofline,
    input_tokens: float,
    output_tokens: float,
    max_ttft_s: float | None = None,
    max_inter_token_s: float | None = None,
) -> Capacity:
    r"""The requests per second that a replica serves steadily, new ones joining the batch as others end.

    With :math:`B` sequences in progress, of mean length :math:`c`, a request takes the GPU for its own prefill and its
    share of every step it takes part in:

    .. math:: \frac1R = t_\text{prefill} + \frac{T_\text{out}\, t_\text{step}(B, c)}{B}

    Each of the others waits for that prefill, so that (Little's law, :math:`B = R\, T_\text{out}\, t_\text{token}`)

    .. math:: t_\text{token} = t_\text{step}(B, c) + \frac{B\, t_\text{prefill}}{T_\text{out}}, \qquad
              t_\text{first} = t_\text{step}(B, c) + t_\text{prefill}

    Both grow with :math:`B`, and so does :math:`R`; so the answer is the largest batch that memory and limits allow.

    Parameters
    ----------
    on : Roofline
        The model on its GPUs.
    input_tokens, output_tokens : float
        Mean length of a prompt, >= 0, and of an answer, >= 1.
    max_ttft_s, max_inter_token_s : float, optional
        Limits of the service level: longest time to first token, and longest mean time between tokens, > 0.

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
    checked_tokens(input_tokens, output_tokens)
    ttft_limit = None if max_ttft_s is None else checks.positive("max_ttft_s", max_ttft_s)
    token_limit = None if max_inter_token_s is None else checks.positive("max_inter_token_s", max_inter_token_s)
    fit = memory_fit(on, input_tokens + output_tokens)
    if not fit.fits:
        return Capacity(False, None, None, 0, None, None, "memory", fit.reasons)
    prefill = on.prefill_s(input_tokens)
    context = input_tokens + output_tokens / 2

    def too_slow(batch: int) -> str:
        step = on.step_s(batch, context)
        if ttft_limit is not None and step + prefill > ttft_limit:
            return "time to first token"
        if token_limit is not None and step + batch * prefill / output_tokens > token_limit:
            return "inter-token latency"
        return ""

    low, high, limited_by = 1, fit.max_batch, too_slow(fit.max_batch) or "memory"
    if limited_by == "memory":
        low = high
    elif first := too_slow(1):
        return Capacity(False, None, None, 0, None, None, first, (_why(on, first, prefill, context, output_tokens),))
    while high - low > 1:
        middle = (low + high) // 2
        if reason := too_slow(middle):
            high, limited_by = middle, reason
        else:
            low = middle
    step = on.step_s(low, context)
    rate = 1.0 / (prefill + output_tokens * step / low)
    return Capacity(
        fits=True,
        requests_per_s=rate,
        output_tokens_per_s=rate * output_tokens,
        batch=low,
        ttft_s=step + prefill,
        inter_token_s=step + low * prefill / output_tokens,
        limited_by=limited_by,
        reasons=(),
    )


def _why(on: Roofline, limit: str, prefill: float, context: float, output_tokens: float) -> str:
    step = on.step_s(1, context)
    if limit == "time to first token":
        return f"a lone request has its first token after {1000 * (step + prefill):.0f} ms"
    return f"a lone request has a token every {1000 * (step + prefill / output_tokens):.0f} ms"
