"""Who may run on spot GPUs: whoever can wait, and can lose a machine without losing work."""

import math
from dataclasses import dataclass

from costlab._internal import checks

__all__ = ["SpotVerdict", "may_use_spot"]


@dataclass(frozen=True, slots=True)
class SpotVerdict:
    """Whether a workload may run on spot GPUs, and why.

    Attributes
    ----------
    allowed : bool
        True when every rule is met.
    reasons : tuple of str
        What breaks a rule or, when none is broken, what to keep in mind.
    """

    allowed: bool
    reasons: tuple[str, ...]


def may_use_spot(
    *, max_pause_s: float, restart_s: float, recoverable: bool, save_s: float = 0.0, notice_s: float = 120.0
) -> SpotVerdict:
    """Whether a workload may run on spot GPUs: it can wait, and can lose its machine without losing work.

    Parameters
    ----------
    max_pause_s : float
        Longest pause in seconds that those who wait for the result accept; ``math.inf`` when nobody waits.
    restart_s : float
        Seconds until the work goes on elsewhere: find a machine, start it, load the model or the checkpoint.
    recoverable : bool
        Whether unfinished work is repeated or resumed: periodic checkpoints, a queue that delivers again, a client
        that retries.
    save_s : float
        Seconds to save or finish what is in flight.
    notice_s : float
        Notice in seconds before the machine is taken: 120 on AWS, best effort.

    Returns
    -------
    SpotVerdict

    Raises
    ------
    InvalidValueError
        If a time is outside its domain.

    Notes
    -----
    The notice is not a rule by itself. It is given on a best-effort basis, so work that survives only thanks to the
    notice is not recoverable. Whether spot is also cheaper is the business of :func:`costlab.calculator.spot_job`.

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
    return SpotVerdict(True, ("nobody waits longer than agreed, and unfinished work is done again",))
