"""Models larger than a GPU: what their GPUs send each other, and steps of such models as their kernels were timed."""

from dataclasses import dataclass
from datetime import date
from functools import cache

from costlab._internal import checks
from costlab._internal.rows import shipped_rows
from costlab.serving.models import model_spec
from costlab.units import BYTES_PER_GB


def allreduce_s(message_bytes: float, gpus: int, link_gb_per_s: float, latency_s: float = 0.0) -> float:
    r"""Seconds in which `gpus` GPUs add up a message that each of them holds, so that each has the sum.

    .. math:: t = t_0 + \frac{2\,(n - 1)}{n} \cdot \frac{M}{\text{link}}

    Around a ring every GPU sends each of :math:`n` parts of the message on twice, but for its own.

    Parameters
    ----------
    message_bytes : float
        Size of the message, M >= 0.
    gpus : int
        GPUs, n >= 1; one alone sends nothing.
    link_gb_per_s : float
        What a GPU sends a second to its neighbours, in GB of 1e9 bytes, one direction, > 0.
    latency_s : float
        Seconds that the smallest message takes, >= 0.

    References
    ----------
    Patarasuk and Yuan (2009), Bandwidth optimal all-reduce algorithms for clusters of workstations, J. Parallel
    Distrib. Comput. 69(2), https://doi.org/10.1016/j.jpdc.2008.09.002

    Examples
    --------
    Eight GPUs with 450 GB/s add up 4 MB. How many microseconds, if the smallest message takes 5?

    >>> round(1e6 * allreduce_s(4e6, 8, 450, 5e-6), 1)
    20.6
    """
    size = checks.non_negative("message_bytes", message_bytes)
    number = checks.integer("gpus", gpus, at_least=1)
    link = checks.positive("link_gb_per_s", link_gb_per_s) * BYTES_PER_GB
    start = checks.non_negative("latency_s", latency_s)
    return start + 2 * (number - 1) / number * size / link if number > 1 else 0.0


def exchange_s(
    layers: int, hidden_size: int, tokens: float, gpus: int, link_gb_per_s: float, latency_s: float = 0.0
) -> float:
    r"""Seconds of a step in which the GPUs of a tensor-parallel replica talk to each other.

    Two sums a layer, after the attention and after the MLP, of a vector of `hidden_size` 16-bit numbers for each token:

    .. math:: t = 2 L\; t_\text{all-reduce}(2 B H)

    Parameters
    ----------
    layers, hidden_size : int
        Layers L of the model and width H of what passes between them, >= 1.
    tokens : float
        Tokens in the step, B >= 0: one for each sequence that writes, all of a prompt.
    gpus, link_gb_per_s, latency_s
        As in :func:`allreduce_s`.

    Notes
    -----
    :class:`~costlab.serving.Roofline` leaves this out; add it to its steps. It does not shrink with more GPUs.

    References
    ----------
    Shoeybi et al. (2019), Megatron-LM, https://arxiv.org/abs/1909.08053

    Examples
    --------
    How many milliseconds of a step of 256 chats does Llama-3.1-70B spend on talk between eight H100?

    >>> round(1e3 * exchange_s(80, 8192, 256, 8, 450, 5e-6), 1)
    3.4
    """
    count = 2 * checks.integer("layers", layers, at_least=1)
    width = checks.integer("hidden_size", hidden_size, at_least=1)
    message = 2 * width * checks.non_negative("tokens", tokens)
    return count * allreduce_s(message, gpus, link_gb_per_s, latency_s)


def adapter_parameters(rank: int, layers: int, matrices: tuple[tuple[int, int], ...]) -> int:
    r"""Weights of a low-rank adapter (LoRA), which are all that a customer of a shared base model has of their own.

    .. math:: L \sum_i r\,(n_i + m_i)

    for a change of rank :math:`r` to each :math:`n_i \times m_i` matrix of :math:`L` layers.

    Parameters
    ----------
    rank, layers : int
        Rank of the change and layers of the model, >= 1.
    matrices : tuple of (int, int)
        Inputs and outputs of each matrix of a layer that is adapted, >= 1.

    References
    ----------
    Hu et al. (2021), LoRA: low-rank adaptation of large language models, https://arxiv.org/abs/2106.09685

    Examples
    --------
    Rank 16 for the queries and values of Llama-3.1-8B, of 4,096 inputs and 4,096 or 1,024 outputs: how many millions?

    >>> round(adapter_parameters(16, 32, ((4096, 4096), (4096, 1024))) / 1e6, 1)
    6.8
    """
    each = sum(checks.integer("size", n, 1) + checks.integer("size", m, 1) for n, m in matrices)
    return checks.integer("rank", rank, 1) * checks.integer("layers", layers, 1) * each


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelStep:
    """A decoding step of a large model: the kernels that it consists of, each timed by itself, and added up.

    Attributes
    ----------
    model, gpu, gpus : str, str, int
        What ran, on which GPU and on how many that share it by tensor parallelism.
    batch, context_tokens : int
        Sequences, and tokens that each of them has behind it.
    step_s, experts_s, exchange_s : float
        Seconds of the step, and in it of the experts' matrices and of the sums across GPUs, 0 where there are none.
    engine, source, source_url, checked
        Whose kernels, where they were read, and when.
    """

    model: str
    gpu: str
    gpus: int
    batch: int
    context_tokens: int
    step_s: float
    experts_s: float
    exchange_s: float
    engine: str
    source: str
    source_url: str
    checked: date


@cache
def _steps() -> tuple[KernelStep, ...]:
    return tuple(
        KernelStep(**{key: value for key, value in table.items() if key != "row"} | row)
        for table in shipped_rows("costlab.serving", "large.toml", "table")
        for row in table["row"]
    )


def kernel_steps(model: str, gpu: str | None = None) -> tuple[KernelStep, ...]:
    """Steps of a large model, by GPUs and batch, as NVIDIA timed their kernels.

    They are no runs of an engine: what it does between the kernels is left out.

    Raises
    ------
    UnknownNameError
        If the catalogue has no such model; one without rows gives none.

    Examples
    --------
    A mixture of experts has 3 billion active weights. How much longer is its step for 64 sequences than for one?

    >>> times = {step.batch: step.step_s for step in kernel_steps("Qwen3-30B-A3B", "H200")}
    >>> round(times[64] / times[1], 1)
    4.4
    """
    name = model_spec(model).name
    return tuple(step for step in _steps() if step.model == name and gpu in (None, step.gpu))
