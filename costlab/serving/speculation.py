"""Speculative decoding: guess the next tokens, check them in one step, keep those that the model would have written."""

from costlab._internal import checks
from costlab.serving.throughput import Roofline


def tokens_per_check(acceptance_fraction: float, draft_tokens: int) -> float:
    r"""Tokens that a step writes on average when `draft_tokens` guesses are checked in it.

    .. math:: 1 + a + a^2 + \dots + a^k = \frac{1 - a^{k+1}}{1 - a}

    Guesses count up to the first wrong one, and the model's own next token comes on top.

    Parameters
    ----------
    acceptance_fraction : float
        Chance that the model would have written a guess, given that it would all before it, in 0..1.
    draft_tokens : int
        Guesses in a step, k >= 0.

    Notes
    -----
    The chances are taken as independent and equal. Counters of an engine give accepted over drafted tokens, which is
    less than this chance: guesses behind a wrong one count as drafted.

    References
    ----------
    Leviathan et al. (2023), Fast inference from transformers via speculative decoding, eq. 1,
    https://arxiv.org/abs/2211.17192

    Examples
    --------
    Four guesses of which the model would have written 80 %: how many tokens come out of a step?

    >>> round(tokens_per_check(0.8, 4), 2)
    3.36
    """
    chance = checks.fraction("acceptance_fraction", acceptance_fraction)
    drafted = checks.integer("draft_tokens", draft_tokens)
    return sum(chance**power for power in range(drafted + 1))


def speculation_speedup(
    on: Roofline,
    sequences: float,
    context_tokens: float,
    acceptance_fraction: float,
    draft_tokens: int,
    draft_s: float = 0.0,
) -> float:
    r"""How many times faster a batch writes with guesses than without; below 1 it loses.

    .. math:: \frac{\text{tokens per check}\; t_\text{step}}{t_\text{check} + t_\text{draft}}, \qquad
              t_\text{check} = \max\left(\frac{W}{\text{MBU} \cdot \text{bandwidth}},
              \frac{2 N B (k + 1)}{\text{MFU} \cdot \text{peak}}\right) + t_\text{KV} + t_0

    A check reads weights and KV cache once, as a step does, and multiplies for all :math:`k + 1` tokens of each of
    :math:`B` sequences. While a step waits for its weights the guesses are free; in a full batch they are not.

    Parameters
    ----------
    on : Roofline
        The model on its GPUs.
    sequences, context_tokens : float
        Sequences in the batch, > 0, and their mean length.
    acceptance_fraction, draft_tokens
        As in :func:`tokens_per_check`.
    draft_s : float
        Seconds to make the guesses of a step, >= 0: about 0 where they are looked up in the prompt.

    Examples
    --------
    Four guesses, 60 % right, for one user and for 256, with Llama-3.1-8B on an H100:

    >>> from costlab.serving import roofline
    >>> on = roofline("Llama-3.1-8B", "H100")
    >>> [round(speculation_speedup(on, users, 1000, 0.6, 4), 1) for users in (1, 256)]
    [2.3, 1.1]
    """
    users = checks.positive("sequences", sequences)
    tokens = tokens_per_check(acceptance_fraction, draft_tokens)
    _, _, cache = on.step_parts_s(users, context_tokens)
    weights, arithmetic, _ = on.step_parts_s(users * (draft_tokens + 1), 0.0)
    check_s = max(weights, arithmetic) + cache + on.overhead_s
    return tokens * on.step_s(users, context_tokens) / (check_s + checks.non_negative("draft_s", draft_s))
