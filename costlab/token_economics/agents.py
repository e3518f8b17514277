"""What an agent costs that sends its whole history with every call: plain, from the cache, and compacted."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from costlab._internal import checks
from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError


@dataclass(frozen=True, slots=True)
class Call:
    """The tokens of one call, as an API counts them.

    Attributes
    ----------
    input_tokens, output_tokens : int
        All that was sent, cached and written tokens included, and all that was answered.
    cached_input_tokens, cache_write_tokens : int
        How many of the input tokens were read from the prompt cache, and how many written to it.
    """

    input_tokens: int
    output_tokens: int
    cached_input_tokens: int = 0
    cache_write_tokens: int = 0


def resent_input_tokens(turns: int, system_tokens: int, turn_tokens: int, answer_tokens: int) -> int:
    r"""Input tokens of a conversation in which each call sends all that went before it.

    .. math:: n\,S + u\,\frac{n (n + 1)}{2} + a\,\frac{n (n - 1)}{2}

    The second and third term grow with the square of the number of turns: twice as long a conversation costs up to four
    times as much.

    Parameters
    ----------
    turns : int
        Calls, >= 0.
    system_tokens : int
        Tokens at the head of each call: instructions and the schemas of all tools, S >= 0.
    turn_tokens, answer_tokens : int
        Tokens that each turn adds to the history: what the user says or a tool returns, u >= 0, and the answer, a >= 0.

    Examples
    --------
    A hundred turns of 600 tokens, answered with 400, below 10,000 tokens of instructions: how many tokens are sent?

    >>> resent_input_tokens(100, 10_000, 600, 400)
    6010000
    """
    n = checks.integer("turns", turns)
    system = checks.integer("system_tokens", system_tokens)
    turn, answer = checks.integer("turn_tokens", turn_tokens), checks.integer("answer_tokens", answer_tokens)
    return n * system + turn * (n * (n + 1) // 2) + answer * (n * (n - 1) // 2)


def conversation(
    turns: int,
    system_tokens: int,
    turn_tokens: int,
    answer_tokens: int,
    *,
    cached: bool = False,
    compact_above_tokens: int | None = None,
    summary_tokens: int = 0,
) -> tuple[Call, ...]:
    """The calls of a conversation that resends its history, one by one.

    Parameters
    ----------
    turns, system_tokens, turn_tokens, answer_tokens
        As for :func:`resent_input_tokens`.
    cached : bool
        Whether each call writes what is new to the prompt cache and reads the rest from it, no entry ever expiring.
    compact_above_tokens : int, optional
        Before a turn that would send more than this, a further call replaces the history by a summary.
    summary_tokens : int
        Tokens of a summary, > 0 where there is compaction. The call that makes it sends the whole history once more.

    Raises
    ------
    InvalidValueError
        If a count is outside its domain, or a conversation is to be compacted at a length that a summary and one turn
        already exceed.

    Notes
    -----
    What a summary leaves out is not counted: a fact that is lost may cost turns. The summary changes all that follows
    the system prompt, so a cached conversation writes it and reads only the system prompt.

    Examples
    --------
    How many input tokens do 100 turns send, and how many once the history is compacted above 50,000?

    >>> plain = conversation(100, 10_000, 600, 400)
    >>> short = conversation(100, 10_000, 600, 400, compact_above_tokens=50_000, summary_tokens=2_000)
    >>> sum(call.input_tokens for call in plain), sum(call.input_tokens for call in short), len(short)
    (6010000, 2994000, 102)
    """
    checks.integer("turns", turns)
    system = checks.integer("system_tokens", system_tokens)
    turn, answer = checks.integer("turn_tokens", turn_tokens), checks.integer("answer_tokens", answer_tokens)
    if compact_above_tokens is not None:
        checks.integer("summary_tokens", summary_tokens, at_least=1)
        least = system + summary_tokens + turn
        if checks.integer("compact_above_tokens", compact_above_tokens) < least:
            raise InvalidValueError(
                "compact_above_tokens", f"at least {least}: one turn after a summary", compact_above_tokens
            )
    calls: list[Call] = []
    history, known = system, 0

    def call(sent: int, answered: int) -> None:
        nonlocal known
        calls.append(Call(sent, answered, known, sent - known) if cached else Call(sent, answered))
        known = sent

    for _ in range(turns):
        if compact_above_tokens is not None and history + turn > compact_above_tokens:
            call(history, summary_tokens)
            history, known = system + summary_tokens, min(known, system)
        history += turn
        call(history, answer)
        history += answer
    return tuple(calls)


def calls_usd(calls: Iterable[Call], price: ApiPrice, *, write: str = "cache_write") -> float:
    """The bill of calls in USD, each priced by its own length.

    Parameters
    ----------
    calls : iterable of Call
        As :func:`conversation` gives them.
    price : ApiPrice
        Of the model.
    write : {'cache_write', 'cache_write_1h'}
        For how long was written: the kind of tokens that a write is billed as.

    Examples
    --------
    What does the conversation of 100 turns cost at Claude Sonnet 4.5, and what with its cache?

    >>> from costlab.catalog import api_price
    >>> price = api_price("claude-sonnet-4-5")
    >>> bills = [calls_usd(conversation(100, 10_000, 600, 400, cached=one), price) for one in (False, True)]
    >>> [round(usd, 2) for usd in bills]
    [18.63, 2.78]
    """
    checks.one_of("kind of write", write, ("cache_write", "cache_write_1h"))
    usd = 0.0
    for one in calls:
        hour = one.cache_write_tokens if write == "cache_write_1h" else 0
        usd += price.usd(
            one.input_tokens,
            one.output_tokens,
            one.cached_input_tokens,
            cache_write_tokens=one.cache_write_tokens,
            cache_write_1h_tokens=hour,
        )
    return usd
