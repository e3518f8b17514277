"""What a trace of real requests says about traffic: rate, bursts, lengths; kept as a recording."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab import recordings
from costlab._internal import checks
from costlab.datasets import LlmTrace, azure_llm_trace
from costlab.errors import RecordingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["KINDS", "TrafficFit", "fit_trace", "measure_traffic", "recorded_traffic"]

#: The services of which a trace is recorded.
KINDS: Final = ("conversation", "code")

#: Where the recording stands: ``traffic-azure-2023.json``.
DEVICE: Final = "azure-2023"

_LEVELS: Final = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class TrafficFit:
    """The traffic of one service, in the parameters of :func:`costlab.synthetic.arrival_times`.

    Attributes
    ----------
    kind : str
        Which service.
    requests : int
        Requests seen.
    duration_s : float
        Seconds between the first and the last.
    requests_per_s : float
        Mean rate.
    cv : float
        Standard deviation of the gaps between requests over their mean.
    busiest_minute : float
        Requests of the busiest minute over the mean of all minutes.
    levels : tuple of float
        Levels of the quantiles below, from 0 to 1.
    context_tokens, generated_tokens : tuple of float
        Quantiles of the tokens of prompts and answers.
    """

    kind: str
    requests: int
    duration_s: float
    requests_per_s: float
    cv: float
    busiest_minute: float
    levels: tuple[float, ...]
    context_tokens: tuple[float, ...]
    generated_tokens: tuple[float, ...]

    def sample_tokens(self, rng: np.random.Generator, requests: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Tokens of prompts and of answers of `requests` requests, each drawn from its quantiles.

        Prompt and answer are drawn independently, which they are not: keep to totals and shares.
        """
        checks.integer("requests", requests)
        return tuple(  # type: ignore[return-value]
            np.rint(np.interp(rng.random(requests), self.levels, quantiles)).astype(np.int64)
            for quantiles in (self.context_tokens, self.generated_tokens)
        )


def fit_trace(trace: LlmTrace) -> TrafficFit:
    """Rate, bursts and lengths of a trace.

    Parameters
    ----------
    trace : LlmTrace
        Of at least three requests.

    Returns
    -------
    TrafficFit

    Notes
    -----
    An hour says nothing of day and night. Gaps are taken as independent; in the trace they are not, so a stream made
    with the fit has its bursts one by one and not in clusters.
    """
    checks.integer("requests of the trace", len(trace.arrival_s), at_least=3)
    times = np.array(trace.arrival_s)
    gaps, minutes = np.diff(times), np.bincount((times // 60).astype(np.int64))[:-1]
    return TrafficFit(
        kind=trace.kind,
        requests=len(times),
        duration_s=float(times[-1]),
        requests_per_s=float(1 / gaps.mean()),
        cv=float(gaps.std(ddof=1) / gaps.mean()),
        busiest_minute=float(minutes.max() / minutes.mean()) if len(minutes) else 1.0,
        levels=_LEVELS,
        context_tokens=tuple(map(float, np.quantile(trace.context_tokens, _LEVELS))),
        generated_tokens=tuple(map(float, np.quantile(trace.generated_tokens, _LEVELS))),
    )


def measure_traffic() -> recordings.Recording:
    """The fits of the Azure traces of 2023, conversation and code, as a recording.

    Raises
    ------
    DatasetError
        If a trace can neither be found nor fetched.
    """
    rows = []
    for kind in KINDS:
        fit = fit_trace(azure_llm_trace(kind))
        row: dict[str, Any] = {name: getattr(fit, name) for name in TrafficFit.__slots__}
        rows.append({name: list(value) if isinstance(value, tuple) else value for name, value in row.items()})
    return recordings.Recording(
        experiment="traffic",
        device=DEVICE,
        device_name="Azure LLM inference traces of November 2023 (Patel et al. 2024, CC BY 4.0)",
        driver="none",
        library_versions={"python": platform.python_version(), "numpy": version("numpy")},
        recorded_on=date.today().isoformat(),
        command="costlab bench traffic --record",
        repeats=1,
        rows=tuple(rows),
    )


def recorded_traffic(kind: str = "conversation") -> TrafficFit:
    """The recorded fit of one service: what real traffic to a language model looks like, without its trace.

    Parameters
    ----------
    kind : {'conversation', 'code'}
        Which service.

    Raises
    ------
    UnknownNameError
        If `kind` is neither.
    RecordingError
        If the recording is absent or cannot be trusted.

    Examples
    --------
    How bursty are requests to a code assistant, compared with people who chat?

    >>> round(recorded_traffic("code").cv, 2), round(recorded_traffic("conversation").cv, 2)
    (13.15, 1.09)
    """
    checks.one_of("kind of trace", kind, KINDS)
    recording = recordings.find_recording("traffic", DEVICE)
    for row in recording.rows if recording else ():
        if row.get("kind") == kind:
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
            return TrafficFit(**values)
    raise RecordingError(f"no recording of the {kind} trace; make it with: costlab bench traffic --record")
