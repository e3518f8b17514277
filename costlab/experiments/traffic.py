"""What a trace of real requests says about traffic: rate, bursts, lengths; kept as a recording."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from costlab._internal import checks
from costlab.datasets import LlmTrace, azure_llm_trace
from costlab.errors import RecordingError
from costlab.experiments.registry import Experiment
from costlab.recordings import Device, Recording, find_recording, library_versions

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The services of which a trace is recorded.
KINDS: Final = ("conversation", "code")

#: What was measured: a service, not the machine that reads its trace.
DEVICE: Final = Device(
    "cpu", "Azure LLM inference traces of November 2023 (Patel et al. 2024, CC BY 4.0)", "azure-2023", "none", None, 1
)

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


def measure_traffic() -> Recording:
    """The fits of the Azure traces of 2023, conversation and code, as a recording.

    Raises
    ------
    DatasetError
        If a trace can neither be found nor fetched.
    """
    fits = [asdict(fit_trace(azure_llm_trace(kind))) for kind in KINDS]
    rows = [{name: list(value) if isinstance(value, tuple) else value for name, value in fit.items()} for fit in fits]
    return Recording.from_run("traffic", rows, device=DEVICE, versions=library_versions("python", "numpy"))


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
    recording = find_recording("traffic", DEVICE.short_name)
    for row in recording.rows if recording else ():
        if row.get("kind") == kind:
            values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
            return TrafficFit(**values)
    raise RecordingError(f"no recording of the {kind} trace; make it with: costlab bench traffic --record")


def _lines(result: Recording) -> Iterator[str]:
    yield result.device_name
    for row in result.rows:
        median = row["levels"].index(0.5)
        tokens = f"{row['context_tokens'][median]:g} and {row['generated_tokens'][median]:g} tokens in the median"
        rate = f"{row['requests_per_s']:.2f} requests/s, gaps vary by {row['cv']:.2f} of their mean"
        yield f"{row['kind']:<13} {row['requests']:>7,} requests, {rate}, {tokens}"


EXPERIMENT: Final = Experiment(measure=measure_traffic, lines=_lines)
