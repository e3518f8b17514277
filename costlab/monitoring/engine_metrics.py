"""What the tokens of a serving engine cost: two scrapes of its metrics, and the price of the GPUs that it fills."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import CostlabError
from costlab.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK

#: By engine, the counters of each figure: where several are named, the first that is there counts.
SERIES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "llama.cpp": {
        "prompt": ("llamacpp:prompt_tokens_total",),
        "cached": ("llamacpp:prompt_tokens_cached_total",),
        "written": ("llamacpp:tokens_predicted_total",),
        "prompt_s": ("llamacpp:prompt_seconds_total",),
        "writing_s": ("llamacpp:tokens_predicted_seconds_total",),
        "drafted": ("llamacpp:spec_decode_num_draft_tokens_total",),
        "accepted": ("llamacpp:spec_decode_num_accepted_tokens_total",),
    },
    "vLLM": {
        "prompt": ("vllm:prompt_tokens_total",),
        "cached": ("vllm:prompt_tokens_cached_total", "vllm:prefix_cache_hits_total"),
        "written": ("vllm:generation_tokens_total",),
        "prompt_s": ("vllm:request_prefill_time_seconds_sum",),
        "writing_s": ("vllm:request_decode_time_seconds_sum",),
        "drafted": ("vllm:spec_decode_num_draft_tokens_total",),
        "accepted": ("vllm:spec_decode_num_accepted_tokens_total",),
    },
}

#: Without these nothing can be said; the others may be missing.
NEEDED: Final = ("prompt", "written")

#: Labels that name a model, in a scrape of several.
_MODEL: Final = "model_name"

_STARTED: Final = "process_start_time_seconds"


class EngineMetricsError(CostlabError, ValueError):
    """Two texts that were to be scrapes of a serving engine, one after the other, are none or do not fit together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineTokens:
    """What an engine did for a model between two scrapes.

    Attributes
    ----------
    model : str
        As the engine names it; empty where it names none, as llama.cpp.
    computed_tokens, cached_tokens, written_tokens : int
        Prompt tokens that were computed; those that were reused from the prefix cache, which are not among them; and
        tokens of answers.
    prompt_s, writing_s : float or None
        Seconds that requests spent in their prompts and in their answers, summed over requests that ran at once; None
        where the engine does not say.
    drafted_tokens, accepted_tokens : int
        Of speculative decoding.
    replicas : int
        Engines whose counters were summed.
    """

    model: str
    computed_tokens: int
    cached_tokens: int
    written_tokens: int
    prompt_s: float | None
    writing_s: float | None
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    replicas: int = 1

    @property
    def hit_rate(self) -> float | None:
        """Share of the prompt tokens that was reused; None where there were none."""
        tokens = self.computed_tokens + self.cached_tokens
        return self.cached_tokens / tokens if tokens else None

    @property
    def tokens(self) -> int:
        """Of all kinds."""
        return self.computed_tokens + self.cached_tokens + self.written_tokens

    @property
    def _weight(self) -> float | None:
        return None if self.prompt_s is None or self.writing_s is None else self.prompt_s + self.writing_s


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineCost:
    """Dollars of an engine between two scrapes, by model and kind of token.

    Attributes
    ----------
    tokens : EngineTokens
        What was done.
    usd : float
        This model's part of the GPUs' price, idle seconds included.
    computed_usd_per_mtok, written_usd_per_mtok : float or None
        A million computed prompt tokens, and a million written ones: the price is shared out by the seconds of each.
        None where the engine tells no seconds, or has no such tokens.
    input_usd_per_mtok : float or None
        A million prompt tokens, cached ones included: these take no seconds of their own.
    usd_per_mtok : float or None
        A million tokens of any kind.
    """

    tokens: EngineTokens
    usd: float
    computed_usd_per_mtok: float | None
    written_usd_per_mtok: float | None
    input_usd_per_mtok: float | None
    usd_per_mtok: float | None


def engine_tokens(first: str, second: str) -> tuple[EngineTokens, ...]:
    """What a vLLM or llama.cpp server did between two scrapes, for each model.

    Parameters
    ----------
    first, second : str
        Texts of its ``/metrics``, the earlier one first. Replicas in one scrape, told apart by labels, are summed.

    Raises
    ------
    EngineMetricsError
        If a text is no scrape of such a server, a counter is missing, the two are of different servers, they are equal
        or swapped, or the engine was started again between them.
    MissingExtraError
        If ``prometheus_client`` is not installed.

    Notes
    -----
    vLLM counts cached prompt tokens among ``prompt_tokens_total``, llama.cpp beside it; here they are apart. Where vLLM
    lacks ``prompt_tokens_cached_total``, ``prefix_cache_hits_total`` counts instead, which is of tokens too.

    References
    ----------
    vLLM, Production metrics, https://docs.vllm.ai/en/stable/usage/metrics/; llama.cpp's server,
    https://github.com/ggml-org/llama.cpp/tree/master/tools/server

    Examples
    --------
    A system prompt of 500 tokens is asked twice: what was computed?

    >>> text = '''llamacpp:prompt_tokens_total {}
    ... llamacpp:prompt_tokens_cached_total {}
    ... llamacpp:tokens_predicted_total {}
    ... '''
    >>> (done,) = engine_tokens(text.format(0, 0, 0), text.format(520, 480, 64))
    >>> done.computed_tokens, done.cached_tokens, done.written_tokens
    (520, 480, 64)
    """
    (engine, before, started), (other, after, started_again) = _scraped("first", first), _scraped("second", second)
    if engine != other:
        raise EngineMetricsError(f"the first scrape is of {engine}, the second of {other}")
    if before.keys() - after.keys():
        gone = ", ".join(sorted(_words(series) for series in before.keys() - after.keys()))
        raise EngineMetricsError(f"the second scrape lacks what the first has ({gone}): they are of different servers")
    grown = {series: _grown(after[series], before.get(series, {})) for series in after}
    for series, figures in grown.items():
        fell = next((SERIES[engine][name][0] for name, value in figures.items() if value < 0), None)
        if fell is None:
            continue
        what = f"{fell} of {_words(series)} is less in the second scrape"
        if started_again is not None and started is not None and started_again > started:
            raise EngineMetricsError(f"{what}: the engine was started again between the two; scrape both after a start")
        if started_again is not None and started_again == started:
            raise EngineMetricsError(f"{what}, and the engine is the same: the two are swapped")
        raise EngineMetricsError(f"{what}: the two are swapped, or the engine was started again between them")
    if started is not None and started_again is not None and started_again != started:
        raise EngineMetricsError("the engine was started again between the two scrapes: scrape both after a start")
    if not any(figures["prompt"] or figures["written"] for figures in grown.values()):
        raise EngineMetricsError("no token was read or written between the two scrapes: their counters are equal")
    by_model: dict[str, list[dict[str, float]]] = {}
    for (model, _), figures in grown.items():
        by_model.setdefault(model, []).append(figures)
    return tuple(_tokens(engine, model, replicas) for model, replicas in sorted(by_model.items()))


def _grown(after: Mapping[str, float], before: Mapping[str, float]) -> dict[str, float]:
    """By how much each figure grew; one that was not there was zero."""
    return {name: value - before.get(name, 0.0) for name, value in after.items()}


def _tokens(engine: str, model: str, replicas: list[dict[str, float]]) -> EngineTokens:
    def total(name: str) -> float | None:
        values = [figures[name] for figures in replicas if name in figures]
        return sum(values) if len(values) == len(replicas) else None

    prompt, cached = total("prompt") or 0.0, total("cached") or 0.0
    return EngineTokens(
        model=model,
        computed_tokens=round(prompt if engine == "llama.cpp" else max(prompt - cached, 0.0)),
        cached_tokens=round(cached),
        written_tokens=round(total("written") or 0.0),
        prompt_s=total("prompt_s"),
        writing_s=total("writing_s"),
        drafted_tokens=round(total("drafted") or 0.0),
        accepted_tokens=round(total("accepted") or 0.0),
        replicas=len(replicas),
    )


def engine_cost(first: str, second: str, *, seconds: float, usd_per_hour: float) -> tuple[EngineCost, ...]:
    r"""What the tokens of a serving engine cost between two scrapes, for each model.

    .. math:: \frac{\text{USD}}{\text{token of a kind}} = \frac{\text{USD/h} \cdot t / 3600}{\text{tokens of the kind}}
        \cdot \frac{\text{seconds of the kind}}{\text{seconds of all kinds}}

    Parameters
    ----------
    first, second : str
        Two scrapes, as for :func:`engine_tokens`.
    seconds : float
        Between the two, by a clock, > 0: idle ones are paid for too.
    usd_per_hour : float
        Of all GPUs that the engine has, >= 0.

    Raises
    ------
    EngineMetricsError, MissingExtraError
        As :func:`engine_tokens`.
    InvalidValueError
        If a number is outside its domain.

    Notes
    -----
    Models in one scrape share the price by their requests' seconds, or by tokens where no seconds are told. Requests
    that run in one batch each count their seconds, so that the split between prompts and answers is that of waiting
    for them, not of the GPU's arithmetic.

    Examples
    --------
    >>> text = '''llamacpp:prompt_tokens_total {}
    ... llamacpp:prompt_tokens_cached_total {}
    ... llamacpp:prompt_seconds_total {}
    ... llamacpp:tokens_predicted_total {}
    ... llamacpp:tokens_predicted_seconds_total {}
    ... '''
    >>> (cost,) = engine_cost(
    ...     text.format(0, 0, 0, 0, 0), text.format(500_000, 500_000, 100, 250_000, 300), seconds=3600, usd_per_hour=2.0
    ... )
    >>> cost.computed_usd_per_mtok, cost.input_usd_per_mtok, cost.written_usd_per_mtok
    (1.0, 0.5, 6.0)
    """
    checks.positive("seconds", seconds)
    checks.non_negative("usd_per_hour", usd_per_hour)
    done = engine_tokens(first, second)
    total_usd = usd_per_hour * seconds / SECONDS_PER_HOUR
    weights = [one._weight for one in done]
    if any(weight is None for weight in weights) or not sum(weight or 0.0 for weight in weights):
        weights = [float(one.tokens) for one in done]
    whole = math.fsum(weight or 0.0 for weight in weights)
    return tuple(_cost(one, total_usd * (weight or 0.0) / whole) for one, weight in zip(done, weights, strict=True))


def _cost(done: EngineTokens, usd: float) -> EngineCost:
    def per_mtok(part_usd: float | None, tokens: int) -> float | None:
        return None if part_usd is None or not tokens else part_usd / tokens * TOKENS_PER_MTOK

    weight = done._weight
    prompt_usd = usd * (done.prompt_s or 0.0) / weight if weight else None
    return EngineCost(
        tokens=done,
        usd=usd,
        computed_usd_per_mtok=per_mtok(prompt_usd, done.computed_tokens),
        written_usd_per_mtok=per_mtok(None if prompt_usd is None else usd - prompt_usd, done.written_tokens),
        input_usd_per_mtok=per_mtok(prompt_usd, done.computed_tokens + done.cached_tokens),
        usd_per_mtok=per_mtok(usd, done.tokens),
    )


#: A model and the labels that tell its replicas apart.
_Series = tuple[str, tuple[tuple[str, str], ...]]


def _scraped(which: str, text: str) -> tuple[str, dict[_Series, dict[str, float]], float | None]:
    """The engine of a scrape, its counters by series, and when its process started."""
    with extra("monitoring"):
        from prometheus_client.parser import text_string_to_metric_families
    try:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    except ValueError as error:
        raise EngineMetricsError(f"the {which} scrape is no text for Prometheus: {error}") from None
    engines = [name for name, prefix in (("llama.cpp", "llamacpp:"), ("vLLM", "vllm:")) if f"\n{prefix}" in f"\n{text}"]
    if len(engines) != 1:
        found = "both" if engines else "neither"
        raise EngineMetricsError(
            f"the {which} scrape must have metrics of vLLM (vllm:…) or of llama.cpp (llamacpp:…), and has {found}"
        )
    (engine,) = engines
    names = {series: (figure, rank) for figure, many in SERIES[engine].items() for rank, series in enumerate(many)}
    found_by: dict[_Series, dict[str, tuple[int, float]]] = {}
    started: float | None = None
    for sample in samples:
        if sample.name == _STARTED:
            started = max(started or 0.0, sample.value)
        if sample.name not in names:
            continue
        figure, rank = names[sample.name]
        labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k in ("engine", "instance", "pod")))
        figures = found_by.setdefault((sample.labels.get(_MODEL, ""), labels), {})
        if not math.isfinite(sample.value) or sample.value < 0:
            raise EngineMetricsError(f"the {which} scrape has {sample.name} {sample.value:g}, which no counter is")
        if figure not in figures or rank < figures[figure][0]:
            figures[figure] = (rank, sample.value)
        elif rank == figures[figure][0]:
            figures[figure] = (rank, figures[figure][1] + sample.value)
    for series, figures in found_by.items() or [(("", ()), {})]:
        for figure in NEEDED:
            if figure not in figures:
                lacking = f"{SERIES[engine][figure][0]} of {_words(series)}"
                raise EngineMetricsError(f"the {which} scrape lacks {lacking}; is it the whole text of /metrics?")
    return engine, {s: {f: value for f, (_, value) in figures.items()} for s, figures in found_by.items()}, started


def _words(series: _Series) -> str:
    model, labels = series
    return " ".join([model or "its model", *(f"{name}={value}" for name, value in labels)])
