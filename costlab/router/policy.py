"""What a cascade decides after each attempt, and what that costs on average."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, overload

from costlab._internal import checks
from costlab.errors import InvalidValueError

#: How an attempt ended: its answer was kept; not trusted; cut off, and so not trusted whatever its confidence; its gate
#: sent the query on; the model failed; it took too long; the budget refused it; the whole request was cancelled or out
#: of time meanwhile.
AttemptOutcome = Literal[
    "answered", "escalated", "incomplete", "skipped", "error", "timeout", "refused", "abandoned"
]  # fmt: skip


class NextStep(NamedTuple):
    """What a cascade does next with one request, and what it has to remember for the step after.

    Attributes
    ----------
    action : {'ask', 'fall_back', 'serve', 'serve_degraded', 'refuse', 'fail'}
        Ask the tier, and give its answer if it is trusted; ask the tier, which was passed over before, and give its
        answer whatever it is, since the budget refuses a better one; give the tier's answer; give it although it was
        not trusted, since the budget refuses a better one; raise the refusal; raise that no tier answered.
    tier, best : int
        Which tier, counted from the cheapest; and the highest tier whose answer was not trusted, -1 for none.
        Confidences of different models do not compare, so that answer counts as the best.
    refused_usd : float
        Tiers that reserve as much or more are not asked, since the budget has refused it; infinite at first.
    passed_over : tuple of int
        Tiers that were never asked and may still be, if the budget refuses those above.
    """

    action: Literal["ask", "fall_back", "serve", "serve_degraded", "refuse", "fail"]
    tier: int
    best: int = -1
    refused_usd: float = math.inf
    passed_over: tuple[int, ...] = ()


def first_step(tier: int = 0) -> NextStep:
    """Ask the first tier, or the one that was chosen: those below it are passed over."""
    return NextStep("ask", tier, passed_over=tuple(range(tier)))


def next_step(
    step: NextStep,
    outcome: AttemptOutcome,
    confidence: float,
    thresholds: Sequence[float],
    reserve_usd: Sequence[float],
) -> NextStep:
    """The one decision of a cascade: what to do after an attempt.

    Parameters
    ----------
    step : NextStep
        What was just done: :func:`first_step`, or what this function gave before.
    outcome, confidence : AttemptOutcome, float
        What came of it, and how sure the model was. Whether an answer is ``answered`` or ``escalated`` is decided here.
    thresholds : sequence of float
        See `is_trusted`. A tier without one is always trusted: the last, and every tier where a score chooses.
    reserve_usd : sequence of float, length tiers
        What each tier reserves of a budget; all 0 where there is none.

    Examples
    --------
    The small tier is unsure, and the budget refuses the large one. What does the user get?

    >>> unsure = next_step(first_step(), "answered", 0.6, [0.9], [0.001, 0.03])
    >>> unsure.action, unsure.tier
    ('ask', 1)
    >>> refused = next_step(unsure, "refused", 0.0, [0.9], [0.001, 0.03])
    >>> refused.action, refused.tier
    ('serve_degraded', 0)
    """
    action, tier, best, refused_usd, passed_over = step
    if outcome in ("answered", "escalated"):
        if action == "fall_back" or tier >= len(thresholds) or is_trusted(confidence, thresholds[tier]):
            return NextStep("serve", tier)
        best = tier
    elif outcome == "incomplete":
        if action == "fall_back" or tier == len(reserve_usd) - 1:  # there is no one left to ask
            return NextStep("serve", tier)
        best = tier if best < 0 else best  # a whole answer that was not trusted is the better one
    elif outcome == "skipped":
        passed_over = (*passed_over, tier)
    elif outcome == "refused":
        if action == "ask":
            refused_usd = reserve_usd[tier]
    elif outcome == "abandoned" or tier == len(reserve_usd) - 1:  # out of time, or the last tier failed
        return NextStep("fail", tier)
    if action == "ask":
        for above in range(tier + 1, len(reserve_usd)):
            if reserve_usd[above] < refused_usd:
                return NextStep("ask", above, best, refused_usd, passed_over)
        # What is left is for want of money.
        if best >= 0:
            return NextStep("serve_degraded", best)
    cheaper = [other for other in passed_over if reserve_usd[other] < refused_usd]
    if not cheaper:
        return NextStep("refuse", tier)
    chosen = max(cheaper, key=reserve_usd.__getitem__)
    return NextStep("fall_back", chosen, best, refused_usd, tuple(other for other in cheaper if other != chosen))


@overload
def is_trusted(confidence: float, threshold: float) -> bool: ...
@overload
def is_trusted(confidence: object, threshold: object) -> Any: ...
def is_trusted(confidence: Any, threshold: Any) -> Any:
    """Whether an answer is kept: its confidence is *greater* than the threshold; NaN never is. Numbers or arrays."""
    return confidence > threshold


def chosen_tier(score: Any, cuts: Iterable[float]) -> Any:
    """The tier for a query of this score: the first whose cut it is above, else the last; NaN goes to the last.

    Scores say how easy queries are thought to be, and are numbers or arrays; the cuts fall, one per tier but the last.
    """
    return sum(1 - (score > cut) for cut in cuts)


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of a cascade: a cache, or a model.

    Parameters
    ----------
    name : str
        What to call it.
    usd_per_request, latency_s : float
        What trying it costs in USD and takes in seconds, whether its answer is used or not; >= 0.
    pass_fraction : float
        Share of the requests tried here that go on to the next stage, in 0..1: a cache's misses, a model's
        answers that are not trusted. 0 for the last stage.
    skip_fraction, gate_usd_per_request : float
        Share of the requests arriving that a gate sends past this stage untried, in 0..1; what asking the gate costs
        for every request that arrives, in USD, >= 0.
    quality_fraction : float
        Share of the answers given here that are right, in 0..1.
    """

    name: str
    usd_per_request: float
    pass_fraction: float = 0.0
    skip_fraction: float = 0.0
    gate_usd_per_request: float = 0.0
    latency_s: float = 0.0
    quality_fraction: float = 1.0

    def __post_init__(self) -> None:
        for name in ("usd_per_request", "gate_usd_per_request", "latency_s"):
            checks.non_negative(name, getattr(self, name))
        for name in ("pass_fraction", "skip_fraction", "quality_fraction"):
            checks.fraction(name, getattr(self, name))


@dataclass(frozen=True, slots=True)
class StageShare:
    """What one stage does with the requests, as shares of all of them.

    Attributes
    ----------
    arrived_fraction, tried_fraction, served_fraction : float
        Requests that arrive; those it is tried on, all but the ones that its gate sends past it; those it answers.
    usd_per_request : float
        What it adds to the mean cost of a request, its gate included.
    """

    name: str
    arrived_fraction: float
    tried_fraction: float
    served_fraction: float
    usd_per_request: float


@dataclass(frozen=True, slots=True)
class Expectation:
    """A cascade on average.

    Attributes
    ----------
    usd_per_request, latency_s, quality_fraction : float
        Mean cost of a request, where every stage tried is paid for; mean time to the answer, one stage after the other;
        share of the answers that are right.
    served_only_usd_per_request : float
        The mean cost if only the stage that answers were paid for: the source lesson's account, too low whenever
        anything is passed on.
    stages : tuple of StageShare
        The terms.
    """

    usd_per_request: float
    latency_s: float
    quality_fraction: float
    served_only_usd_per_request: float
    stages: tuple[StageShare, ...]


def expected(stages: Sequence[Stage]) -> Expectation:
    r"""The mean cost, time and quality of a cascade.

    With :math:`a_i` the share of requests that arrive at stage :math:`i`, of which a gate sends :math:`s_i` past it and
    the stage itself passes on :math:`p_i`,

    .. math:: a_1 = 1, \quad t_i = a_i (1 - s_i), \quad a_{i+1} = a_i s_i + t_i p_i, \quad
              \text{usd} = \sum_i \left(a_i g_i + t_i c_i\right)

    Parameters
    ----------
    stages : sequence of Stage
        In the order in which they are tried; the last passes nothing on and skips nothing.

    Notes
    -----
    The shares are inputs, measured on one's own traffic. A stage that answers easy requests leaves the hard ones to
    the next, so a later stage's quality is that on what reaches it, not its quality alone.

    Examples
    --------
    A cache that answers 30 % at 0.001 cents, and a model at 3 cents for the rest. What does a request cost?

    >>> round(expected([Stage("cache", 0.00001, pass_fraction=0.7), Stage("model", 0.03)]).usd_per_request, 5)
    0.02101
    """
    if not stages:
        raise InvalidValueError("stages", "at least one", stages)
    last = stages[-1]
    if last.pass_fraction or last.skip_fraction:
        left = last.pass_fraction or last.skip_fraction
        raise InvalidValueError(f"{last.name}: pass_fraction and skip_fraction", "0 at the last stage", left)
    arrived, shares = 1.0, []
    usd = latency = quality = served_only = 0.0
    for stage in stages:
        tried = arrived * (1.0 - stage.skip_fraction)
        served = tried * (1.0 - stage.pass_fraction)
        cost = arrived * stage.gate_usd_per_request + tried * stage.usd_per_request
        shares.append(StageShare(stage.name, arrived, tried, served, cost))
        usd += cost
        latency += tried * stage.latency_s
        quality += served * stage.quality_fraction
        served_only += served * stage.usd_per_request
        arrived = arrived * stage.skip_fraction + tried * stage.pass_fraction
    return Expectation(usd, latency, quality, served_only, tuple(shares))


@dataclass(frozen=True, slots=True)
class WorkedExample:
    """The source lesson's day of a million requests, its account and ours.

    Attributes
    ----------
    all_large_usd_per_day, lesson_usd_per_day : float
        Every request at the large tier, the baseline; each request charged for the tier that served it.
    low, high : Expectation
        Each request charged for every tier tried: with a gate that sends to the small tier only what that will answer,
        and with one that sends it everything. In USD a day `low_usd_per_day` and `high_usd_per_day`.
    """

    requests_per_day: int
    all_large_usd_per_day: float
    lesson_usd_per_day: float
    low: Expectation
    high: Expectation
    low_usd_per_day: float
    high_usd_per_day: float


def worked_example() -> WorkedExample:
    """The source lesson's four tiers at its own prices and shares: 30, 40, 20 and 10 % of a million requests.

    It charges an escalated request for the last tier alone, and nothing for a look-up that misses. What every tier
    tried costs depends on one thing that it does not say: how many requests reach the small tier without being
    answered there. The two ends are computed.

    Examples
    --------
    >>> day = worked_example()
    >>> round(day.lesson_usd_per_day), round(day.low_usd_per_day), round(day.high_usd_per_day)
    (3803, 4110, 4260)
    """
    requests = 1_000_000
    large = Stage("large", 0.03, latency_s=0.5)
    medium = Stage("medium", 0.003, pass_fraction=1 / 3, latency_s=0.05)  # 300,000 tried, 200,000 answered
    cache = Stage("cache", 0.00001, pass_fraction=0.7, latency_s=0.002)
    # 700,000 requests arrive, 400,000 are answered here: the others are sent past it, or tried in vain.
    perfect = Stage("small", 0.0005, skip_fraction=3 / 7, latency_s=0.01)
    useless = Stage("small", 0.0005, pass_fraction=3 / 7, latency_s=0.01)
    low, high = (expected([cache, small, medium, large]) for small in (perfect, useless))
    return WorkedExample(
        requests_per_day=requests,
        all_large_usd_per_day=requests * large.usd_per_request,
        lesson_usd_per_day=requests * low.served_only_usd_per_request,
        low=low,
        high=high,
        low_usd_per_day=requests * low.usd_per_request,
        high_usd_per_day=requests * high.usd_per_request,
    )
