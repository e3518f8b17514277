"""The study of a serving engine: throughput, latency and price against concurrency; what prefixes and drafts bring."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, TypeVar

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab._internal.masking import shown_address
from costlab.catalog import gpu_price
from costlab.compression import StudyResult
from costlab.compression.quantization import one_line
from costlab.compression.results import measured_here
from costlab.errors import CostlabError, EngineError, InvalidValueError, MissingExtraError
from costlab.experiments.llama_server import LlamaServer
from costlab.experiments.quantization import Seed
from costlab.experiments.registry import Experiment, Option
from costlab.monitoring import EngineMetricsError, EngineTokens, engine_tokens
from costlab.recordings import Recording, bench_command, find_device
from costlab.units import SECONDS_PER_HOUR, TOKENS_PER_MTOK

if TYPE_CHECKING:
    import httpx2
    from pandas import DataFrame

#: Requests in flight unless others are chosen; and of an engine that is started here.
CONCURRENCIES: Final = (1, 2, 4, 8, 16, 32, 64)
STARTED_CONCURRENCIES: Final = (1, 2, 4, 8, 16)

#: Tokens that a started engine drafts at a time where speculation is measured.
DRAFT_TOKENS: Final = 8

#: Requests of each kind in a repeat of what prefixes and drafts bring, one after the other.
REQUESTS_ALONE: Final = 2

#: The longest line of a stream that is read.
MOST_LINE_BYTES: Final = 2**20

T = TypeVar("T")

_LIBRARIES: Final = ("vllm", "sglang", "xllamacpp", "torch", "httpx2", "costlab")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingRow:
    """A server with a number of requests in flight. Where it did not answer, `reason` says why.

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
    counted_by : str
        ``usage`` where the server counted every answer's tokens; ``pieces`` where it did not, and each piece of an
        answer counts as a token, which servers that send several at once make too few.
    usd_per_mtok : float or None
        A million written tokens at the result's price of an hour, by the median.
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
    counted_by: str = "usage"
    usd_per_mtok: float | None = None

    def line(self) -> str:
        """The row as text."""
        start = f"{self.concurrency:>4} in flight"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        failed = f", {self.failed} of {self.requests} failed" if self.failed else ""
        pieces = ", tokens counted by pieces: the server tells no usage" if self.counted_by == "pieces" else ""
        price = "" if self.usd_per_mtok is None else f", {self.usd_per_mtok:.4g} USD per million written"
        times = (self.ttft_p50_s or 0.0, self.ttft_p95_s or 0.0, self.tpot_p50_s or 0.0)
        share = f", {self.floor_s / times[2]:.0%} of its floor" if self.floor_s and times[2] else ""
        return (
            f"{start} {self.median:>9,.4g} tokens/s, first token {1000 * times[0]:.4g} ms (95 %: "
            f"{1000 * times[1]:.4g}), then {1000 * times[2]:.4g} ms each{share}{price}{failed}{pieces}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixRow:
    """Requests one after the other, whose prompts have a long beginning in common, or none.

    Attributes
    ----------
    prompts : {'distinct', 'shared'}
        Whether they begin alike.
    requests, failed, reason : int, int, str
        Those sent; of these the ones that failed; why nothing was measured.
    input_tokens, cached_tokens : int, int or None
        Of all prompts, as the answers' usage counts them, and of these the ones read from a cache; None where usage
        does not say.
    engine_cached_tokens : int or None
        The same by the engine's own counters; None where it shows none.
    median, least, greatest : float or None
        Seconds to the first token.
    """

    prompts: str
    requests: int = 0
    failed: int = 0
    reason: str = ""
    input_tokens: int = 0
    cached_tokens: int | None = None
    engine_cached_tokens: int | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None

    def line(self) -> str:
        """The row as text."""
        start = f"{self.prompts:>8} prompts"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        told = "usage does not tell" if self.cached_tokens is None else f"{self.cached_tokens:,} by usage"
        own = "" if self.engine_cached_tokens is None else f", {self.engine_cached_tokens:,} by the engine's counters"
        return (
            f"{start}: first token after {1000 * self.median:.4g} ms ({1000 * (self.least or 0):.4g} to "
            f"{1000 * (self.greatest or 0):.4g}), of {self.input_tokens:,} prompt tokens cached: {told}{own}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeculationRow:
    """Requests one after the other, whose answers repeat the prompt or do not, with drafts or without.

    Attributes
    ----------
    text : {'new', 'repeated'}
        Whether the prompt repeats itself, so that its continuation can be looked up in it.
    drafts : {'off', 'on', "the server's"}
        Prompt look-up, of an engine that was started here; another server does as it was set up.
    requests, failed, reason : int, int, str
        Those sent; of these the ones that failed; why nothing was measured.
    output_tokens : int
        Of all answers.
    drafted_tokens, accepted_tokens : int or None
        By the engine's counters; None where it shows none.
    median, least, greatest : float or None
        Tokens of an answer a second, after its first.
    """

    text: str
    drafts: str
    requests: int = 0
    failed: int = 0
    reason: str = ""
    output_tokens: int = 0
    drafted_tokens: int | None = None
    accepted_tokens: int | None = None
    median: float | None = None
    least: float | None = None
    greatest: float | None = None

    def line(self) -> str:
        """The row as text."""
        start = f"{self.text:>8} text, drafts {self.drafts}"
        if self.median is None:
            return f"{start} not measured: {self.reason}"
        told = "its counters are not shown"
        if self.drafted_tokens is not None:
            told = f"{self.accepted_tokens:,} of {self.drafted_tokens:,} drafted tokens accepted"
        return f"{start}: {self.median:.4g} tokens/s ({self.least:.4g} to {self.greatest:.4g}), {told}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingResult(StudyResult[ServingRow]):
    """A server by the number of requests in flight.

    Where and when is told by the attributes of :class:`costlab.compression.StudyResult`.

    Attributes
    ----------
    rows : tuple of ServingRow
        By concurrency.
    prefixes, speculations : tuple of PrefixRow, of SpeculationRow
        What a common beginning of prompts brings, and drafts; with one request in flight.
    usd_per_hour, priced : float or None, str
        What the server's GPU costs, and by which row of the catalogue.
    engine, model : str
        Which server, as the caller calls it, with its version; and the model as the server knows it.
    input_tokens, output_tokens, seed : int
        Asked of each request: about this many in, and exactly this many out; and of the words of the prompts.
    """

    KINDS: ClassVar[Mapping[str, str]] = {"run": "", "row": "rows", "prefix": "prefixes", "speculation": "speculations"}

    rows: tuple[ServingRow, ...]
    prefixes: tuple[PrefixRow, ...] = ()
    speculations: tuple[SpeculationRow, ...] = ()
    usd_per_hour: float | None = None
    priced: str = ""
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
        price = f"; {self.usd_per_hour:.4g} USD an hour ({self.priced})" if self.usd_per_hour is not None else ""
        alone = [*(row.line() for row in self.prefixes), *(row.line() for row in self.speculations)]
        return [f"{run}; {asked}{price}", *(row.line() for row in self.rows), *alone]


def serving_study(
    url: Annotated[str, Option("The server's address up to its version: http://localhost:8000/v1.")] = "",
    *,
    model: Annotated[str, Option("The model's name there; by default the first that it lists.")] = "",
    engine: Annotated[
        str, Option("What the server is, with its version; without --url, what to start: llama.cpp.", metavar="NAME")
    ] = "",
    weights: Annotated[str, Option("Of an engine that is started: f16 or q4_1.", metavar="FORMAT")] = "f16",
    concurrencies: Annotated[
        list[int] | None, Option("Requests in flight; may be repeated.", metavar="N", flag="--concurrency")
    ] = None,
    input_tokens: Annotated[
        int | None, Option("Of each prompt, about; 512, or 32 where an engine is started.", metavar="TOKENS")
    ] = None,
    output_tokens: Annotated[
        int | None, Option("Of each answer; 128, or 32 where an engine is started.", metavar="TOKENS")
    ] = None,
    repeats: Annotated[int, Option("Waves of requests, at least 3.", metavar="N")] = 3,
    seed: Seed = 0,
    effects: Annotated[bool, Option("Measure what a common prefix and drafts bring, too.")] = False,
    gpu: Annotated[str, Option("The server's GPU, for dollars, at its list price.", metavar="NAME")] = "",
    provider: Annotated[str, Option("Who rents it out, where several do.", metavar="NAME")] = "",
    floors_s: Mapping[int, float] | None = None,
    timeout_s: float = 120.0,
) -> ServingResult:
    """Throughput, latency and price of a server by the number of requests in flight.

    Parameters
    ----------
    url, model, engine : str
        Where the server is, what it calls the model, and what it is called in the result. Without `url`, the engine
        ``llama.cpp`` is started on the loopback and ended again: see :class:`costlab.experiments.LlamaServer`.
    weights : {'f16', 'q4_1'}
        Of an engine that is started.
    concurrencies : list of int, optional
        Requests in flight, each >= 1; by default 1, 2, 4 and so on to 64, or to 16 where an engine is started.
    input_tokens, output_tokens : int, optional
        Tokens of a prompt, about, >= 2: half as many numbers are drawn, and most tokenizers make two tokens of one with
        its space; and tokens of each answer, >= 2.
    repeats, seed : int
        Waves at each concurrency, >= 3, after one that is not counted; and of the prompts, no two of which begin alike,
        so that nothing is read from a cache of prefixes.
    effects : bool
        Whether to measure a common prefix and speculation too, with one request in flight.
    gpu, provider : str
        For dollars: a GPU of the catalogue, at its list price, and whose where several providers have it.
    floors_s : mapping of int to float, optional
        Least seconds of a token by concurrency, to set beside what is measured.
    timeout_s : float
        Seconds for a request, > 0.

    Raises
    ------
    MissingExtraError, MissingModelError
        If ``httpx2`` is not installed, or an engine that is to be started, or its model.
    EngineError
        If the engine does not start.
    InvalidValueError
        If a number is outside its domain, the address is none, or the server does not say which models it has.
    UnknownNameError, PriceNotFoundError, AmbiguousPriceError
        If there is no such engine, format or GPU, or not one price of it.

    Notes
    -----
    A wave is as many requests as are in flight, all sent at once, twice over: each connection sends its second when its
    first is answered. Greedy decoding, and ``ignore_eos`` for servers that know it; tokens are those in the server's
    ``usage``, else the pieces that arrived. The client shares the machine with the server, and takes its share of it.
    A server that dies half-way leaves the rows that were measured, and a reason in the others.
    """
    if url or not engine:
        if not url.startswith(("http://", "https://")):
            wanted = "an address that begins with http:// or https://, or left out with --engine llama.cpp"
            raise InvalidValueError("url", wanted, shown_address(url))
        if shown_address(url) != url:  # it is recorded, and shown
            raise InvalidValueError("url", "an address without user, password and query", shown_address(url))
    else:
        checks.one_of("engine", engine, ("llama.cpp",))
    usual = CONCURRENCIES if url else STARTED_CONCURRENCIES
    chosen = usual if concurrencies is None else concurrencies
    levels = [checks.integer("concurrency", level, at_least=1) for level in chosen]
    if not levels:
        raise InvalidValueError("concurrencies", "not empty", levels)
    tokens_in = checks.integer(
        "input_tokens", (512 if url else 32) if input_tokens is None else input_tokens, at_least=2
    )
    tokens_out = checks.integer(
        "output_tokens", (128 if url else 32) if output_tokens is None else output_tokens, at_least=2
    )
    checks.integer("repeats", repeats, at_least=3)
    checks.positive("timeout_s", timeout_s)
    price = gpu_price(gpu, snapshot="list", provider=provider or None) if gpu else None
    load = _Load(
        tokens_in,
        tokens_out,
        repeats,
        checks.integer("seed", seed),
        dict(floors_s or {}),
        timeout_s,
        None if price is None else price.usd_per_hour,
    )
    prefixes: list[PrefixRow] = []
    speculations: list[SpeculationRow] = []
    if url:
        name, rows = asyncio.run(load.rows(url, model, levels))
        if effects:
            prefixes = asyncio.run(load.prefixes(url, name))
            speculations = asyncio.run(load.speculations(url, name, "the server's"))
    else:
        room = 4 * tokens_in + tokens_out + 64  # a number may be four tokens
        with LlamaServer(weights, slots=max(levels), context_tokens=room) as server:
            engine, name = f"{server.engine}, {weights}, one thread", server.model
            _, rows = asyncio.run(load.rows(server.url, name, levels, server))
        if effects:
            with LlamaServer(weights, slots=1, context_tokens=room) as server:
                prefixes = asyncio.run(load.prefixes(server.url, name))
                speculations = asyncio.run(load.speculations(server.url, name, "off"))
            with LlamaServer(weights, slots=1, context_tokens=room, draft_tokens=DRAFT_TOKENS) as server:
                speculations += asyncio.run(load.speculations(server.url, name, "on"))
    return ServingResult(
        experiment="serving",
        rows=tuple(rows),
        prefixes=tuple(prefixes),
        speculations=tuple(speculations),
        usd_per_hour=load.usd_per_hour,
        priced="" if price is None else f"{price.gpu} at {price.provider}, {price.evidence}",
        engine=engine or "a server that was not named",
        model=name,
        input_tokens=tokens_in,
        output_tokens=tokens_out,
        repeats=repeats,
        seed=seed,
        **measured_here(find_device(), *_LIBRARIES),
    )


@dataclass(frozen=True, slots=True)
class Answered:
    """A request: when its first and last token came after it was sent, and what the server counted."""

    first_s: float
    last_s: float
    input_tokens: int
    output_tokens: int
    cached_tokens: int | None
    counted: bool


@dataclass(frozen=True, slots=True)
class _Load:
    """What all rows of a run have in common."""

    input_tokens: int
    output_tokens: int
    repeats: int
    seed: int
    floors_s: Mapping[int, float]
    timeout_s: float
    usd_per_hour: float | None

    async def rows(
        self, url: str, model: str, levels: Sequence[int], started: LlamaServer | None = None
    ) -> tuple[str, list[ServingRow]]:
        """The model's name and the rows."""
        async with open_client(self.timeout_s) as client:
            name = model or await _listed_model(client, url)
            requests = Requests(client, url, name, self.output_tokens, self.timeout_s)
            rows = []
            for level in levels:
                row = await self._row(requests, level)
                if row.median is None and started is not None:
                    try:
                        started.check()
                    except EngineError as error:
                        row = replace(row, reason=str(error))
                rows.append(row)
            return name, rows

    async def _row(self, requests: Requests, level: int) -> ServingRow:
        """A wave to warm up, and those that count."""
        words = np.random.default_rng([self.seed, level])
        _, reasons, _ = await self._wave(requests, level, words)
        row = ServingRow(concurrency=level, floor_s=self.floors_s.get(level))
        if len(reasons) == 2 * level:
            return replace(row, reason=reasons[0])
        answered: list[Answered] = []
        failed, wall_s, rates = 0, 0.0, []
        for _ in range(self.repeats):
            came, reasons, took_s = await self._wave(requests, level, words)
            answered += came
            failed += len(reasons)
            wall_s += took_s
            rates.append(sum(one.output_tokens for one in came) / took_s)
        median = statistics.median(rates)
        if not answered or not median:
            return replace(row, reason=reasons[0] if reasons else "most waves were not answered")
        ttft = [one.first_s for one in answered]
        tpot = [(one.last_s - one.first_s) / (one.output_tokens - 1) for one in answered if one.output_tokens > 1]
        usd = self.usd_per_hour
        return replace(
            row,
            requests=2 * level * self.repeats,
            failed=failed,
            input_tokens=sum(one.input_tokens for one in answered),
            output_tokens=sum(one.output_tokens for one in answered),
            wall_s=wall_s,
            median=median,
            least=min(rates),
            greatest=max(rates),
            ttft_p50_s=float(np.quantile(ttft, 0.5)),
            ttft_p95_s=float(np.quantile(ttft, 0.95)),
            tpot_p50_s=float(np.quantile(tpot, 0.5)) if tpot else None,
            tpot_p95_s=float(np.quantile(tpot, 0.95)) if tpot else None,
            counted_by="usage" if all(one.counted for one in answered) else "pieces",
            usd_per_mtok=None if usd is None else usd / (median * SECONDS_PER_HOUR) * TOKENS_PER_MTOK,
        )

    async def _wave(
        self, requests: Requests, level: int, words: np.random.Generator
    ) -> tuple[list[Answered], list[str], float]:
        """Those answered, why the others were not, and seconds for all."""
        answered: list[Answered] = []
        reasons: list[str] = []

        async def connection(prompts: Sequence[str]) -> None:
            for prompt in prompts:
                try:
                    answered.append(await requests.asked(prompt))
                except Exception as error:
                    reasons.append(reason_of(error))

        prompts = [self._numbers(words) for _ in range(2 * level)]
        started = time.perf_counter()
        await asyncio.gather(*(connection(prompts[2 * k : 2 * k + 2]) for k in range(level)))
        return answered, reasons, time.perf_counter() - started

    def _numbers(self, words: np.random.Generator, count: int | None = None) -> str:
        return " ".join(map(str, words.integers(100, 1000, self.input_tokens // 2 if count is None else count)))

    async def prefixes(self, url: str, model: str) -> list[PrefixRow]:
        """Prompts that begin alike beside others of their length; the first of each kind is not counted."""
        words = np.random.default_rng([self.seed, 1_000_001])
        tail = max(self.input_tokens // 16, 1)
        head = self.input_tokens // 2
        begun = self._numbers(words, head)
        rows = []
        for kind in ("distinct", "shared"):
            prompts = [
                f"{begun if kind == 'shared' else self._numbers(words, head)} {self._numbers(words, tail)}"
                for _ in range(1 + REQUESTS_ALONE * self.repeats)
            ]
            alone = await self._alone(url, model, prompts)
            row = PrefixRow(prompts=kind, requests=len(prompts) - 1, failed=len(alone.reasons))
            if not alone.answered:
                rows.append(replace(row, reason=alone.reasons[0]))
                continue
            cached = [one.cached_tokens for one in alone.answered if one.cached_tokens is not None]
            seconds = [one.first_s for one in alone.answered]
            rows.append(
                replace(
                    row,
                    input_tokens=sum(one.input_tokens for one in alone.answered),
                    cached_tokens=sum(cached) if len(cached) == len(alone.answered) else None,
                    engine_cached_tokens=None if alone.counters is None else alone.counters.cached_tokens,
                    median=statistics.median(seconds),
                    least=min(seconds),
                    greatest=max(seconds),
                )
            )
        return rows

    async def speculations(self, url: str, model: str, drafts: str) -> list[SpeculationRow]:
        """Prompts that repeat themselves beside others of their length; the first of each kind is not counted."""
        words = np.random.default_rng([self.seed, 1_000_002])
        count = self.input_tokens // 2
        rows = []
        for text in ("new", "repeated"):
            prompts = []
            for _ in range(1 + REQUESTS_ALONE * self.repeats):
                drawn = self._numbers(words, count if text == "new" else max(count // 4, 1))
                prompts.append(drawn if text == "new" else " ".join([drawn] * 4))
            alone = await self._alone(url, model, prompts)
            row = SpeculationRow(text=text, drafts=drafts, requests=len(prompts) - 1, failed=len(alone.reasons))
            rates = [
                (one.output_tokens - 1) / (one.last_s - one.first_s)
                for one in alone.answered
                if one.output_tokens > 1 and one.last_s > one.first_s
            ]
            if not rates:
                rows.append(replace(row, reason=(alone.reasons or ["answers of one piece"])[0]))
                continue
            rows.append(
                replace(
                    row,
                    output_tokens=sum(one.output_tokens for one in alone.answered),
                    drafted_tokens=None if alone.counters is None else alone.counters.drafted_tokens,
                    accepted_tokens=None if alone.counters is None else alone.counters.accepted_tokens,
                    median=statistics.median(rates),
                    least=min(rates),
                    greatest=max(rates),
                )
            )
        return rows

    async def _alone(self, url: str, model: str, prompts: Sequence[str]) -> _Alone:
        """Requests one after the other, with what the engine counted for all but the first."""
        alone = _Alone([], [], None)
        async with open_client(self.timeout_s) as client:
            requests = Requests(client, url, model, self.output_tokens, self.timeout_s)
            before = None
            for number, prompt in enumerate(prompts):
                try:
                    answered = await requests.asked(prompt)
                except Exception as error:
                    alone.reasons.append(reason_of(error))
                else:
                    if number:
                        alone.answered.append(answered)
                if not number:
                    before = await _scrape(client, url)
            after = await _scrape(client, url)
        counters = None if before is None or after is None else _counted(before, after, model)
        return replace(alone, counters=counters)


@dataclass(frozen=True, slots=True)
class _Alone:
    """What came of requests that were sent one after the other."""

    answered: list[Answered]
    reasons: list[str]
    counters: EngineTokens | None


@asynccontextmanager
async def open_client(timeout_s: float) -> AsyncIterator[httpx2.AsyncClient]:
    """A client with a connection for each request in flight."""
    with extra("engine"):
        import httpx2
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
    headers = {"Accept-Encoding": "identity", "Content-Type": "application/json"}
    async with httpx2.AsyncClient(timeout=timeout_s, limits=limits, headers=headers, follow_redirects=False) as client:
        yield client


async def _listed_model(client: httpx2.AsyncClient, url: str) -> str:
    """The first model that a server lists."""
    import httpx2

    try:
        answer = await client.get(f"{url.rstrip('/')}/models")
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx2.HTTPError, ValueError, LookupError, TypeError) as error:
        raise InvalidValueError("url", f"a server that lists its models ({reason_of(error)})", url) from error


async def _past_idle_end(send: Callable[[], Awaitable[T]]) -> T:
    """What `send` gets; sent again where the server had ended a connection that was idle, as it may."""
    import httpx2

    try:
        return await send()
    except httpx2.RemoteProtocolError as error:
        if "without sending a response" not in str(error):
            raise
        return await send()  # nothing of the request was done


async def _scrape(client: httpx2.AsyncClient, url: str) -> str | None:
    """The engine's metrics; None where it shows none."""
    import httpx2

    address = f"{url.rstrip('/').removesuffix('/v1')}/metrics"
    try:
        answer = await _past_idle_end(lambda: client.get(address))
    except httpx2.HTTPError:
        return None
    return answer.text if answer.status_code == 200 else None


def _counted(before: str, after: str, model: str) -> EngineTokens | None:
    """What the engine counted between two scrapes; None where its metrics cannot be read."""
    try:
        done = engine_tokens(before, after)
    except (EngineMetricsError, MissingExtraError):
        return None
    return next((one for one in done if one.model in ("", model)), None)


@dataclass(frozen=True, slots=True)
class Requests:
    """How a server is asked."""

    client: httpx2.AsyncClient
    url: str
    model: str
    output_tokens: int
    timeout_s: float

    async def asked(self, prompt: str) -> Answered:
        """One request, read to its end."""
        body = {
            "model": self.model,
            "prompt": prompt,
            "max_tokens": self.output_tokens,
            "temperature": 0.0,
            "stream": True,
            "stream_options": {"include_usage": True},
            "ignore_eos": True,
        }
        content = json.dumps(body).encode()
        async with asyncio.timeout(self.timeout_s):  # the client's own is for each piece
            return await _past_idle_end(lambda: self._sent(content))

    async def _sent(self, content: bytes) -> Answered:
        """One try."""
        started = time.perf_counter()
        first_s = last_s = 0.0
        pieces, usage, ended = 0, None, False
        async with self.client.stream("POST", f"{self.url.rstrip('/')}/completions", content=content) as answer:
            if answer.status_code != 200:
                raise EngineError(f"the server answered {answer.status_code}: {_told(await answer.aread())}")
            async for line in _lines(answer):
                if line == b"[DONE]":
                    ended = True  # read on to the end, so that the connection can be used again
                    continue
                part = json.loads(line)
                if "error" in part:
                    raise EngineError(f"the server broke off its answer: {_told(line)}")
                choices = part.get("choices")
                if choices and choices[0].get("text"):
                    last_s = time.perf_counter() - started
                    first_s = first_s or last_s
                    pieces += 1
                usage = part.get("usage") or usage
        if not pieces:
            raise EngineError("an answer without a token")
        if not ended:
            raise EngineError("the answer ended before it was whole")
        counted = usage or {}
        details = counted.get("prompt_tokens_details") or {}
        return Answered(
            first_s,
            last_s,
            counted.get("prompt_tokens", 0),
            counted.get("completion_tokens") or pieces,
            details.get("cached_tokens"),
            usage is not None,
        )


async def _lines(answer: httpx2.Response) -> AsyncIterator[bytes]:
    """The data of each event of a stream."""
    rest = b""
    async for piece in answer.aiter_raw():
        *lines, rest = (rest + piece).split(b"\n")
        if len(rest) > MOST_LINE_BYTES:
            raise EngineError(f"a line of the answer has more than {MOST_LINE_BYTES:,} bytes")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def _told(body: bytes) -> str:
    """What an error says."""
    try:
        error = json.loads(body)["error"]
        return one_line(Exception(error["message"] if isinstance(error, dict) else error))
    except (ValueError, LookupError, TypeError):
        return one_line(Exception(body.decode("utf-8", "replace"))) if body else "nothing"


def reason_of(error: Exception) -> str:
    """Why a request failed, in a line."""
    import httpx2

    if isinstance(error, CostlabError):
        return str(error)
    if isinstance(error, httpx2.ConnectError):
        return f"no connection ({one_line(error)})"
    if isinstance(error, httpx2.TransportError) and not isinstance(error, httpx2.TimeoutException):
        return f"the connection was cut ({one_line(error)})"
    return one_line(error)


def _recording(result: ServingResult, options: Mapping[str, object]) -> Recording:
    at_url = bool(options["url"])
    chosen = {
        **({"url": options["url"], "model": result.model, "engine": result.engine} if at_url else {}),
        **({} if at_url else {"engine": options["engine"], "weights": options["weights"]}),
        "concurrency": [row.concurrency for row in result.rows],
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "repeats": result.repeats,
        "seed": result.seed,
        **{name: options[name] for name in ("effects", "gpu", "provider") if options[name]},
    }
    return result.to_recording(bench_command("serving", chosen))


EXPERIMENT: Final = Experiment(
    measure=serving_study, lines=ServingResult.lines, recording=_recording, load=ServingResult.from_recording
)
