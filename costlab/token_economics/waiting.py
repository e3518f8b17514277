"""What waiting is worth: half the price for work that may wait, and the queue before a limit of tokens a minute."""

from __future__ import annotations

from collections.abc import Iterable

from costlab._internal import checks
from costlab.catalog import ApiPrice
from costlab.errors import InvalidValueError
from costlab.units import SECONDS_PER_MINUTE


def batch_saving_fraction(
    price: ApiPrice,
    waiting: ApiPrice,
    *,
    input_tokens: float,
    output_tokens: float,
    cached_fraction: float = 0.0,
    cached_while_waiting_fraction: float | None = None,
) -> float:
    r"""The share of a request's price that a tier of service saves for which it must wait.

    .. math:: s = 1 - \frac{\text{usd}_\text{waiting}(x, y, c' x)}{\text{usd}(x, y, c x)}

    Parameters
    ----------
    price, waiting : ApiPrice
        Of the standard tier and of the other, as ``api_price(..., service_tier="batch")`` gives it.
    input_tokens, output_tokens : float
        Of a request, >= 0; not both 0.
    cached_fraction, cached_while_waiting_fraction : float
        Shares of the input that come from the prompt cache, in 0..1, in either tier; by default the same. A batch
        that is worked off within its day, in any order, often finds less there.

    Notes
    -----
    Two discounts do not always multiply: at some providers a read from the cache costs the same in a batch.

    Examples
    --------
    What does a batch save on gpt-4.1 of 10,000 tokens in and 500 out, and what where nine tenths of them are cached?

    >>> from costlab.catalog import api_price
    >>> prices = api_price("gpt-4.1"), api_price("gpt-4.1", service_tier="batch")
    >>> size = {"input_tokens": 10_000, "output_tokens": 500}
    >>> [round(batch_saving_fraction(*prices, **size, cached_fraction=share), 2) for share in (0, 0.9)]
    [0.5, 0.29]
    """
    cached = checks.fraction("cached_fraction", cached_fraction)
    later = cached if cached_while_waiting_fraction is None else cached_while_waiting_fraction
    checks.fraction("cached_while_waiting_fraction", later)
    standard = price.usd(input_tokens, output_tokens, cached * input_tokens)
    if not standard:
        raise InvalidValueError("input_tokens", "of a request that costs something", input_tokens)
    return 1 - waiting.usd(input_tokens, output_tokens, later * input_tokens) / standard


def limited_waits_s(times_s: Iterable[float], tokens: Iterable[float], tokens_per_minute: float) -> tuple[float, ...]:
    r"""Seconds that each request waits in front of a limit of tokens a minute, first come, first served.

    .. math:: W_{i+1} = \max\left(0,\; W_i + \frac{60\,n_i}{L} - (t_{i+1} - t_i)\right)

    Parameters
    ----------
    times_s : iterable of float
        When requests come, in seconds, ascending.
    tokens : iterable of float
        Tokens of each that count against the limit, >= 0.
    tokens_per_minute : float
        The limit L, > 0.

    Notes
    -----
    The limit is a server that works off its tokens evenly. A provider that allows a minute's tokens at once delays
    short bursts less, and long ones the same.

    References
    ----------
    Lindley (1952), The theory of queues with a single server, Proc. Cambridge Phil. Soc. 48, 277-289

    Examples
    --------
    Two requests of 1,000 tokens at the same moment, and 60,000 tokens a minute: how long does the second wait?

    >>> limited_waits_s((0.0, 0.0), (1_000, 1_000), 60_000)
    (0.0, 1.0)
    """
    checks.positive("tokens_per_minute", tokens_per_minute)
    waits: list[float] = []
    latest, free_s = None, 0.0
    for time_s, count in zip(times_s, tokens, strict=True):
        if latest is not None and not time_s >= latest:
            raise InvalidValueError("times_s", "ascending", time_s)
        start_s = time_s if latest is None else max(time_s, free_s)
        waits.append(start_s - time_s)
        free_s = start_s + checks.non_negative("tokens", count) * SECONDS_PER_MINUTE / tokens_per_minute
        latest = time_s
    return tuple(waits)


def mean_wait_s(requests_per_s: float, mean_tokens: float, cv_tokens: float, tokens_per_minute: float) -> float:
    r"""Seconds that a request waits on average in front of a limit, where requests arrive as a Poisson process.

    .. math:: W = \frac{\rho}{1 - \rho}\,\frac{1 + c^2}{2}\,\frac{60\,\bar n}{L}
        \qquad\text{with}\qquad \rho = \lambda\,\frac{60\,\bar n}{L}

    Parameters
    ----------
    requests_per_s : float
        Rate, >= 0.
    mean_tokens, cv_tokens : float
        Mean of the tokens of a request, > 0, and their standard deviation over it, >= 0.
    tokens_per_minute : float
        The limit L, > 0; infinite waits where the requests need as much or more.

    References
    ----------
    The formula of Pollaczek and Khinchine for M/G/1: Kleinrock (1975), Queueing Systems, volume 1, section 5.6

    Examples
    --------
    Requests of exactly 1,000 tokens need half of the limit. How long do they wait, measured in their own service time?

    >>> round(mean_wait_s(0.5, 1_000, 0, 60_000), 3)
    0.5
    """
    rate = checks.non_negative("requests_per_s", requests_per_s)
    service_s = checks.positive("mean_tokens", mean_tokens) * SECONDS_PER_MINUTE
    service_s /= checks.positive("tokens_per_minute", tokens_per_minute)
    spread = 1 + checks.non_negative("cv_tokens", cv_tokens) ** 2
    load = rate * service_s
    return float("inf") if load >= 1 else load / (1 - load) * spread / 2 * service_s
