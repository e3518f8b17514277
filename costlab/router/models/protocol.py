"""What every model keeps: a query in, an answer out, with how sure it is and what was billed; and a scripted one."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, cast

from costlab._internal import checks
from costlab._internal.masking import Mask
from costlab.errors import CostlabError, InvalidValueError
from costlab.events import MAX_COUNT, PARTS, SERVICE_TIERS, ServedAs

T = TypeVar("T")
#: The counts of a call beside input, cached input and output.
USAGE_PARTS: Final = (
    "cache_write_tokens", "cache_write_1h_tokens", "audio_input_tokens", "cached_audio_input_tokens",
    "image_input_tokens", "reasoning_tokens", "audio_output_tokens", "image_output_tokens", "searches",
)  # fmt: skip
#: This many characters of a model's own words go into an error.
MAX_QUOTED = 200


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that a call was billed for.

    Parameters
    ----------
    input_tokens, cached_input_tokens : int
        Of the request, >= 0, and the part of them that was read from the provider's prompt cache.
    output_tokens : int
        Of the answer, >= 0.
    cache_write_tokens, cache_write_1h_tokens, audio_input_tokens, cached_audio_input_tokens, image_input_tokens : int
        Further parts of the input; see :class:`costlab.events.RequestEvent`.
    reasoning_tokens, audio_output_tokens, image_output_tokens : int
        Parts of the output.
    searches : int
        Searches billed beside the tokens, >= 0.
    request_fee_usd : float or None
        The fee for the request where the server tells it.
    service_tier : {'standard', 'batch', 'flex', 'priority'} or None
        The tier that the server says it used; None where it says nothing.

    Attributes
    ----------
    parts : mapping of str to int
        What it has beside input, cached input and output, by name; what is 0 is left out.
    """

    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    audio_input_tokens: int = 0
    cached_audio_input_tokens: int = 0
    image_input_tokens: int = 0
    reasoning_tokens: int = 0
    audio_output_tokens: int = 0
    image_output_tokens: int = 0
    searches: int = 0
    request_fee_usd: float | None = None
    service_tier: ServedAs | None = None
    parts: Mapping[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not (
            0 <= self.cached_input_tokens <= self.input_tokens <= MAX_COUNT and 0 <= self.output_tokens <= MAX_COUNT
        ):
            counts = (self.input_tokens, self.cached_input_tokens, self.output_tokens)
            raise InvalidValueError("usage", f"counts in 0..{MAX_COUNT}, the cached tokens among the input", counts)
        # Worked out once, since it is asked for at every step of a cascade.
        object.__setattr__(self, "parts", {name: n for name in USAGE_PARTS if (n := getattr(self, name))})
        if self.parts and not 0 <= min(self.parts.values()) <= max(self.parts.values()) <= MAX_COUNT:
            raise InvalidValueError("usage", f"counts in 0..{MAX_COUNT}", self.parts)
        for whole, names in PARTS if self.parts else ():
            if sum(getattr(self, name) for name in names) > getattr(self, whole):
                raise InvalidValueError("usage", f"counts with {' and '.join(names)} among {whole}", self)
        if self.request_fee_usd is not None:
            checks.non_negative("request_fee_usd", self.request_fee_usd)
        if self.service_tier is not None:
            checks.one_of("service_tier", self.service_tier, SERVICE_TIERS)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A model's answer.

    Parameters
    ----------
    answer : object
        The answer itself.
    confidence : float
        How sure the model is, in 0..1. A model that cannot say so gives NaN, and its answer is never trusted before the
        last tier.
    usage : TokenUsage
        Tokens billed; all 0 for a model that is priced by the request.
    complete : bool
        Whether the answer is whole. One that was cut off, by a limit of tokens or a filter, is never trusted before the
        last tier, and no cache keeps it.
    """

    answer: Any
    confidence: float
    usage: TokenUsage = TokenUsage()
    complete: bool = True


class ModelError(CostlabError, RuntimeError):
    """A model that failed, with what was still billed.

    Parameters
    ----------
    message : str
        What went wrong.
    usage : TokenUsage, optional
        Tokens that the failed call was billed for.
    bill_unknown : bool
        Whether there may be a bill of which no one on this side knows the amount: the connection was cut after the
        request, or the answer cannot be read. A cascade then takes the tier's `abandoned_usd_per_request`, as it does
        for every other error of a model: only this one can say that there is no bill.

    Attributes
    ----------
    usage, bill_unknown : TokenUsage or None, bool
        As they were given; the usage is None where nothing was billed, or no one knows what.
    """

    def __init__(self, message: str, usage: TokenUsage | None = None, *, bill_unknown: bool = False) -> None:
        super().__init__(message)
        self.usage = usage
        self.bill_unknown = bill_unknown and usage is None


class ModelTimeoutError(ModelError, TimeoutError):
    """A model that took too long; by default a bill may still come."""

    def __init__(self, message: str, usage: TokenUsage | None = None, *, bill_unknown: bool = True) -> None:
        super().__init__(message, usage, bill_unknown=bill_unknown)


class Model(Protocol):
    """Anything that answers a query. It may be called many times at once, and may be cancelled."""

    async def predict(self, query: str) -> Prediction:
        """The answer to a query; raises what went wrong, as :class:`ModelError` where the bill is known."""
        ...


class ScriptedModel:
    """A model that does as it is told: for tests, and for trying out a cascade without any model.

    Parameters
    ----------
    script : mapping or callable
        For each query a :class:`Prediction`, or an exception to raise; or a function of the query, async or not, that
        returns or raises it.
    latency_s : float
        Seconds that each answer takes, >= 0.

    Attributes
    ----------
    calls, running, most_running : int
        How often it was asked; calls under way, now and at most.

    Examples
    --------
    >>> import asyncio
    >>> model = ScriptedModel({"2 + 2": Prediction("4", 0.99)})
    >>> asyncio.run(model.predict("2 + 2")).answer
    '4'
    """

    def __init__(
        self, script: Mapping[str, Prediction | Exception] | Callable[[str], object], latency_s: float = 0.0
    ) -> None:
        self._script: Callable[[str], object] = script if callable(script) else script.__getitem__
        self._latency_s = checks.non_negative("latency_s", latency_s)
        self.calls = self.running = self.most_running = 0

    async def predict(self, query: str) -> Prediction:
        """What the script says; KeyError for a query that a mapping does not hold."""
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            if self._latency_s:
                await asyncio.sleep(self._latency_s)
            prediction = self._script(query)
            if isinstance(prediction, Awaitable):
                prediction = await prediction
            if isinstance(prediction, Exception):
                raise prediction
            return cast(Prediction, prediction)
        finally:
            self.running -= 1


def mean_probability(log_probabilities: Sequence[float]) -> float:
    r"""Confidence of a generated answer: the geometric mean of its tokens' probabilities.

    .. math:: \exp\left(\frac1n \sum_i \log p_i\right)

    In 0..1; NaN for no tokens. It says how usual the wording is to the model, not how right: calibrate it on labelled
    answers before a threshold means anything.

    Examples
    --------
    Two tokens, one certain and one with probability a quarter:

    >>> mean_probability([0.0, math.log(0.25)])
    0.5
    """
    values = list(log_probabilities)
    return min(1.0, math.exp(sum(values) / len(values))) if values else math.nan


class Workers:
    """A few threads, started when they are first needed; they end when no one holds this object any more.

    The event loop's own threads are shared by everyone: twenty calls that wait for one slow model would leave none to
    the others. At most `threads` calls are under way at a time; with 0 a call is made in the event loop itself.
    """

    def __init__(self, threads: int) -> None:
        self._threads = checks.integer("threads", threads)
        self._pool: ThreadPoolExecutor | None = None

    async def run(self, call: Callable[[], T]) -> T:
        """What the call returns. Cancelled while it waits, it is not made at all."""
        if not self._threads:
            return call()
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="costlab-model")
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)


def quoted(text: str, mask: Mask | None = None) -> str:
    """The beginning of a text, in quotes, for an error message; without what `mask` hides."""
    return repr((mask or Mask()).within(text, MAX_QUOTED))
