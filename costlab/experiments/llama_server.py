"""A real serving engine of one's own for as long as a ``with`` block: llama.cpp's server with a small model."""

from __future__ import annotations

import atexit
import contextlib
import http.client
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from costlab._internal import checks
from costlab.compression import packaged_gguf
from costlab.errors import EngineError, MissingExtraError

if TYPE_CHECKING:
    from typing import IO, Self

_PROCESS: Final = Path(__file__).with_name("llama_process.py")


@dataclass(frozen=True, slots=True)
class StartStage:
    """A part of an engine's cold start.

    Attributes
    ----------
    name : str
        ``weights`` (the file is checked, or made at its first use), ``interpreter``, ``library`` (llama.cpp is loaded),
        ``model`` (weights are read, memory is laid out, a first step is run), ``first token``.
    seconds : float
        How long it took.
    """

    name: str
    seconds: float


class LlamaServer:
    """llama.cpp's server on this machine's loopback, with OpenAI's protocol and metrics for Prometheus.

    Parameters
    ----------
    weights : {'q4_1', 'f16'}
        SmolLM2-135M-Instruct as its package has it, or widened to 16 bits, as :func:`costlab.compression.packaged_gguf`
        gives it.
    slots : int
        Requests that are answered at once, >= 1. Those beyond wait.
    context_tokens : int
        Most tokens of a request, prompt and answer together, >= 1: each slot has memory for this many.
    threads : int
        Of the computation, >= 1. Several wait for each other after each product by turning in a loop: on an idle
        machine they are faster than one, beside other programs many times slower.
    prefix_cache : bool
        Whether a slot reuses what its last request has in common with the next.
    draft_tokens, match_tokens : int, int
        Speculation by prompt look-up: where the last `match_tokens` (>= 1) stood before, the `draft_tokens` that came
        after are proposed, and checked in one step. 0 drafts nothing.
    port : int
        0 takes a free one.
    folder : pathlib.Path, optional
        Where weights of 16 bits are kept, as for :func:`costlab.compression.packaged_gguf`.
    start_timeout_s : float
        Seconds from the process started to the first token, > 0.

    Raises
    ------
    MissingExtraError, MissingModelError
        If the engine or the model is not installed; at once, before anything is started.
    InvalidValueError, UnknownNameError
        If a number is outside its domain; if there are no such weights.

    Notes
    -----
    The engine is a process of its own and ends with this one, however that ends.

    References
    ----------
    llama.cpp's server, https://github.com/ggml-org/llama.cpp/tree/master/tools/server; its package for Python,
    https://github.com/xorbitsai/xllamacpp

    Examples
    --------
    ::

        with LlamaServer(slots=8) as server:
            client = openai.OpenAI(base_url=server.url, api_key="none")
            ...
            print(server.metrics()["tokens_predicted_total"])
    """

    #: The model's name, as requests give it.
    model: Final = "SmolLM2-135M-Instruct"

    def __init__(
        self,
        weights: str = "q4_1",
        *,
        slots: int = 4,
        context_tokens: int = 1024,
        threads: int = 1,
        prefix_cache: bool = True,
        draft_tokens: int = 0,
        match_tokens: int = 3,
        port: int = 0,
        folder: Path | None = None,
        start_timeout_s: float = 60.0,
    ) -> None:
        try:
            release = version("xllamacpp")  # not imported: its 100 MB are for the engine's process
        except PackageNotFoundError:
            raise MissingExtraError("xllamacpp", "engine") from None
        self.weights = weights
        #: Name and version of the engine.
        self.engine = f"llama.cpp (xllamacpp {release})"
        #: The cold start by stage, in order; empty before it.
        self.stages: tuple[StartStage, ...] = ()
        self._start_timeout_s = checks.positive("start_timeout_s", start_timeout_s)
        began = time.perf_counter()
        file = packaged_gguf(weights, folder=folder)
        self._weights_stage = StartStage("weights", time.perf_counter() - began)
        self._port = checks.integer("port", port, at_least=0, at_most=65535)
        self._asked = {
            "file": str(file),
            "model": self.model,
            "port": self._port,
            "slots": checks.integer("slots", slots, at_least=1),
            "context_tokens": checks.integer("context_tokens", context_tokens, at_least=1),
            "threads": checks.integer("threads", threads, at_least=1),
            "prefix_cache": prefix_cache,
            "draft_tokens": checks.integer("draft_tokens", draft_tokens, at_least=0),
            "match_tokens": checks.integer("match_tokens", match_tokens, at_least=1),
        }
        self._address = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    @property
    def url(self) -> str:
        """The server's address for clients of OpenAI's protocol, ``http://127.0.0.1:PORT/v1``."""
        return f"{self._running_address()}/v1"

    @property
    def metrics_url(self) -> str:
        """Where Prometheus would read the metrics."""
        return f"{self._running_address()}/metrics"

    @property
    def pid(self) -> int:
        """The number of the engine's process."""
        self._running_address()
        assert self._process is not None  # noqa: S101 - for the type checker
        return self._process.pid

    def start(self) -> Self:
        """Start, and return when a first token was written; an engine that runs is left as it is.

        Raises EngineError if the port is taken, the engine ends (with its own last line), or it takes too long.
        """
        if self._process is not None and self._process.poll() is None:
            return self
        self.stop()
        self._refuse_taken_port()
        self._folder = tempfile.TemporaryDirectory(prefix="costlab-llama-")
        began = time.perf_counter()
        with (Path(self._folder.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", str(_PROCESS), json.dumps(self._asked)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
            )  # fmt: skip
        atexit.register(self.kill)
        try:
            self._follow_start(began)
        except BaseException:
            self.stop()
            raise
        return self

    def _follow_start(self, began: float) -> None:
        """Read what the process says until it serves, ask for one token, and keep how long each stage took."""
        process = self._process
        assert process is not None  # noqa: S101 - for the type checker
        assert process.stdout is not None  # noqa: S101
        said: queue.Queue[tuple[str, float]] = queue.Queue()

        def read(lines: IO[str]) -> None:
            for line in lines:
                said.put((line.strip(), time.perf_counter()))
            said.put(("", time.perf_counter()))

        self._reader = threading.Thread(target=read, args=(process.stdout,), daemon=True)
        self._reader.start()
        stages = [self._weights_stage]
        ends = began + self._start_timeout_s
        for stage in ("interpreter", "library", "model"):
            try:
                line, at = said.get(timeout=max(ends - time.perf_counter(), 0))
            except queue.Empty:
                raise self._too_slow(stage) from None
            if not line:
                process.wait(5)
                raise EngineError(f"llama.cpp did not start: {self._ending()}")
            stages.append(StartStage(stage, at - began))
            began = at
            self._address = line
        try:
            self._asked_for("/v1/completions", {"prompt": "1", "max_tokens": 1}, max(ends - time.perf_counter(), 0.001))
        except TimeoutError:
            raise self._too_slow("first token") from None
        self.stages = (*stages, StartStage("first token", time.perf_counter() - began))

    def _too_slow(self, stage: str) -> EngineError:
        return EngineError(
            f"llama.cpp did not start within {self._start_timeout_s:g} s: its {stage} was not there by then"
        )

    def _refuse_taken_port(self) -> None:
        port = self._port
        if port:
            with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), 1.0):
                raise EngineError(f"port {port} is taken: another server answers there")

    def metrics(self) -> dict[str, float]:
        """The engine's counters and gauges, without the ``llamacpp:`` before their names.

        ``prompt_tokens_total`` are those that were computed, without ``prompt_tokens_cached_total``, which were reused
        from a slot; ``tokens_predicted_total``; ``spec_decode_num_draft_tokens_total`` and
        ``spec_decode_num_accepted_tokens_total``. The start itself counts a prompt and an answer of one token each. A
        name with labels keeps them; a counter by position is there from its first draft on.

        Raises EngineError if the engine ended.
        """
        rows = (line.rsplit(None, 1) for line in self.metrics_text().splitlines() if line and not line.startswith("#"))
        return {name.removeprefix("llamacpp:"): float(value) for name, value in rows}

    def metrics_text(self) -> str:
        """The metrics as Prometheus reads them. Raises EngineError if the engine ended."""
        return self._asked_for("/metrics", None, 10.0)

    def _asked_for(self, path: str, body: object, timeout_s: float) -> str:
        """What the engine answers; EngineError where it ended or answers with an error."""
        address = self._running_address().removeprefix("http://")
        connection = http.client.HTTPConnection(address, timeout=timeout_s)
        try:
            if body is None:
                connection.request("GET", path)
            else:
                connection.request("POST", path, json.dumps(body), {"content-type": "application/json"})
            answer = connection.getresponse()
            text = answer.read().decode()
        except TimeoutError:
            raise
        except (OSError, http.client.HTTPException) as error:
            self.check()
            raise EngineError(f"llama.cpp does not answer: {type(error).__name__}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise EngineError(f"llama.cpp answers {path} with status {answer.status}")
        return text

    def check(self) -> None:
        """Raise an EngineError, with exit status and last line of the log, if the engine ended or was never started."""
        if self._process is None:
            raise EngineError("llama.cpp does not run: start() it, or use it in a with block")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(0.2)  # a connection breaks a moment before the process is gone
        if self._process.poll() is not None:
            raise EngineError(f"llama.cpp ended while it was in use: {self._ending()}")

    def _running_address(self) -> str:
        if self._process is None or self._process.poll() is not None:
            self.check()
        return self._address

    def _ending(self) -> str:
        """How the process ended, in words, with the first error that it logged, or else its last line."""
        status = None if self._process is None else self._process.poll()
        lines = self.log().splitlines()
        told = next((line for line in lines if " E " in line), lines[-1] if lines else "it logged nothing")
        how = f"signal {signal.Signals(-status).name}" if status and status < 0 else f"exit status {status}"
        return f"{how}; {told.strip()}"

    def log(self) -> str:
        """What the engine has logged so far; empty once it was stopped."""
        if self._folder is None:
            return ""
        return (Path(self._folder.name) / "log").read_text(encoding="utf-8", errors="replace")

    def cpu_s(self) -> float | None:
        """Processor seconds of the engine so far, user and system, of all its threads; None where there is no /proc.

        What neighbours on the machine take is not in it, unlike in seconds of a clock.
        """
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_mib(self) -> float | None:
        """MiB of memory that the engine has in use (resident), its file of weights included; None without /proc."""
        try:
            status = Path(f"/proc/{self.pid}/status").read_text(encoding="utf-8")
        except OSError:
            return None
        kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(kib) / 1024

    def stop(self) -> None:
        """End the engine, and what it is answering with it."""
        self.kill()
        self._process = None
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def kill(self) -> None:
        """End the engine at once, as a crash would (SIGKILL); its log can still be read."""
        process = self._process
        if process is None:
            return
        process.kill()
        process.wait()
        if self._reader is not None:
            self._reader.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()
