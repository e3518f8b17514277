"""A line between a guard and its server on which requests are lost, late or unanswered: each as it is told."""

import contextlib
import socket
import threading
from collections import deque
from typing import Literal

#: What becomes of a request: it is kept until it is said to arrive, or done and not answered.
Fate = Literal["late", "unanswered"]


class Line:
    """Listens on a port of its own and forwards to another; requests that run no script always pass.

    Attributes
    ----------
    port : int
        Where it forwards to; new connections go to another after a change.
    fates : deque of Fate
        Of the next requests; those after them pass.
    late : list of bytes
        Requests that have not arrived yet.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.fates: deque[Fate] = deque()
        self.late: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"

    def arrive(self) -> None:
        """Let what is late arrive, and wait until it is done."""
        while self.late:
            with socket.create_connection(("127.0.0.1", self.port)) as server:
                server.sendall(self.late.pop(0))
                assert server.recv(1 << 16)

    def cut(self) -> None:
        """End all connections."""
        for one in tuple(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections, and listen no longer."""
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self.cut()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self._threads.append(threading.Thread(target=self._connection, args=(client,)))
                self._threads[-1].start()

    def _connection(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)) as server:
            self._open |= {client, server}
            while request := client.recv(1 << 16):
                fate = self.fates.popleft() if b"EVALSHA" in request and self.fates else None
                if fate == "late":
                    self.late.append(request)
                    continue
                server.sendall(request)
                answer = server.recv(1 << 20)
                if fate is None:
                    client.sendall(answer)
            self._open -= {client, server}
