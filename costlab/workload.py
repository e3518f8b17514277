"""What a service is asked to do: how often, how much each time, and how unevenly over the day."""

import math
from dataclasses import dataclass
from typing import Final

from costlab._internal import checks
from costlab._internal.root import bisect
from costlab.errors import InvalidValueError
from costlab.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_DAY

__all__ = ["MAX_DAILY_PEAK", "Workload"]

#: The peak-to-mean ratio up to which :meth:`Workload.hourly_requests_per_s` draws a day. Above it, one hour would hold
#: most of the day's traffic, and a curve by the hour no longer says anything.
MAX_DAILY_PEAK: Final = 12.0


@dataclass(frozen=True, slots=True)
class Workload:
    """The traffic of one endpoint, on average.

    Parameters
    ----------
    requests_per_day : float
        Requests on an average day, >= 0.
    input_tokens, output_tokens : float
        Mean tokens of a request and of its answer, >= 0. An embedding request has no output tokens.
    cached_input_fraction : float
        Share of the input tokens that the provider bills as read from its prompt cache, in 0..1. They are part of
        `input_tokens`, not in addition to them.
    cache_write_fraction, cache_write_1h_fraction : float
        Share of the input tokens that the provider bills as written to its prompt cache, for whatever time, and the
        part of it that is written for an hour. What is written is not read: with `cached_input_fraction` at most 1.
    reasoning_tokens, audio_output_tokens : float
        Mean tokens of an answer that are hidden reasoning, or audio: parts of `output_tokens`.
    audio_input_tokens : float
        Mean input tokens of a request that are audio: a part of `input_tokens`, none of it read from or written to the
        cache.
    searches : float
        Mean number of searches that the provider makes for an answer and bills beside its tokens, >= 0.
    peak_to_mean : float
        Requests per second at the daily peak over the mean, >= 1. A fleet is sized for the peak and billed for all day.
    images : float
        Mean number of images made per request, >= 0; priced by models that bill by the image.
    days_per_month : float
        Days in the month of every monthly figure, in (0, 31]. The default makes a month of 730 hours; the source lesson
        has 30 days.

    Raises
    ------
    InvalidValueError
        If a number is outside its domain, or a request asks for nothing at all.

    Examples
    --------
    How many requests a second is a million a day, on average and at a peak of twice that?

    >>> chat = Workload(1_000_000, input_tokens=400, output_tokens=200, peak_to_mean=2)
    >>> round(chat.mean_requests_per_s, 2), round(chat.peak_requests_per_s, 2)
    (11.57, 23.15)
    """

    requests_per_day: float
    input_tokens: float = 0.0
    output_tokens: float = 0.0
    cached_input_fraction: float = 0.0
    peak_to_mean: float = 1.0
    images: float = 0.0
    days_per_month: float = HOURS_PER_MONTH / HOURS_PER_DAY
    cache_write_fraction: float = 0.0
    cache_write_1h_fraction: float = 0.0
    reasoning_tokens: float = 0.0
    audio_input_tokens: float = 0.0
    audio_output_tokens: float = 0.0
    searches: float = 0.0

    def __post_init__(self) -> None:
        for name in ("requests_per_day", "input_tokens", "output_tokens", "images", "searches"):
            checks.non_negative(name, getattr(self, name))
        for name in ("cached_input_fraction", "cache_write_fraction", "cache_write_1h_fraction"):
            checks.fraction(name, getattr(self, name))
        fresh = 1.0 - self.cached_input_fraction - self.cache_write_fraction
        parts = {
            "cache_write_fraction": (1.0 - self.cached_input_fraction, "what cached_input_fraction leaves"),
            "cache_write_1h_fraction": (self.cache_write_fraction, "cache_write_fraction"),
            "audio_input_tokens": (self.input_tokens * fresh, "the fresh input_tokens"),
            "reasoning_tokens": (self.output_tokens, "output_tokens"),
            "audio_output_tokens": (self.output_tokens, "output_tokens"),
        }
        for name, (most, whole) in parts.items():
            if checks.non_negative(name, getattr(self, name)) > most * (1 + 1e-12):
                raise InvalidValueError(name, f"at most {whole} ({most:g}), of which it is a part", getattr(self, name))
        checks.positive("days_per_month", self.days_per_month, at_most=31)
        if checks.finite("peak_to_mean", self.peak_to_mean, "a number >= 1") < 1.0:
            raise InvalidValueError("peak_to_mean", "a number >= 1", self.peak_to_mean)
        if self.input_tokens + self.output_tokens + self.images == 0:
            raise InvalidValueError("input_tokens", "given where no output tokens and no images are", self.input_tokens)

    @property
    def requests_per_month(self) -> float:
        """Requests in a month of `days_per_month` days."""
        return self.requests_per_day * self.days_per_month

    @property
    def hours_per_month(self) -> float:
        """Hours for which a fleet is billed in a month of `days_per_month` days."""
        return self.days_per_month * HOURS_PER_DAY

    @property
    def cached_input_tokens(self) -> float:
        """Mean input tokens of a request that are read from the provider's prompt cache."""
        return self.input_tokens * self.cached_input_fraction

    @property
    def cache_write_tokens(self) -> float:
        """Mean input tokens of a request that are written to the provider's prompt cache."""
        return self.input_tokens * self.cache_write_fraction

    @property
    def cache_write_1h_tokens(self) -> float:
        """Those of them that are written for an hour."""
        return self.input_tokens * self.cache_write_1h_fraction

    @property
    def mean_requests_per_s(self) -> float:
        """Requests per second, averaged over the day."""
        return self.requests_per_day / SECONDS_PER_DAY

    @property
    def peak_requests_per_s(self) -> float:
        """Requests per second at the daily peak."""
        return self.mean_requests_per_s * self.peak_to_mean

    def hourly_requests_per_s(self) -> tuple[float, ...]:
        r"""A day with this mean and this peak: requests per second in each of its 24 hours, the peak at 14 h.

        The shape is the smooth one that is spread as widely as its peak allows (von Mises), with hour :math:`h` at

        .. math:: r_h \propto \exp\left(\kappa \cos\frac{2\pi (h - 14)}{24}\right)

        and :math:`\kappa` chosen so that the greatest of the 24 values is `peak_to_mean` times their mean.

        Raises
        ------
        InvalidValueError
            If `peak_to_mean` is above 12: such a peak is a burst within an hour, not the shape of a day.
        """
        if self.peak_to_mean > MAX_DAILY_PEAK:
            raise InvalidValueError(
                "peak_to_mean", f"at most {MAX_DAILY_PEAK:g} for a curve by the hour", self.peak_to_mean
            )
        cosines = [math.cos(2 * math.pi * (hour - 14) / HOURS_PER_DAY) for hour in range(HOURS_PER_DAY)]

        def shape(kappa: float) -> list[float]:
            raw = [math.exp(kappa * (cosine - 1.0)) for cosine in cosines]
            return [value * HOURS_PER_DAY / sum(raw) for value in raw]

        kappa = bisect(lambda kappa: max(shape(kappa)) >= self.peak_to_mean, 0.0, 200.0)
        return tuple(self.mean_requests_per_s * value for value in shape(kappa))
