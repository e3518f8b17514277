"""The roofline: a step takes as long as the slower of reading its bytes and doing its arithmetic.

From its times follow what fits into memory, how long a batch takes, and how many requests a second a replica serves.
"""

import math
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from costlab._internal import checks
from costlab.catalog import GpuSpec, gpu
from costlab.errors import InvalidValueError
from costlab.serving.efficiency import Efficiency, measured_efficiency, usual_precision
from costlab.serving.models import ModelSpec, model_spec
from costlab.units import BYTES_PER_GB, FLOPS_PER_TFLOP

#: How a busy server reads prompts: together with what it writes for others, as engines with continuous batching and
#: chunked prefill do; or each by itself.
Prefill = Literal["packed", "alone"]

#: More sequences than any GPU holds.
MAX_SEQUENCES: Final = 10**12


@dataclass(frozen=True, slots=True)
class MemoryFit:
    """Whether a model fits, and how many sequences beside it.

    Attributes
    ----------
    fits : bool
        True when the weights and at least one sequence have room.
    max_batch : int
        Sequences that have room beside the weights; 0 when it does not fit.
    weights_bytes, kv_bytes_per_sequence, usable_bytes : float
        Memory of the weights, of one sequence's KV cache, and what both may fill together.
    reasons : tuple of str
        Why it does not fit; empty when it does.
    """

    fits: bool
    max_batch: int
    weights_bytes: float
    kv_bytes_per_sequence: float
    usable_bytes: float
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Roofline:
    """A model on a GPU, or on `gpus` of them together: the times of its two phases. Made by :func:`roofline`.

    *Prefill* reads the prompt, all tokens at once, and is bound by arithmetic in the number format `precision`.
    *Decode* writes the answer, a token per step and sequence, and reads all weights for every step: bound by bandwidth
    until the batch is large.
    """

    model: ModelSpec
    gpu: GpuSpec
    gpus: int
    efficiency: Efficiency
    precision: str
    _bytes_per_s: float = field(repr=False)
    _flops_per_s: float = field(repr=False)

    @property
    def overhead_s(self) -> float:
        """Seconds of a step that shrink neither with the bytes nor with the operations."""
        return self.efficiency.step_overhead_s + self.model.layers * self.efficiency.layer_overhead_s

    def prefill_s(self, tokens: float, sequences: float = 1.0) -> float:
        r"""Seconds to read prompts of `tokens` tokens each, `sequences` of them at once, in a step of their own.

        .. math:: t = \max\left(\frac{B\,(2 N T + 2 L H D\, T^2)}{\text{MFU} \cdot \text{peak}},
                  \frac{W}{\text{MBU} \cdot \text{bandwidth}}\right) + t_0

        with :math:`N` used weights of :math:`W` bytes, :math:`L` layers, :math:`H` heads of size :math:`D`. The second
        term in the first fraction is causal attention; :math:`t_0` is `overhead_s`.
        """
        if not tokens:
            return 0.0
        weights = self.model.weights_read(sequences * tokens) * self.model.bytes_per_weight
        return max(sequences * self.prompt_arithmetic_s(tokens), weights / self._bytes_per_s) + self.overhead_s

    def prompt_arithmetic_s(self, tokens: float) -> float:
        """Seconds of arithmetic for a prompt of `tokens` tokens: the first of the two in :meth:`prefill_s`."""
        shape = self.model
        attention = 2 * shape.layers * shape.heads * shape.head_dim * tokens * tokens
        return (2 * shape.used_parameters * tokens + attention) / self._flops_per_s

    def added_prefill_s(self, tokens: float, prefill: Prefill = "packed") -> float:
        """Seconds that a prompt of `tokens` tokens adds to the steps of a server that is at work anyway.

        ``packed``: its arithmetic, since the step that reads it reads the weights for all sequences once. ``alone``:
        the longer of arithmetic and reading all weights, as of an engine that stops for each prompt.
        """
        if prefill == "packed":
            return self.prompt_arithmetic_s(tokens)
        return self.prefill_s(tokens) - self.overhead_s if tokens else 0.0

    def step_s(self, sequences: float, context_tokens: float) -> float:
        r"""Seconds of one decoding step: one token more for each of `sequences` sequences of this mean length.

        .. math:: t = \max\left(\frac{W}{\text{MBU} \cdot \text{bandwidth}},
                  \frac{2 N B}{\text{MFU} \cdot \text{peak}}\right)
                  + \frac{B\,c\,K}{\text{MBU} \cdot \text{bandwidth}} + t_0

        with :math:`W` bytes of weights, :math:`K` bytes of KV cache per token and :math:`c` tokens of context. The
        matrices and the attention are separate kernels, one after the other, so their times add up. Attention does a
        few operations for every byte it reads, and is bound by reading on every GPU of the catalogue.
        """
        weights, arithmetic, cache = self.step_parts_s(sequences, context_tokens)
        return max(weights, arithmetic) + cache + self.overhead_s

    def step_parts_s(self, sequences: float, context_tokens: float) -> tuple[float, float, float]:
        """Seconds of a decoding step for reading the weights, multiplying with them, and reading the KV cache.

        The greater of the first two counts, and the third comes on top.
        """
        shape = self.model
        weights = shape.weights_read(sequences) * shape.bytes_per_weight / self._bytes_per_s
        arithmetic = sequences * 2 * shape.used_parameters / self._flops_per_s
        return weights, arithmetic, sequences * context_tokens * shape.kv_bytes_per_token / self._bytes_per_s

    def largest_batch(self, limit_s: float, context_tokens: float, per_sequence_s: float = 0.0) -> int:
        """About the largest batch whose step, and `per_sequence_s` for every other sequence, stays within a limit.

        Exact for a dense model, up to rounding; too small for a mixture of experts, which is taken to read all weights.
        """
        if limit_s == math.inf:
            return MAX_SEQUENCES
        left = limit_s - self.overhead_s + per_sequence_s
        _, arithmetic, cache = self.step_parts_s(1.0, context_tokens)
        each = cache + per_sequence_s
        by_reading = (left - self._all_weights_s()) / each if each else math.inf
        return int(min(MAX_SEQUENCES, max(0.0, min(by_reading, left / (arithmetic + each)))))

    def critical_batch(self) -> float:
        """The batch at which arithmetic takes as long as reading the weights, the KV cache aside."""
        return self._all_weights_s() * self._flops_per_s / (2 * self.model.used_parameters)

    def _all_weights_s(self) -> float:
        held = self.model.parameters - self.model.lookup_parameters
        return held * self.model.bytes_per_weight / self._bytes_per_s


def roofline(
    model: ModelSpec | str,
    gpu_name: GpuSpec | str,
    gpus: int = 1,
    efficiency: Efficiency | None = None,
    precision: str | None = None,
) -> Roofline:
    """The roofline of a model on a GPU.

    Parameters
    ----------
    model : ModelSpec or str
        The model, or its name in the catalogue.
    gpu_name : GpuSpec or str
        The GPU, or its name.
    gpus : int
        GPUs that share one replica (tensor parallel), >= 1. Memory, bandwidth and arithmetic add up.
    efficiency : Efficiency, optional
        How much of the data sheet is reached; by default what was measured, see :func:`measured_efficiency`.
    precision : str, optional
        Number format of the arithmetic; by default bf16, or fp16 on a GPU without it. Weights stored narrower are
        widened before they are multiplied, so they save bytes and no arithmetic.

    Raises
    ------
    UnknownNameError
        If the model, the GPU or the precision is unknown.
    InvalidValueError
        If `gpus` is not a whole number >= 1, or the data sheet states no rate for the precision.

    Notes
    -----
    Left out: talk between the GPUs of a replica; on eight A100, Llama-2-7B reaches 39 % of eight times the speed of one
    (gpt-fast), so lower the efficiency. Counted too much: the output matrix, for every token of a prompt instead of the
    last. Counted too little: memory of more GPUs than there are key-value heads, each of which holds a copy of the
    cache; steps near the batch where reading and arithmetic take the same time, which are slower than either; and short
    prompts, whose matrices fill no GPU.

    References
    ----------
    Williams, Waterman and Patterson (2009), Roofline, CACM 52(4), https://doi.org/10.1145/1498765.1498785

    Pope et al. (2022), Efficiently Scaling Transformer Inference, https://arxiv.org/abs/2211.05102

    Examples
    --------
    How many milliseconds does an A100 need per token of Llama-2-7B, alone and at the start of a conversation?

    >>> round(1000 * roofline("Llama-2-7B", "A100 80GB").step_s(1, 100), 1)
    10.9
    """
    shape = model if isinstance(model, ModelSpec) else model_spec(model)
    board = gpu_name if isinstance(gpu_name, GpuSpec) else gpu(gpu_name)
    checks.integer("gpus", gpus, at_least=1)
    if precision is None:
        precision = usual_precision(board)
    if efficiency is None:
        efficiency = measured_efficiency(board.name, shape.bytes_per_weight, precision).likely
    bytes_per_s = efficiency.mbu_fraction * gpus * board.bandwidth_gb_per_s * BYTES_PER_GB
    flops_per_s = efficiency.mfu_fraction * gpus * board.dense_tflops(precision) * FLOPS_PER_TFLOP
    return Roofline(shape, board, gpus, efficiency, precision, bytes_per_s, flops_per_s)


def memory_fit(on: Roofline, context_tokens: float) -> MemoryFit:
    """Whether a model fits into its GPUs, and how many sequences of a length have room beside it.

    Parameters
    ----------
    on : Roofline
        The model on its GPUs.
    context_tokens : float
        Length of a sequence at its longest, prompt and answer, > 0.

    Notes
    -----
    A data sheet's GB are taken as 1e9 bytes. Boards with stacked memory (A100, H100, H200) hold up to 7 % more, so the
    answer is on the safe side there.

    Examples
    --------
    Does Llama-3.1-70B fit into one H100?

    >>> memory_fit(roofline("Llama-3.1-70B", "H100"), 1000).reasons
    ('the weights take 141.1 GB, and 72.0 of 80 GB may be filled',)
    """
    checks.positive("context_tokens", context_tokens)
    memory = on.gpus * on.gpu.memory_gb * BYTES_PER_GB
    usable = on.efficiency.memory_fraction * memory
    weights = on.model.weights_bytes
    each = context_tokens * on.model.kv_bytes_per_token
    room = usable - weights
    batch = max(0, math.floor(room / each))
    reasons: tuple[str, ...] = ()
    if batch == 0:
        weights_gb, filled = weights / BYTES_PER_GB, f"{usable / BYTES_PER_GB:.1f} of {memory / BYTES_PER_GB:g} GB"
        reason = f"the weights take {weights_gb:.1f} GB"
        if room >= 0:
            sequence = f"one sequence of {context_tokens:g} tokens takes {each / BYTES_PER_GB:.1f} GB"
            reason = f"{sequence} beside {weights_gb:.1f} GB of weights"
        reasons = (f"{reason}, and {filled} may be filled",)
    return MemoryFit(batch > 0, batch, weights, each, usable, reasons)


def _checked_tokens(input_tokens: float, output_tokens: float) -> tuple[float, float]:
    """Both lengths as floats; refused are negative ones, an answer of less than a token, and no tokens at all."""
    prompt = checks.non_negative("input_tokens", input_tokens)
    answer = checks.non_negative("output_tokens", output_tokens)
    if 0.0 < answer < 1.0 or prompt + answer == 0.0:
        raise InvalidValueError("output_tokens", "a number >= 1, or 0 where there is a prompt", output_tokens)
    return prompt, answer


@dataclass(frozen=True, slots=True)
class BatchRun:
    """A batch of equal requests, started together and run to the end in `seconds`.

    Attributes
    ----------
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

    Examples
    --------
    How many tokens a second do 60 conversations get out of Llama-2-7B on an A100?

    >>> round(batch_run(roofline("Llama-2-7B", "A100 80GB"), 60, 128, 2048).output_tokens_per_s)
    1737
    """
    checks.integer("sequences", sequences, at_least=1)
    input_tokens, output_tokens = _checked_tokens(input_tokens, output_tokens)
    ttft = on.prefill_s(input_tokens, sequences)
    step = on.step_s(sequences, input_tokens + output_tokens / 2)
    seconds = ttft + output_tokens * step
    return BatchRun(seconds, ttft, step, sequences * output_tokens / seconds)


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica can serve, steadily and within its limits; the figures are None where nothing can be served.

    Attributes
    ----------
    fits : bool
        Whether anything can be served within memory and limits.
    requests_per_s, output_tokens_per_s : float or None
        Requests and written tokens per second at full load, of all sequences together.
    batch : int
        Sequences in progress at a time; 0 when nothing fits.
    ttft_s, inter_token_s : float or None
        Time to first token at full load, waiting in a queue aside, and mean time between two tokens of an answer; the
        latter is None where nothing is written.
    limited_by : str
        What keeps the batch from being larger: ``memory``, ``time to first token``, ``inter-token latency`` or ``max
        sequences``.
    bound_by : str
        What a larger batch would be short of: ``bandwidth``, then more patience still buys requests; or ``arithmetic``,
        then it buys nothing more. Empty when nothing fits.
    reasons : tuple of str
        Why nothing can be served; empty when something can.
    """

    fits: bool
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    batch: int = 0
    ttft_s: float | None = None
    inter_token_s: float | None = None
    limited_by: str = ""
    bound_by: str = ""
    reasons: tuple[str, ...] = ()


def _reading_capacity(on: Roofline, tokens: float, ttft_limit: float, most: int) -> Capacity:
    """The capacity of a model that only reads, with up to `most` prompts in a step."""
    lone, arithmetic = on.prefill_s(tokens) - on.overhead_s, on.prompt_arithmetic_s(tokens)
    if lone > ttft_limit:
        reason = f"a lone request takes {1000 * lone:.0f} ms"
        return Capacity(False, limited_by="time to first token", reasons=(reason,))
    # As many prompts as are read while the weights are: more of them would wait for each other and gain nothing.
    batch = max(1, min(most, math.floor(lone / arithmetic)))
    bound = "bandwidth" if (batch + 1) * arithmetic <= lone else "arithmetic"
    return Capacity(
        True, batch / lone, 0.0, batch, lone, None, "memory" if bound == "bandwidth" else "arithmetic", bound
    )


def capacity(
    on: Roofline,
    input_tokens: float,
    output_tokens: float,
    max_ttft_s: float | None = None,
    max_inter_token_s: float | None = None,
    cached_input_fraction: float = 0.0,
    max_sequences: int | None = None,
    prefill: Prefill = "packed",
) -> Capacity:
    r"""The requests per second that a replica serves steadily, new ones joining the batch as others end.

    With :math:`B` sequences in progress, of mean length :math:`c`, a request takes the GPU for its own prefill and its
    share of every step it takes part in:

    .. math:: \frac1R = t_\text{prefill} + \frac{T_\text{out}\, t_\text{step}(B, c)}{B}

    While it writes, it waits for the prefill of each of the :math:`B - 1` others, so that

    .. math:: t_\text{token} = t_\text{step}(B, c) + \frac{(B - 1)\, t_\text{prefill}}{T_\text{out}}, \qquad
              t_\text{first} = t_\text{step}(B, c) + t_\text{prefill}

    (A prompt is read in steps that write for the others at the same time: it has no overhead of its own and, packed,
    reads no weights of its own; see :meth:`Roofline.added_prefill_s`.)

    and Little's law holds: :math:`B = R\,(t_\text{prefill} + T_\text{out}\, t_\text{token})`. All of them grow with
    :math:`B`; so the answer is the largest batch that memory and limits allow. A model that only reads
    (:math:`T_\text{out} = 0`, an encoder) serves :math:`1 / t_\text{prefill}`, or
    packed as many prompts in that time as the arithmetic allows.

    Parameters
    ----------
    on : Roofline
        The model on its GPUs.
    input_tokens, output_tokens : float
        Mean length of a prompt, >= 0, and of an answer, >= 1, or 0 where nothing is written.
    max_ttft_s, max_inter_token_s : float, optional
        Limits of the service level: longest time to first token, and longest mean time between tokens, > 0.
    cached_input_fraction : float
        Share of the prompt, in 0..1, whose keys and values the server still has from an earlier request (prefix
        caching). It need not be read again; its memory is still counted for every sequence.
    max_sequences : int, optional
        The server's own limit on sequences in progress, >= 1.
    prefill : {"packed", "alone"}
        How prompts are read. Packed, the default: in the steps that write for the other sequences, whose weights are
        read once for both, as vLLM and SGLang do. Alone: each by itself, weights read again. It matters for prompts
        shorter than the batch at which arithmetic takes as long as reading.

    Notes
    -----
    At full load a queue would grow without end: plan with `max_utilization_fraction` in :func:`replicas_needed`.
    Lengths are taken as their means; memory is reserved for the full length. Packed prompts are counted on top of the
    step, though a step that waits for its weights has arithmetic to spare: the answer is on the safe side. A prompt of
    a mixture of experts reads experts that few sequences would not; that is left out.

    References
    ----------
    Yu et al. (2022), Orca: a distributed serving system for transformer-based generative models, OSDI'22,
    https://www.usenix.org/conference/osdi22/presentation/yu

    Agrawal et al. (2024), Taming throughput-latency tradeoff in LLM inference with Sarathi-Serve, OSDI'24,
    https://www.usenix.org/conference/osdi24/presentation/agrawal

    Examples
    --------
    How many chats a second does one L4 serve with Llama-3.1-8B in fp8, if tokens must come every 100 ms?

    >>> from dataclasses import replace
    >>> small = replace(model_spec("Llama-3.1-8B"), bytes_per_weight=1.0)
    >>> round(capacity(roofline(small, "L4"), 400, 200, max_inter_token_s=0.1).requests_per_s, 1)
    5.2
    """
    prompt, answer = _checked_tokens(input_tokens, output_tokens)
    ttft_limit = math.inf if max_ttft_s is None else checks.positive("max_ttft_s", max_ttft_s)
    token_limit = math.inf if max_inter_token_s is None else checks.positive("max_inter_token_s", max_inter_token_s)
    fresh = prompt * (1.0 - checks.fraction("cached_input_fraction", cached_input_fraction))
    fit = memory_fit(on, prompt + answer)
    if not fit.fits:
        return Capacity(False, limited_by="memory", reasons=fit.reasons)
    if prefill not in get_args(Prefill):
        raise InvalidValueError("prefill", " or ".join(get_args(Prefill)), prefill)
    most, limited_by = fit.max_batch, "memory"
    if max_sequences is not None and checks.integer("max_sequences", max_sequences, at_least=1) < most:
        most, limited_by = max_sequences, "max sequences"
    if answer == 0.0:
        if fresh == 0.0:
            raise InvalidValueError("cached_input_fraction", "below 1 where nothing is written", cached_input_fraction)
        return _reading_capacity(on, fresh, ttft_limit, 1 if prefill == "alone" else most)
    added, context = on.added_prefill_s(fresh, prefill), prompt + answer / 2
    per_token = added / answer

    def broken(batch: int) -> str:
        step = on.step_s(batch, context)
        if step + added > ttft_limit:
            return "time to first token"
        return "inter-token latency" if step + (batch - 1) * per_token > token_limit else ""

    if first := broken(1):
        step = on.step_s(1, context)
        reason = f"a lone request has a token every {1000 * step:.0f} ms"
        if first == "time to first token":
            reason = f"a lone request has its first token after {1000 * (step + added):.0f} ms"
        return Capacity(False, limited_by=first, reasons=(reason,))
    batch = most
    if reason := broken(most):
        # A dense model's times are straight lines in the batch, so the answer is next to the guess; then by halves.
        low, high, limited_by = 1, most, reason
        by_first = on.largest_batch(ttft_limit - added, context)
        guess = min(by_first, on.largest_batch(token_limit, context, per_token))
        guesses = [guess + 1, guess]
        while high - low > 1:
            middle = guesses.pop() if guesses else (low + high) // 2
            if not low < middle < high:
                continue
            if reason := broken(middle):
                high, limited_by = middle, reason
            else:
                low = middle
        batch = low
    weights, arithmetic, _ = on.step_parts_s(batch, context)
    step = on.step_s(batch, context)
    rate = 1.0 / (added + answer * step / batch)
    bound = "arithmetic" if arithmetic > weights else "bandwidth"
    between = step + (batch - 1) * per_token
    return Capacity(True, rate, rate * answer, batch, step + added, between, limited_by, bound)
