"""What a store returns comes back as it went in, or not at all; and a store that failed is left alone for a while."""

from __future__ import annotations

import enum
import math
import zlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, strategies as st

from costlab.cache import CircuitBreaker
from costlab.cache.resilient_store import CHECKED, Entry, pack, unpack
from costlab.errors import CorruptedEntryError, InvalidValueError
from tests.cache.support import Clock

ENTRY = Entry(0.01, "scope", {"answer": "Open Settings.", "sources": [1, 2.5, None, True, b"\x00"]})
SECRETS = [b"", b"secret"]
answers = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text() | st.integers(0, 9), inner, max_size=4),
    max_leaves=10,
)


class Colour(enum.StrEnum):
    RED = "red"


@given(answers, st.none() | st.floats(0, 1e6), st.text(), st.sampled_from(SECRETS))
def test_what_goes_in_comes_out(value: Any, cost_usd: float | None, key: str, secret: bytes) -> None:
    entry = unpack(key, pack(key, Entry(cost_usd, "scope", value), secret), secret)
    assert (entry.cost_usd, entry.scope, entry.value) == (cost_usd, "scope", value)
    assert repr(entry.value) == repr(value)  # 1 == 1.0 == True, but they are not the same answer


@pytest.mark.parametrize("value", [(1, 2), [(1,)], {1, 2}, object(), 2**64, "\ud800", Colour.RED, {(1, 2): 3}])
def test_what_would_come_back_changed_does_not_go_in(value: Any) -> None:
    with pytest.raises((TypeError, ValueError, OverflowError)):
        pack("k", Entry(None, "", value))


@pytest.mark.parametrize("secret", SECRETS)
def test_no_bit_can_change_unnoticed(secret: bytes) -> None:
    data = pack("k", ENTRY, secret)
    for place in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[place] ^= 1 << bit
            with pytest.raises(CorruptedEntryError):
                unpack("k", bytes(changed), secret)


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_can_be_cut_off_or_added(secret: bytes) -> None:
    data = pack("k", ENTRY, secret)
    for torn in [data[:length] for length in range(len(data))] + [data + b"\x00", b"\x00" + data]:
        with pytest.raises(CorruptedEntryError):
            unpack("k", torn, secret)


@pytest.mark.parametrize("data", [b"", b"hello", b"\x80\x04\x95", b'{"answer": 1}', "text", None, 1])
@pytest.mark.parametrize("secret", SECRETS)
def test_what_others_stored_is_no_answer(data: Any, secret: bytes) -> None:
    with pytest.raises(CorruptedEntryError):
        unpack("k", data, secret)


@pytest.mark.parametrize("secret", SECRETS)
def test_an_entry_belongs_to_its_key(secret: bytes) -> None:
    with pytest.raises(CorruptedEntryError, match="no answer of this version of costlab under 'other'"):
        unpack("other", pack("k", ENTRY, secret), secret)


def test_older_versions_are_not_read() -> None:
    data = pack("k", ENTRY)
    with pytest.raises(CorruptedEntryError):
        unpack("k", b"clc\x00" + data[4:])


def test_without_the_secret_nobody_forges_an_answer() -> None:
    signed = pack("k", ENTRY, b"secret")
    for forged in (pack("k", ENTRY), pack("k", ENTRY, b"guess")):
        with pytest.raises(CorruptedEntryError):
            unpack("k", forged, b"secret")
    with pytest.raises(CorruptedEntryError):
        unpack("k", signed)


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xc1", msgpack.packb(1), msgpack.packb([1.0, ""]), msgpack.packb([1.0, "", "x", "y"]), b"\x93\xc0\xa0",
     *(msgpack.packb([usd, "", "x"]) for usd in ("dear", math.nan, math.inf, -math.inf, -1.0, True, 1)),
     msgpack.packb([1.0, None, "x"]), b"\x93\xc0\xa0\x81\x90\x01"],
)  # fmt: skip
def test_rubbish_with_the_right_checksum_is_still_rubbish(payload: bytes) -> None:
    checksum = zlib.crc32(payload, zlib.crc32(b"k")).to_bytes(4, "big")
    with pytest.raises(CorruptedEntryError):
        unpack("k", CHECKED + checksum + payload)


def test_rubbish_is_never_run() -> None:
    """A pickle would be: that is why entries are none."""
    pickled = b"cos\nsystem\n(S'false'\ntR."
    with pytest.raises(CorruptedEntryError):
        unpack("k", pickled)


def test_all_attempts_pass_while_all_is_well() -> None:
    breaker = CircuitBreaker(clock=Clock())
    assert all(breaker.ticket() for _ in range(10))
    assert breaker.closed


def test_the_delay_doubles_up_to_its_limit() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, 5, clock=clock)
    delays = []
    for _ in range(5):
        breaker.failed(breaker.ticket())
        failed_at = clock.now_s
        while breaker.ticket() is None:
            clock.now_s += 0.5
        delays.append(clock.now_s - failed_at)
        clock.now_s = failed_at + delays[-1] + 10  # the attempt that was let through is not heard of again
    assert delays == [1, 2, 4, 5, 5]


def test_one_attempt_at_a_time_tries_again() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    breaker.failed(breaker.ticket())
    clock.now_s += 1
    tickets = [breaker.ticket() for _ in range(10)]
    assert [ticket is not None for ticket in tickets] == [True] + 9 * [False]


def test_a_success_closes_it_and_forgets_the_delay() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    for _ in range(3):
        breaker.failed(breaker.ticket())
        clock.now_s += 100
    breaker.succeeded(breaker.ticket())
    assert breaker.closed
    breaker.failed(breaker.ticket())
    clock.now_s += 1
    assert breaker.ticket() is not None


def test_failures_under_way_together_count_as_one() -> None:
    clock = Clock()
    breaker = CircuitBreaker(1, clock=clock)
    for ticket in [breaker.ticket() for _ in range(200)]:
        breaker.failed(ticket)
    clock.now_s += 1
    assert breaker.ticket() is not None


def test_a_success_from_before_the_failure_proves_nothing() -> None:
    breaker = CircuitBreaker(1, clock=Clock())
    early, late = breaker.ticket(), breaker.ticket()
    breaker.failed(late)
    breaker.succeeded(early)
    assert not breaker.closed


@pytest.mark.parametrize("name", ["first_s", "longest_s"])
def test_delays_are_times(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} must be a number > 0, got 0"):
        CircuitBreaker(**{name: 0})  # type: ignore[arg-type]
