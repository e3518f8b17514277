"""A network that does what networks do, between a client and a Redis server: it delays, cuts, loses and repeats.

It knows nothing of the protocol but that a client waits for its answer before it says the next thing. What it may do
to one request:

- *delay*: forward it later, perhaps after the client has given up;
- *fragments*: forward it in pieces, with pauses;
- *cut*: close both sides before the server has heard it;
- *answer lost*: let the server do it, and cut the client off instead of answering;
- *black hole*: swallow it and everything after it, and close nothing;
- *late*: hold it back until the client has given up and tried again elsewhere, and let it arrive then;
- *twice*: let it arrive, and once more later, as from a middlebox that tries again.

Now and then nothing passes at all for a while.
"""

import asyncio
import contextlib
import random
import threading
from collections import Counter
from collections.abc import Coroutine, Mapping
from typing import Any, Final

#: What becomes of a request, and how often: of 1000.
FATES: Final = {
    "passed": 948, "delayed": 12, "in fragments": 10, "cut": 7, "answer lost": 8, "into a black hole": 2, "late": 6,
    "twice": 7,
}  # fmt: skip
STRAY: Final = ("delayed", "in fragments", "late", "twice")
FAULTS: Final = tuple(fate for fate in FATES if fate != "passed")


class Proxy:
    """Listens on a port of its own and forwards to `port`, in a thread with an event loop of its own.

    Parameters
    ----------
    port : int
        The server's, on the loopback.
    seed : int
        Of what it does to whom.
    patience_s : float
        Seconds after which the clients give up: what is late arrives after 1 to 4 times as long.
    fates : mapping of str to int
        How often a request meets which fate.
    """

    def __init__(self, port: int, seed: int, patience_s: float, fates: Mapping[str, int] = FATES) -> None:
        self._server_port, self._patience_s, self._fates = port, patience_s, fates
        self._rng = random.Random(seed)
        #: Connections and requests, and what became of them.
        self.counts: Counter[str] = Counter()
        #: While it is calm, everything passes.
        self.calm = False
        #: Requests that may have arrived when their client had given up, or once more.
        self.stray: list[bytes] = []
        self._open = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        started = threading.Event()
        self._port = 0
        self._thread = threading.Thread(target=self._serve, args=(started,), name="proxy")
        self._thread.start()
        started.wait()

    @property
    def port(self) -> int:
        """Where it listens, on the loopback."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self._port}/0"

    def stop(self) -> None:
        """Close everything."""
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def block(self, seconds: float) -> None:
        """Let nothing pass for so long, from now on; it returns at once."""
        self.counts["partitions"] += 1
        self._loop.call_soon_threadsafe(self._open.clear)
        self._loop.call_soon_threadsafe(self._loop.call_later, seconds, self._open.set)

    def _serve(self, started: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._run(started))

    async def _run(self, started: threading.Event) -> None:
        self._stopping = asyncio.Event()
        self._open.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self._port = int(server.sockets[0].getsockname()[1])
        started.set()
        await self._stopping.wait()
        server.close()
        while self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.sleep(0)  # so that what was aborted is closed

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        self._start(self._connection(reader, writer))

    async def _connection(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        to_server: asyncio.StreamWriter | None = None
        answers: asyncio.Task[None] | None = None
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._server_port)
            deaf = asyncio.Event()  # once it is set, the client gets no more answers
            heard = asyncio.Event()  # something came from the server
            answers = self._start(self._answer(from_server, to_client, deaf, heard))
            while request := await from_client.read(1 << 20):
                if blocked := not self._open.is_set():
                    await self._open.wait()
                self.counts["requests"] += 1
                fate = self._fate()
                self.counts[fate] += 1
                if blocked or fate in STRAY:
                    self.stray.append(request)
                if not await self._treat(fate, request, from_client, to_server, deaf, heard):
                    break
        except OSError:  # the server is down, or somebody hung up
            self.counts["broken"] += 1
        finally:
            if answers is not None:
                answers.cancel()
            for writer in (to_client, to_server):
                if writer is not None:
                    writer.transport.abort()

    async def _answer(
        self,
        from_server: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        deaf: asyncio.Event,
        heard: asyncio.Event,
    ) -> None:
        with contextlib.suppress(OSError):
            while answer := await from_server.read(1 << 20):
                heard.set()
                await self._open.wait()
                if not deaf.is_set():
                    to_client.write(answer)
                    await to_client.drain()
        heard.set()
        if not deaf.is_set():
            to_client.transport.abort()

    def _fate(self) -> str:
        return "passed" if self.calm else self._rng.choices(list(self._fates), list(self._fates.values()))[0]

    async def _treat(
        self,
        fate: str,
        request: bytes,
        from_client: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        deaf: asyncio.Event,
        heard: asyncio.Event,
    ) -> bool:
        """Do it, and say whether the connection lives on."""
        rng, patience_s = self._rng, self._patience_s
        if fate == "cut":
            return False
        if fate == "into a black hole":
            while await from_client.read(1 << 20):
                pass
            return False
        if fate == "in fragments":
            for _ in range(2):
                piece, request = request[: len(request) // 2], request[len(request) // 2 :]
                await self._forward(piece, to_server)
                await asyncio.sleep(rng.uniform(0, patience_s / 10))
        if fate == "delayed":
            await asyncio.sleep(rng.uniform(0, 1.5 * patience_s))
        if fate == "late":
            deaf.set()
            await asyncio.sleep(rng.uniform(1, 4) * patience_s)
        if fate == "answer lost":
            deaf.set()
        if fate == "twice":
            self._start(self._again(request, rng.uniform(0, 4) * patience_s))
        heard.clear()
        await self._forward(request, to_server)
        if fate in ("late", "answer lost"):
            # Not cut before the server has done it.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(heard.wait(), 10)
            return False
        return True

    async def _again(self, request: bytes, after_s: float) -> None:
        await asyncio.sleep(after_s)
        with contextlib.suppress(OSError, TimeoutError):
            reader, writer = await asyncio.open_connection("127.0.0.1", self._server_port)
            await self._forward(request, writer)
            await asyncio.wait_for(reader.read(1 << 20), 10)
            writer.transport.abort()

    async def _forward(self, piece: bytes, to_server: asyncio.StreamWriter) -> None:
        to_server.write(piece)
        await to_server.drain()
