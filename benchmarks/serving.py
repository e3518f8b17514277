"""The load that ``costlab bench serving`` drives, beside minimal clients, in one run: ``make bench``.

Against a stub that answers at once, what is timed is the client alone: its processor time for a request, and requests a
second. Against a real engine at sixteen requests in flight: what the client adds to the engine's time. Both in turn
with a client that only sends and reads; medians of the rounds, with the least and greatest ratio.
"""

import asyncio
import json
import multiprocessing
import statistics
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import httpx2

from costlab.experiments import LlamaServer
from costlab.experiments.serving import Requests, open_client

ROUNDS, REQUESTS, IN_FLIGHT, PIECES = 9, 400, 16, 16
ENGINE_ROUNDS, ENGINE_TOKENS = 5, 16

PIECE = b'data: {"choices":[{"index":0,"text":" a","finish_reason":null}],"model":"m","id":"1"}\n\n'
END = (
    b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":16,"prompt_tokens_details":'
    b'{"cached_tokens":0}}}\n\ndata: [DONE]\n\n'
)
Ask = Callable[[httpx2.AsyncClient, str, str], Awaitable[object]]


def stub(told: Connection) -> None:
    """A server that answers every request at once with a stream of sixteen pieces."""

    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data)

    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    answer = head + b"".join(map(chunk, [PIECE] * PIECES + [END])) + b"0\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                asked = await reader.readuntil(b"\r\n\r\n")
                length = next(line for line in asked.lower().split(b"\r\n") if line.startswith(b"content-length:"))
                await reader.readexactly(int(length.split(b":")[1]))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def run() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


async def minimal(client: httpx2.AsyncClient, url: str, prompt: str) -> object:
    """The least that a load generator does: send, note the first and last byte, and read the usage at the end."""
    body = {"model": "m", "prompt": prompt, "max_tokens": ENGINE_TOKENS, "temperature": 0.0, "stream": True}
    body |= {"stream_options": {"include_usage": True}, "ignore_eos": True}
    started, first_s, usage = time.perf_counter(), 0.0, None
    async with client.stream("POST", f"{url}/completions", content=json.dumps(body).encode()) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                first_s = first_s or time.perf_counter() - started
                usage = json.loads(line[6:]).get("usage") or usage
    return first_s, time.perf_counter() - started, usage


async def twice(ask: Ask, client: httpx2.AsyncClient, url: str, prompt: str) -> object:
    """Ask again where the server had ended a connection that was idle."""
    try:
        return await ask(client, url, prompt)
    except httpx2.RemoteProtocolError:
        return await ask(client, url, prompt)


async def ours(client: httpx2.AsyncClient, url: str, prompt: str) -> object:
    """The experiment's client."""
    return await Requests(client, url, "m", ENGINE_TOKENS, 120.0).asked(prompt)


def wave(ask: Ask, url: str, requests: int, number: int) -> tuple[float, float]:
    """Seconds of a clock, and of this process, for requests with sixteen in flight."""

    async def run() -> tuple[float, float]:
        async with open_client(120.0) as client:

            async def connection(k: int) -> None:
                for n in range(k, requests, IN_FLIGHT):
                    await twice(ask, client, url, f"{number} {n} " + "seven " * 8)

            await asyncio.gather(*(ask(client, url, f"{k} {number}") for k in range(IN_FLIGHT)))  # connections
            began, worked = time.perf_counter(), time.process_time()
            await asyncio.gather(*(connection(k) for k in range(IN_FLIGHT)))
            return time.perf_counter() - began, time.process_time() - worked

    return asyncio.run(run())


def shown(name: str, ratios: list[float], goal: str) -> None:
    """A line of ratios."""
    print(
        f"{name:<58}{statistics.median(ratios):8.3f}  ({min(ratios):.3f} to {max(ratios):.3f}, n={len(ratios)})  {goal}"
    )


def against_stub() -> None:
    """The client alone."""
    told, tells = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=stub, args=(tells,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{told.recv()}/v1"
    rounds = []
    for number in range(ROUNDS):
        order: list[Ask] = [ours, minimal] if number % 2 else [minimal, ours]
        took = {ask: wave(ask, url, REQUESTS, number) for ask in order}
        rounds.append((took[ours], took[minimal]))
    server.terminate()
    server.join()
    rate = statistics.median(REQUESTS / mine[0] for mine, _ in rounds)
    cpu_ms = statistics.median(1000 * mine[1] / REQUESTS for mine, _ in rounds)
    print(f"a stub, {IN_FLIGHT} in flight: {rate:,.0f} requests/s, {cpu_ms:.2f} ms of processor time a request")
    shown("  requests/s, ours over minimal", [other[0] / mine[0] for mine, other in rounds], "goal: at least 1")
    shown("  processor time, ours over minimal", [mine[1] / other[1] for mine, other in rounds], "goal: at most 1")


def against_engine() -> None:
    """What the client adds to an engine's time."""
    with LlamaServer(slots=IN_FLIGHT, context_tokens=256) as server:
        rounds, added = [], []
        for number in range(ENGINE_ROUNDS):
            took = {}
            for ask in (ours, minimal) if number % 2 else (minimal, ours):
                before = server.cpu_s() or 0.0
                wall, cpu = wave(ask, server.url, 2 * IN_FLIGHT, number)
                took[ask] = wall, cpu, (server.cpu_s() or 0.0) - before
            rounds.append((took[ours], took[minimal]))
            engine_s = took[ours][2] or took[ours][0]
            added.append(1 + (took[ours][1] - took[minimal][1]) / engine_s)
        print(f"{server.engine}, {IN_FLIGHT} in flight")
    shown("  seconds, ours over minimal", [mine[0] / other[0] for mine, other in rounds], "goal: at most 1.03")
    shown("  engine's processor time with what ours adds to minimal", added, "goal: at most 1.03")
    shares = [mine[1] / mine[2] for mine, _ in rounds if mine[2]]
    if shares:
        shown("  our processor time over the engine's", shares, "")


if __name__ == "__main__":
    against_stub()
    against_engine()
