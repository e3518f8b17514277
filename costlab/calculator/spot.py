"""Spot GPUs: cheap hours that may be taken away; what they save, and who may use them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from costlab._internal import checks
from costlab._internal.root import bisect
from costlab.errors import UnknownNameError
from costlab.units import SECONDS_PER_HOUR


def checkpoint_interval_s(checkpoint_s: float, mtbf_s: float, method: str = "daly") -> float:
    r"""How many seconds to compute between the end of one checkpoint and the start of the next.

    With checkpoint time :math:`\delta` and mean time between failures :math:`M`, Young's first-order and Daly's
    higher-order optimum are

    .. math::
        \tau_\text{Young} &= \sqrt{2 \delta M} \\
        \tau_\text{Daly} &= \sqrt{2 \delta M}
            \left[1 + \frac{1}{3} \sqrt{\frac{\delta}{2M}} + \frac{1}{9} \frac{\delta}{2M}\right] - \delta
            \quad (\delta < 2M, \text{ otherwise } M)

    Parameters
    ----------
    checkpoint_s, mtbf_s : float
        Time to write one checkpoint, and mean time between interruptions, in seconds, > 0. Interruptions are taken as
        independent and equally likely at any time (exponential).
    method : {'young', 'daly'}
        Young's is easy to remember; Daly's stays near the optimum when interruptions are frequent.

    Raises
    ------
    UnknownNameError
        If `method` is neither.

    References
    ----------
    Young (1974), A first order approximation to the optimum checkpoint interval, CACM 17(9),
    https://doi.org/10.1145/361147.361115

    Daly (2006), A higher order estimate of the optimum checkpoint interval for restart dumps, FGCS 22(3),
    https://doi.org/10.1016/j.future.2004.11.016

    Examples
    --------
    A checkpoint takes a minute and a spot machine lives 5 hours on average. How many minutes between checkpoints?

    >>> round(checkpoint_interval_s(60, 5 * 3600, method="young") / 60, 1)
    24.5
    """
    delta = checks.positive("checkpoint_s", checkpoint_s)
    mtbf = checks.positive("mtbf_s", mtbf_s)
    young = math.sqrt(2 * delta * mtbf)
    if method == "young":
        return young
    if method != "daly":
        raise UnknownNameError("method", method, ("young", "daly"))
    ratio = delta / (2 * mtbf)
    return young * (1 + math.sqrt(ratio) / 3 + ratio / 9) - delta if ratio < 1 else mtbf


@dataclass(frozen=True, slots=True)
class SpotJob:
    """What a checkpointed job is expected to take and cost on spot GPUs.

    Attributes
    ----------
    expected_hours, expected_usd : float
        Hours billed on average (work, checkpoints, restarts and work done twice), and the bill in USD. ``inf`` when
        interruptions come so fast that the job does not end.
    on_demand_usd : float
        Bill on demand in USD: the work alone, without checkpoints.
    saving_usd, saving_fraction : float
        ``on_demand_usd - expected_usd``, negative when spot is more expensive; and the same over `on_demand_usd`.
    expected_interruptions : float
        Interruptions to expect in `expected_hours`.
    checkpoint_interval_s : float
        Seconds of computing between checkpoints.
    break_even_mtbf_hours : float
        The mean time between interruptions below which on-demand is cheaper; ``inf`` when spot never pays.
    """

    expected_hours: float
    expected_usd: float
    on_demand_usd: float
    saving_usd: float
    saving_fraction: float
    expected_interruptions: float
    checkpoint_interval_s: float
    break_even_mtbf_hours: float


def spot_job(
    work_hours: float,
    spot_usd_per_hour: float,
    on_demand_usd_per_hour: float,
    mtbf_hours: float,
    checkpoint_s: float,
    restart_s: float,
    interval_s: float | None = None,
) -> SpotJob:
    r"""Expected time and bill of a checkpointed job on spot GPUs, against the same job on demand.

    The work :math:`W` is cut into :math:`n = \lceil W/\tau \rceil` equal parts, each followed by a checkpoint of length
    :math:`\delta`. After an interruption the job restarts in time :math:`R` and repeats the part. With exponential
    interruptions of mean time :math:`M` between them, the expected time is

    .. math:: E = n\, M e^{R/M} \left(e^{(W/n + \delta)/M} - 1\right)

    Parameters
    ----------
    work_hours : float
        Uninterrupted computing time in hours, > 0.
    spot_usd_per_hour, on_demand_usd_per_hour : float
        Prices in USD per hour of all machines of the job together, > 0: they are rented whole.
    mtbf_hours : float
        Mean time between interruptions in hours, > 0. Of the whole job: with n machines that are taken away
        independently and all needed, one machine's time divided by n.
    checkpoint_s : float
        Time to write a checkpoint in seconds, > 0; the GPUs wait meanwhile.
    restart_s : float
        Time until the job computes again after an interruption, in seconds, >= 0: start, load, compile. Billed.
    interval_s : float, optional
        Seconds of computing between checkpoints; by default Daly's interval.

    Notes
    -----
    A restart may itself be interrupted. Ignored: waiting for capacity, which is not billed but delays the job; a price
    that moves; the notice, in which a short checkpoint could be saved. The interval is re-optimised when looking for
    the break-even.

    References
    ----------
    Daly (2006), FGCS 22(3), the complete model: https://doi.org/10.1016/j.future.2004.11.016

    Examples
    --------
    100 hours of training at 2.64 instead of 8.80 dollars an hour, one interruption in 5 hours: what is really saved?

    >>> job = spot_job(100, 2.64, 8.80, mtbf_hours=5, checkpoint_s=120, restart_s=600)
    >>> round(job.expected_hours, 1), round(job.saving_fraction, 3)
    (116.3, 0.651)
    """
    hourly = {"spot_usd_per_hour": spot_usd_per_hour, "on_demand_usd_per_hour": on_demand_usd_per_hour}
    times = {"work_hours": work_hours, "mtbf_hours": mtbf_hours, "checkpoint_s": checkpoint_s}
    for name, value in (hourly | times).items():
        checks.positive(name, value)
    checks.non_negative("restart_s", restart_s)
    if interval_s is not None:
        checks.positive("interval_s", interval_s)

    def hours_at(mtbf: float) -> float:
        return _expected_hours(work_hours, mtbf, checkpoint_s, restart_s, interval_s)[0]

    hours, part_hours = _expected_hours(work_hours, mtbf_hours, checkpoint_s, restart_s, interval_s)
    on_demand_usd = work_hours * on_demand_usd_per_hour
    usd = hours * spot_usd_per_hour
    return SpotJob(
        expected_hours=hours,
        expected_usd=usd,
        on_demand_usd=on_demand_usd,
        saving_usd=on_demand_usd - usd,
        saving_fraction=1.0 - usd / on_demand_usd,
        expected_interruptions=hours / mtbf_hours,
        checkpoint_interval_s=part_hours * SECONDS_PER_HOUR,
        break_even_mtbf_hours=_break_even_mtbf_hours(hours_at, on_demand_usd / spot_usd_per_hour),
    )


def _expected_hours(
    work_hours: float, mtbf_hours: float, checkpoint_s: float, restart_s: float, interval_s: float | None
) -> tuple[float, float]:
    """Expected hours of the job, and the hours of computing in each of its equal parts."""
    interval = interval_s or checkpoint_interval_s(checkpoint_s, mtbf_hours * SECONDS_PER_HOUR)
    parts = math.ceil(work_hours * SECONDS_PER_HOUR / interval)
    part_hours = work_hours / parts
    try:
        tries = math.expm1((part_hours + checkpoint_s / SECONDS_PER_HOUR) / mtbf_hours)
        hours = parts * mtbf_hours * math.exp(restart_s / SECONDS_PER_HOUR / mtbf_hours) * tries
    except OverflowError:
        hours = math.inf
    return hours, part_hours


def _break_even_mtbf_hours(hours_at: Callable[[float], float], affordable_hours: float) -> float:
    """The MTBF at which the expected hours are just affordable, to a part in 10^9: they fall as the MTBF rises."""
    low, high = 1e-6, 1e12
    if hours_at(high) >= affordable_hours:
        return math.inf
    return bisect(lambda mtbf: hours_at(mtbf) <= affordable_hours, low, high, steps=36, geometric=True)


@dataclass(frozen=True, slots=True)
class SpotVerdict:
    """Whether a workload may run on spot GPUs, and why: the rules it breaks or, when none, what to keep in mind."""

    allowed: bool
    reasons: tuple[str, ...]


def may_use_spot(
    *, max_pause_s: float, restart_s: float, recoverable: bool, save_s: float = 0.0, notice_s: float = 120.0
) -> SpotVerdict:
    """Whether a workload may run on spot GPUs: it can wait, and can lose its machine without losing work.

    Parameters
    ----------
    max_pause_s : float
        Longest pause in seconds that those who wait for the result accept; ``math.inf`` when no one waits.
    restart_s : float
        Seconds until the work goes on elsewhere: find a machine, start it, load the model or the checkpoint.
    recoverable : bool
        Whether unfinished work is repeated or resumed: periodic checkpoints, a queue that delivers again, a client that
        retries.
    save_s : float
        Seconds to save or finish what is in flight.
    notice_s : float
        Notice in seconds before the machine is taken: 120 on AWS, best effort.

    Notes
    -----
    Work that survives only thanks to the notice, which is given on a best-effort basis, is not recoverable. Whether
    spot is also cheaper is the business of :func:`spot_job`.

    Examples
    --------
    A chat whose users accept 2 seconds, on a server that needs 4 minutes to start:

    >>> may_use_spot(max_pause_s=2, restart_s=240, recoverable=True)
    SpotVerdict(allowed=False, reasons=('an interruption stops the work for 240 s, but it may pause for 2 s',))
    """
    if max_pause_s != math.inf:
        checks.non_negative("max_pause_s", max_pause_s)
    for name, value in (("restart_s", restart_s), ("save_s", save_s), ("notice_s", notice_s)):
        checks.non_negative(name, value)
    broken: list[str] = []
    if restart_s > max_pause_s:
        broken.append(f"an interruption stops the work for {restart_s:g} s, but it may pause for {max_pause_s:g} s")
    if not recoverable:
        broken.append("work in flight is lost for good: add checkpoints, a queue that redelivers, or retries")
    if broken:
        return SpotVerdict(False, tuple(broken))
    if save_s > notice_s:
        return SpotVerdict(True, (f"save periodically: {save_s:g} s do not fit into a notice of {notice_s:g} s",))
    return SpotVerdict(True, ("no pause is longer than agreed, and unfinished work is done again",))
