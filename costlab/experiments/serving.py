"""The study of a serving engine: throughput and latency against concurrency, over the protocol that engines share."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.compression import StudyResult
from costlab.compression.quantization import one_line
from costlab.compression.results import measured_here
from costlab.errors import InvalidValueError
from costlab.experiments.quantization import Seed
from costlab.experiments.registry import Experiment, Option
from costlab.recordings import Recording, bench_command, find_device

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from pandas import DataFrame

#: Requests in flight unless others are chosen.
CONCURRENCIES: Final = (1, 2, 4, 8, 16, 32, 64)

_LIBRARIES: Final = ("vllm", "sglang", "xllamacpp", "torch", "openai", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRow:
    """A server with so many requests in flight. Where it did not answer, `reason` says why.

    Attributes
    ----------
    concurrency, requests, failed, reason : int, int, int, str
        Requests in flight; those sent after the ones that warm up, and of these the ones that failed; why nothing was
        measured, empty where it was.
    input_tokens, output_tokens : int
        Of all requests that were answered, as the server counts them.
    wall_s : float or None
        From the first request sent to the last answered.
    median, least, greatest : float or None
        Tokens written a second, all requests together, over the repeats.
    ttft_p50_s, ttft_p95_s : float or None
        Seconds from a request sent to its first token.
    tpot_p50_s, tpot_p95_s : float or None
        Seconds for each token of an answer after its first.
    floor_s : float or None
        Least seconds of a token at this concurrency, where the caller knows the device and the model.
    """

    concurrency: int
    requests: int = 0
    failed: int = 0
    reason: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    wall_s: float | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None
    ttft_p50_s: float | None = None
    ttft_p95_s: float | None = None
    tpot_p50_s: float | None = None
    tpot_p95_s: float | None = None
    floor_s: float | None = None

    def line(self) -> str:
        """The row as text."""
        start = f"{self.concurrency:>4} in flight"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        failed = f", {self.failed} failed" if self.failed else ""
        times = (self.ttft_p50_s or 0.0, self.ttft_p95_s or 0.0, self.tpot_p50_s or 0.0)
        share = f", {self.floor_s / times[2]:.0%} of its floor" if self.floor_s and times[2] else ""
        return (
            f"{start} {self.median:>9,.4g} tokens/s, first token {1000 * times[0]:.4g} ms (95 %: "
            f"{1000 * times[1]:.4g}), then {1000 * times[2]:.4g} ms each{share}{failed}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult(StudyResult[ServingRow]):
    """A server by the number of requests in flight.

    Where and when is told by the attributes of :class:`costlab.compression.StudyResult`.

    Attributes
    ----------
    rows : tuple of ServingRow
        By concurrency.
    engine, model : str
        Which server, as the caller calls it, with its version; and the model as the server knows it.
    input_tokens, output_tokens, seed : int
        Asked of each request, about so many in and exactly so many out; and of the words of the prompts.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"run": "", "row": "rows"}

    rows: tuple[ServingRow, ...]
    engine: str
    model: str
    input_tokens: int
    output_tokens: int
    seed: int

    def row(self, concurrency: int) -> ServingRow:
        """The row of a concurrency. Raises an InvalidValueError if there is none."""
        return self._find("concurrency", (str(row.concurrency) for row in self.rows), concurrency=concurrency)

    def frame(self) -> DataFrame:
        """A pandas DataFrame with a row for each concurrency."""
        with extra("plots"):
            import pandas as pd
        return pd.DataFrame([asdict(row) for row in self.rows]).set_index("concurrency")

    def lines(self) -> list[str]:
        """The result as text, a line for each row."""
        run = f"{self.model} by {self.engine} on {self.device_name} ({self.recorded_on}, median of {self.repeats})"
        asked = f"about {self.input_tokens} tokens in, {self.output_tokens} out"
        return [f"{run}; {asked}", *(row.line() for row in self.rows)]


def serving_study(
    url: Annotated[str, Option("The server's address up to its version: http://localhost:8000/v1.")] = "",
    *,
    model: Annotated[str, Option("The model's name there; by default the first that it lists.")] = "",
    engine: Annotated[str, Option("What the server is, with its version.")] = "",
    concurrencies: Annotated[
        list[int] | None, Option("Requests in flight; may be repeated.", metavar="N", flag="--concurrency")
    ] = None,
    input_tokens: Annotated[int, Option("Of each prompt, about.", metavar="TOKENS")] = 512,
    output_tokens: Annotated[int, Option("Of each answer.", metavar="TOKENS")] = 128,
    repeats: Annotated[int, Option("Waves of requests, at least 3.", metavar="N")] = 3,
    seed: Seed = 0,
    floors_s: Mapping[int, float] | None = None,
    timeout_s: float = 120.0,
) -> ServingResult:
    """Throughput and latency of a server by the number of requests in flight.

    Parameters
    ----------
    url, model, engine : str
        Where the server is, what it calls the model, and what it is called in the result.
    concurrencies : list of int, optional
        Requests in flight, each >= 1; by default 1, 2, 4 and so on to 64.
    input_tokens, output_tokens : int
        Tokens of a prompt, about, >= 2: half as many numbers are drawn, and most tokenizers make two tokens of one with
        its space; and tokens of each answer, >= 2.
    repeats, seed : int
        Waves at each concurrency, >= 3, after one that is not counted; and of the prompts, no two of which begin alike,
        so that nothing is read from a cache of prefixes.
    floors_s : mapping of int to float, optional
        Least seconds of a token by concurrency, to set beside what is measured.
    timeout_s : float
        Seconds for a request, > 0.

    Raises
    ------
    MissingExtraError
        If ``openai`` is not installed.
    InvalidValueError
        If a number is outside its domain, the address is none, or the server does not say which models it has.

    Notes
    -----
    A wave is as many requests as are in flight, all sent at once, twice over: each connection sends its second when its
    first is answered. Greedy decoding, and ``ignore_eos`` for servers that know it; tokens are those in the server's
    ``usage``, else the pieces that arrived. The client shares the machine with the server, and takes its share of it.
    """
    if not url.startswith(("http://", "https://")):
        raise InvalidValueError("url", "an address that begins with http:// or https://", url)
    chosen = CONCURRENCIES if concurrencies is None else concurrencies
    levels = [checks.integer("concurrency", level, at_least=1) for level in chosen]
    if not levels:
        raise InvalidValueError("concurrencies", "not empty", levels)
    checks.integer("input_tokens", input_tokens, at_least=2)
    checks.integer("output_tokens", output_tokens, at_least=2)
    checks.integer("repeats", repeats, at_least=3)
    checks.positive("timeout_s", timeout_s)
    load = _Load(
        url, input_tokens, output_tokens, repeats, checks.integer("seed", seed), dict(floors_s or {}), timeout_s
    )
    name, rows = asyncio.run(load.rows(model, levels))
    return ServingResult(
        experiment="serving",
        rows=tuple(rows),
        engine=engine or "a server that was not named",
        model=name,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
        repeats=repeats,
        seed=seed,
        **measured_here(find_device(), *_LIBRARIES),
    )


@dataclass(frozen=True, slots=True)
class _Answered:
    """A request: when its first and last token came after it was sent, and what the server counted."""

    first_s: float
    last_s: float
    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class _Load:
    """What all rows of a run have in common."""

    url: str
    input_tokens: int
    output_tokens: int
    repeats: int
    seed: int
    floors_s: Mapping[int, float]
    timeout_s: float

    async def rows(self, model: str, levels: Sequence[int]) -> tuple[str, list[ServingRow]]:
        """The model's name and the rows."""
        with extra("router"):
            import openai
        async with openai.AsyncOpenAI(
            base_url=self.url, api_key="none", timeout=self.timeout_s, max_retries=0
        ) as client:
            try:
                name = model or (await client.models.list()).data[0].id
            except (openai.OpenAIError, IndexError) as error:
                raise InvalidValueError(
                    "url", f"a server that lists its models ({one_line(error)})", self.url
                ) from error
            return name, [await self._row(client, name, level) for level in levels]

    async def _row(self, client: AsyncOpenAI, model: str, level: int) -> ServingRow:
        """A wave to warm up, and those that count."""
        words = np.random.default_rng([self.seed, level])
        _, reasons, _ = await self._wave(client, model, level, words)
        row = ServingRow(concurrency=level, floor_s=self.floors_s.get(level))
        if len(reasons) == 2 * level:
            return replace(row, reason=reasons[0])
        answered: list[_Answered] = []
        failed, wall_s, rates = 0, 0.0, []
        for _ in range(self.repeats):
            came, reasons, took_s = await self._wave(client, model, level, words)
            answered += came
            failed += len(reasons)
            wall_s += took_s
            rates.append(sum(one.output_tokens for one in came) / took_s)
        if not answered:
            return replace(row, reason=reasons[0])
        ttft = [one.first_s for one in answered]
        tpot = [(one.last_s - one.first_s) / (one.output_tokens - 1) for one in answered if one.output_tokens > 1]
        return replace(
            row,
            requests=2 * level * self.repeats,
            failed=failed,
            input_tokens=sum(one.input_tokens for one in answered),
            output_tokens=sum(one.output_tokens for one in answered),
            wall_s=wall_s,
            median=statistics.median(rates),
            least=min(rates),
            greatest=max(rates),
            ttft_p50_s=float(np.quantile(ttft, 0.5)),
            ttft_p95_s=float(np.quantile(ttft, 0.95)),
            tpot_p50_s=float(np.quantile(tpot, 0.5)) if tpot else None,
            tpot_p95_s=float(np.quantile(tpot, 0.95)) if tpot else None,
        )

    async def _wave(
        self, client: AsyncOpenAI, model: str, level: int, words: np.random.Generator
    ) -> tuple[list[_Answered], list[str], float]:
        """Those answered, why the others were not, and seconds for all."""
        answered: list[_Answered] = []
        reasons: list[str] = []

        async def connection(prompts: Sequence[str]) -> None:
            for prompt in prompts:
                try:
                    answered.append(await self._asked(client, model, prompt))
                except Exception as error:
                    reasons.append(one_line(error))

        prompts = [" ".join(map(str, words.integers(100, 1000, self.input_tokens // 2))) for _ in range(2 * level)]
        started = time.perf_counter()
        await asyncio.gather(*(connection(prompts[2 * k : 2 * k + 2]) for k in range(level)))
        return answered, reasons, time.perf_counter() - started

    async def _asked(self, client: AsyncOpenAI, model: str, prompt: str) -> _Answered:
        """One request, read to its end."""
        started = time.perf_counter()
        first_s = last_s = 0.0
        pieces = read = written = 0
        stream = await client.completions.create(
            model=model,
            prompt=prompt,
            max_tokens=self.output_tokens,
            temperature=0.0,
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"ignore_eos": True},
        )
        async for part in stream:
            if part.choices and part.choices[0].text:
                last_s = time.perf_counter() - started
                first_s = first_s or last_s
                pieces += 1
            if part.usage is not None:
                read, written = part.usage.prompt_tokens, part.usage.completion_tokens
        if not pieces:
            raise RuntimeError("an answer without a token")
        return _Answered(first_s, last_s, read, written or pieces)


def _recording(result: ServingResult, options: Mapping[str, object]) -> Recording:
    chosen = {
        "url": options["url"],
        "model": result.model,
        "engine": result.engine,
        "concurrency": options["concurrencies"] or CONCURRENCIES,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "repeats": result.repeats,
        "seed": result.seed,
    }
    return result.to_recording(bench_command("serving", chosen))


EXPERIMENT: Final = Experiment(
    measure=serving_study, lines=ServingResult.lines, recording=_recording, load=ServingResult.from_recording
)
