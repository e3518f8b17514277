"""When an alarm is raised: the state machine of Prometheus, as a pure function of a timeline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from costlab._internal import checks
from costlab.errors import InvalidValueError
from costlab.monitoring.alerts.rules import AlertRule

__all__ = ["Incident", "State", "Timeline", "incidents", "states"]

State = Literal["inactive", "pending", "firing"]


@dataclass(frozen=True, slots=True)
class Timeline:
    """One figure over time, at the moments at which rules are evaluated.

    Parameters
    ----------
    recording : str
        Name of the figure.
    label : str
        Whose it is, where the figure is split: the tier, or the GPU; otherwise empty.
    times_s : sequence of float
        Seconds, rising.
    values : sequence of float or None
        The figure at each of them; None where there is none (nothing was served, no GPU answered).

    Raises
    ------
    InvalidValueError
        If times do not rise or are not as many as the values.
    """

    recording: str
    label: str
    times_s: tuple[float, ...]
    values: tuple[float | None, ...]

    def __post_init__(self) -> None:
        if len(self.times_s) != len(self.values):
            raise InvalidValueError("values", f"{len(self.times_s)}, one for each time", len(self.values))
        if any(later <= earlier for earlier, later in zip(self.times_s, self.times_s[1:], strict=False)):
            raise InvalidValueError("times_s", "rising", self.times_s)


@dataclass(frozen=True, slots=True)
class Incident:
    """An alarm that was raised.

    Attributes
    ----------
    rule : AlertRule
        Which alarm.
    label : str
        The tier or GPU, where the figure is split.
    since_s : float
        When the figure went beyond the threshold.
    fired_s : float
        When the alarm was raised: `since_s` and the rule's `for_s`, at the next evaluation.
    until_s : float or None
        When it was over; None where it still lasts at the end of the timeline.
    worst : float
        The figure at its furthest from the threshold.
    """

    rule: AlertRule
    label: str
    since_s: float
    fired_s: float
    until_s: float | None
    worst: float


def states(rule: AlertRule, timeline: Timeline) -> tuple[State, ...]:
    """The state of an alarm at each moment of a timeline.

    An alarm is *pending* from the first moment beyond the threshold, and *firing* once it has been so for `for_s`
    seconds. A moment on the right side of the threshold, or without a value, ends it at once.

    Parameters
    ----------
    rule : AlertRule
        The alarm.
    timeline : Timeline
        Its figure.

    Raises
    ------
    InvalidValueError
        If the timeline is that of another figure.

    Examples
    --------
    GPUs must be above 90 % for ten minutes. Is a look after nine enough?

    >>> from costlab.monitoring.alerts import alert_rules
    >>> (rule,) = [rule for rule in alert_rules() if rule.name == "GpusOverloaded"]
    >>> states(rule, Timeline("costlab:gpu_utilization:now", "", (0.0, 540.0, 600.0), (0.95, 0.95, 0.95)))
    ('pending', 'pending', 'firing')
    """
    if timeline.recording != rule.recording:
        raise InvalidValueError("timeline", f"one of {rule.recording}", timeline.recording)
    found: list[State] = []
    since: float | None = None
    for time_s, value in zip(timeline.times_s, timeline.values, strict=True):
        if value is None or not _beyond(rule, value):
            since = None
            found.append("inactive")
            continue
        since = time_s if since is None else since
        found.append("firing" if time_s - since >= rule.for_s else "pending")
    return tuple(found)


def _beyond(rule: AlertRule, value: float) -> bool:
    # NaN, which is what 0 requests cost on average, is beyond nothing.
    return value > rule.threshold if rule.comparison == ">" else value < rule.threshold


def incidents(rules: Iterable[AlertRule], timelines: Sequence[Timeline]) -> tuple[Incident, ...]:
    """All alarms that were raised, in the order in which they were.

    Parameters
    ----------
    rules : iterable of AlertRule
        What to look for.
    timelines : sequence of Timeline
        Figures, as :func:`request_timelines` and :func:`gpu_timelines` give them. A rule whose figure is not among
        them finds nothing.
    """
    found = []
    for rule in rules:
        for timeline in timelines:
            if timeline.recording == rule.recording and rule.only in ("", timeline.label):
                found += _incidents(rule, timeline)
    return tuple(sorted(found, key=lambda one: (one.fired_s, one.rule.name, one.label)))


def _incidents(rule: AlertRule, timeline: Timeline) -> list[Incident]:
    found: list[Incident] = []
    since = fired = None
    worst = -math.inf
    sign = 1.0 if rule.comparison == ">" else -1.0
    for time_s, value, state in zip(timeline.times_s, timeline.values, states(rule, timeline), strict=True):
        if state == "inactive" or value is None:
            if since is not None and fired is not None:
                found.append(Incident(rule, timeline.label, since, fired, time_s, sign * worst))
            since = fired = None
            worst = -math.inf
            continue
        since = time_s if since is None else since
        fired = time_s if fired is None and state == "firing" else fired
        worst = max(worst, sign * checks.finite("value", value))
    if since is not None and fired is not None:
        found.append(Incident(rule, timeline.label, since, fired, None, sign * worst))
    return found
