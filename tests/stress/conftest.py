"""Attacks end with figures: what was done, what was survived, and how to do the same again."""

import sys
from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.stress.support import SECONDS, SEED

#: Only where processes can be killed and stopped, and files kept from growing.
collect_ignore_glob = ["test_*"] if sys.platform == "win32" else []


@pytest.fixture
def counts(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Iterator[Counter[str]]:
    """What the attack did; told when it is over, held or not."""
    counts = Counter[str]()
    yield counts
    figures = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in counts.items())
    record_property("stress", f"{request.node.name}: {figures} (seed {SEED}, {SECONDS:g} s for all)")
