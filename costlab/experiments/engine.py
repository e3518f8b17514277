"""What fills an engine: its start by stage, batching, reuse of prefixes and speculation, by its own counters."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Annotated, Any, Final

from costlab._internal import checks
from costlab.errors import EngineError, MissingExtraError, MissingModelError, RecordingError
from costlab.experiments.llama_server import LlamaServer
from costlab.experiments.registry import Experiment, Option
from costlab.experiments.serving import Answered, Requests, open_client, reason_of
from costlab.recordings import Recording, Row, find_device, find_recording, library_versions

if TYPE_CHECKING:
    from pathlib import Path

#: Requests in flight at which batching is measured.
LEVELS: Final = (1, 2, 4, 8, 16)

#: Longest seconds of a request.
_TIMEOUT_S: Final = 600.0

#: A system prompt of some 200 tokens, and questions of customers behind it.
SYSTEM: Final = (
    "You answer customers of an invented cloud storage service. Be short and polite. Deleted files can be restored "
    "for thirty days. The free plan holds five gigabytes, the personal plan two hundred, the team plan two thousand. "
    "Plans are billed monthly or yearly, and a year costs as much as ten months. A payment that fails is tried again "
    "after three days and after seven. Shared folders count for their owner alone. A password is changed in the "
    "settings of the account, and a lost one by the link that is sent to the address of the account. Two-step sign-in"
    " needs a phone. Files are encrypted on the way and at rest. The desktop program keeps a copy of chosen folders. "
    "Support answers within a day, for teams within four hours. Never promise a refund: say that billing will write."
)
#: Asked behind it.
QUESTIONS: Final = ("How do I get my deleted pictures back?", "Does a shared folder count against my space?")

#: A text that asks to be copied, and one that does not repeat itself.
COPY: Final = (
    "Repeat this list word for word.\n\nred apple, green pear, blue plum, yellow lemon, black cherry, white peach, "
    "brown fig, golden quince, purple grape, orange mango\n\nred apple, green pear,"
)
PROSE: Final = "Once upon a time an old lighthouse keeper found a strange letter in a bottle. It said that"


def ask_all(
    server: LlamaServer, prompts: Sequence[str], output_tokens: int, in_flight: int
) -> tuple[dict[str, float], list[float]]:
    """Send prompts to your own server, some at a time, each for an answer of an exact number of tokens.

    Returns
    -------
    dict of str to float
        By how much each of the engine's counters rose; ``cpu_s``, processor seconds of the engine, and ``wall_s``; and
        of the answers' own ``usage`` the sums ``usage_prompt_tokens`` and ``usage_cached_tokens``.
    list of float
        Seconds from the start of all to each first token, ascending.

    Raises
    ------
    EngineError
        If a request is not answered.
    """
    before, cpu_s, began = server.metrics(), server.cpu_s() or 0.0, time.perf_counter()
    answers: list[tuple[float, Answered]] = []

    async def ask() -> None:
        async with open_client(_TIMEOUT_S) as client:
            requests = Requests(client, server.url, server.model, output_tokens, _TIMEOUT_S)
            left = iter(prompts)

            async def connection() -> None:
                for prompt in left:
                    sent_s = time.perf_counter() - began
                    answered = await requests.asked(prompt)
                    answers.append((sent_s + answered.first_s, answered))

            await asyncio.gather(*(connection() for _ in range(in_flight)))

    try:
        with ThreadPoolExecutor(1) as thread:  # where this is called, in a notebook, a loop may be running
            thread.submit(asyncio.run, ask()).result()
    except Exception as error:
        server.check()
        raise EngineError(f"llama.cpp did not answer: {reason_of(error)}") from error
    rose = {name: value - before.get(name, 0.0) for name, value in server.metrics().items()}
    rose |= {"cpu_s": (server.cpu_s() or 0.0) - cpu_s, "wall_s": time.perf_counter() - began}
    rose |= {"usage_prompt_tokens": sum(one.input_tokens for _, one in answers)}
    rose |= {"usage_cached_tokens": sum(one.cached_tokens or 0 for _, one in answers)}
    return rose, sorted(first_s for first_s, _ in answers)


def start_rows(repeats: int = 3, folder: Path | None = None) -> Iterator[Row]:
    """Seconds of each stage of a cold start of the 4-bit model, a row for each stage and repetition."""
    for repeat in range(repeats):
        with LlamaServer("q4_1", threads=1, folder=folder) as server:
            for stage in server.stages:
                yield {"what": "start", "repeat": repeat, "stage": stage.name, "seconds": round(stage.seconds, 4)}


def curve_rows(weights: str, levels: Sequence[int] = LEVELS, repeats: int = 3, output_tokens: int = 8) -> Iterator[Row]:
    """Processor seconds of a token by requests in flight, on one thread: a row for each level and repetition."""
    with LlamaServer(weights, slots=max(levels), context_tokens=128, threads=1, prefix_cache=False) as server:
        for repeat in range(repeats):
            for level in levels:
                prompts = [f"{100 + 37 * number + repeat} and" for number in range(max(4, level))]
                rose, firsts = ask_all(server, prompts, output_tokens, level)
                tokens = rose["tokens_predicted_total"]
                yield {
                    "what": "curve", "weights": weights, "in_flight": level, "repeat": repeat,
                    "tokens": int(tokens), "steps": int(rose["n_decode_total"]), "cpu_s": round(rose["cpu_s"], 3),
                    "first_s": round(firsts[len(firsts) // 2], 3), "last_first_s": round(firsts[-1], 3),
                }  # fmt: skip


def prefix_rows(repeats: int = 3, output_tokens: int = 8) -> Iterator[Row]:
    """Questions behind one system prompt, without reuse and with it: tokens read and reused, processor seconds."""
    for reuse in (False, True):
        with LlamaServer("q4_1", slots=1, threads=1, prefix_cache=reuse) as server:
            ask_all(server, [f"{SYSTEM} {QUESTIONS[0]}"], output_tokens, 1)
            for repeat in range(repeats):
                prompts = [f"{SYSTEM}\n\nCustomer {repeat}: {question}\nSupport:" for question in QUESTIONS]
                rose, _ = ask_all(server, prompts, output_tokens, 1)
                yield {
                    "what": "prefix", "reuse": reuse, "repeat": repeat, "requests": len(prompts),
                    "read": int(rose["prompt_tokens_total"]), "reused": int(rose["prompt_tokens_cached_total"]),
                    "usage_prompt": int(rose["usage_prompt_tokens"]), "usage_cached": int(rose["usage_cached_tokens"]),
                    "written": int(rose["tokens_predicted_total"]), "cpu_s": round(rose["cpu_s"], 3),
                }  # fmt: skip


def speculation_rows(
    repeats: int = 3, levels: Sequence[int] = (1, 4), output_tokens: int = 24, draft_tokens: int = 4
) -> Iterator[Row]:
    """A text that repeats and one that does not, with and without drafts: drafted, accepted, processor seconds."""
    for drafts in (0, draft_tokens):
        with LlamaServer(
            "f16", slots=max(levels), context_tokens=160, threads=1, draft_tokens=drafts, prefix_cache=False
        ) as server:
            for repeat in range(repeats):
                for text, prompt in {"repeats": COPY, "does not": PROSE}.items():
                    for level in levels:
                        rose, _ = ask_all(server, [prompt] * level, output_tokens, level)
                        yield {
                            "what": "speculation", "text": text, "draft_tokens": drafts, "in_flight": level,
                            "repeat": repeat, "written": int(rose["tokens_predicted_total"]),
                            "drafted": int(rose["spec_decode_num_draft_tokens_total"]),
                            "accepted": int(rose["spec_decode_num_accepted_tokens_total"]),
                            "steps": int(rose["n_decode_total"]), "cpu_s": round(rose["cpu_s"], 3),
                        }  # fmt: skip


_MEASURED: Final[Mapping[str, Callable[..., Iterator[Row]]]] = {
    "start": start_rows,
    "curve": curve_rows,
    "prefix": prefix_rows,
    "speculation": speculation_rows,
}


def engine_rows(what: str, **options: Any) -> list[Row]:
    """Rows measured here; where the engine is missing or fails, those of the recording, after a line that says so.

    Parameters
    ----------
    what : {'start', 'curve', 'prefix', 'speculation'}
        Which rows.
    options
        Of the measurement: ``repeats``, and ``output_tokens`` for all but the start.

    Raises
    ------
    UnknownNameError
        If there are no such rows.
    """
    checks.one_of("rows", what, _MEASURED)
    try:
        return list(_MEASURED[what](**options))
    except (EngineError, MissingExtraError, MissingModelError) as error:
        print(f"not measured here: {error}")  # noqa: T201
    recording = find_recording("engine", "cpu")
    if recording is None:
        raise RecordingError("engine on cpu is not recorded")
    print(f"recorded on {recording.recorded_on} instead, on {recording.device_name}")  # noqa: T201
    return [row for row in recording.rows if row["what"] == what]


async def if_engine(use: Callable[[], Awaitable[object]]) -> None:
    """Run what needs the engine; where it is missing or fails, print a line that says so, and go on."""
    try:
        await use()
    except (EngineError, MissingExtraError, MissingModelError) as error:
        print(f"not run here: {error}")  # noqa: T201


def measure_engine(
    repeats: Annotated[int, Option("Repetitions of each measurement, at least 3.", metavar="N")] = 3,
) -> Recording:
    """What fills llama.cpp's server with SmolLM2-135M on one thread of this machine.

    Parameters
    ----------
    repeats : int
        Repetitions of each measurement, >= 3.

    Returns
    -------
    Recording
        Rows of four kinds, by ``what``: ``start``, ``curve`` (in 16 and in 4 bits), ``prefix`` and ``speculation``.

    Raises
    ------
    EngineError, MissingExtraError
        If the engine does not start or ends; if it is not installed.

    Notes
    -----
    On one thread, and in processor seconds of the engine: both hardly feel what else runs on the machine. Seconds of a
    clock do, and are given for the start alone. The study "serving" measures throughput, latency and price of a server
    of any kind, by the clock.
    """
    checks.integer("repeats", repeats, at_least=3)
    rows = [*start_rows(repeats), *curve_rows("f16", repeats=repeats), *curve_rows("q4_1", repeats=repeats)]
    rows += [*prefix_rows(repeats), *speculation_rows(repeats)]
    return Recording.from_run(
        "engine",
        rows,
        device=find_device("cpu"),
        versions=library_versions("python", "xllamacpp", "httpx2", "costlab"),
        options={"repeats": repeats},
        repeats=repeats,
    )


def engine_lines(recording: Recording) -> list[str]:
    """The recording as text."""
    return [", ".join(f"{name} {value}" for name, value in row.items()) for row in recording.rows]


EXPERIMENT = Experiment(measure=measure_engine, lines=engine_lines)
