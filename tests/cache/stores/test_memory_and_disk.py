"""What is particular to the stores that need no server: bounds, and the file that outlives its process."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from costlab.cache import DiskStore, MemoryStore
from costlab.errors import EntryTooLargeError, InvalidValueError, StoreError
from tests.cache.support import Clock, python

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

WRITER = """
import asyncio, sys
from costlab.cache import DiskStore

async def main():
    store = DiskStore(sys.argv[1], timeout_s=30)
    for number in range(int(sys.argv[3])):
        await store.set(f"{sys.argv[2]} {number}", f"{sys.argv[2]} {number}".encode() * 50)
        print(number, flush=True)
    if sys.argv[4] == "close":
        await store.aclose()
    else:
        await asyncio.sleep(600)

asyncio.run(main())
"""


async def test_what_was_not_used_for_longest_goes_first() -> None:
    store = MemoryStore(max_entries=3)
    for key in "abc":
        await store.set(key, b"x")
    await store.get("a")
    await store.set("d", b"x")
    assert [await store.get(key) for key in "abcd"] == [b"x", None, b"x", b"x"]


async def test_what_expired_goes_before_what_is_good() -> None:
    clock = Clock()
    store = MemoryStore(max_entries=2, clock=clock)
    await store.set("good", b"x")
    await store.set("short", b"x", ttl_s=1)
    clock.now_s += 1
    await store.set("new", b"x")
    assert [await store.get(key) for key in ("good", "short", "new")] == [b"x", None, b"x"]


async def test_bytes_are_bounded_too() -> None:
    store = MemoryStore(max_bytes=1000)
    for number in range(50):
        await store.set(f"{number:10}", b"x" * 90)
    assert await store.len() == 10
    with pytest.raises(EntryTooLargeError, match="at most 990 bytes, got 991"):
        await store.set("0123456789", b"x" * 991)


@pytest.mark.parametrize("name", ["max_entries", "max_bytes", "max_value_bytes"])
def test_bounds_are_whole_numbers(name: str) -> None:
    with pytest.raises(InvalidValueError, match=f"{name} must be a whole number >= 1, got 0"):
        MemoryStore(**{name: 0})  # type: ignore[arg-type]


async def test_disk_entries_survive_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with python(WRITER, str(path), "a", "20", "stay") as process:
        assert process.stdout is not None
        assert [int(process.stdout.readline()) for _ in range(20)] == list(range(20))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    store = DiskStore(path)
    assert await store.len() == 20
    assert await store.get("a 19") == b"a 19" * 50
    await store.aclose()


@pytest.mark.slow
async def test_processes_write_to_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    with python(WRITER, str(path), "a", "100", "close") as one, python(WRITER, str(path), "b", "100", "close") as two:
        assert [one.wait(60), two.wait(60)] == [0, 0]
    store = DiskStore(path)
    assert await store.len() == 200
    assert await store.get("a 99") == b"a 99" * 50
    assert await store.get("b 99") == b"b 99" * 50
    await store.aclose()


async def test_the_file_stays_within_its_bound_and_the_oldest_go(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache.sqlite", max_bytes=400_000)
    for number in range(300):
        await store.set(str(number), b"x" * 4000)
    kept = [number for number in range(300) if await store.get(str(number)) is not None]
    assert 50 < len(kept) < 100
    assert kept == list(range(300 - len(kept), 300))
    await store.aclose()
    assert (tmp_path / "cache.sqlite").stat().st_size < 500_000


async def test_a_bound_below_one_entry_keeps_the_newest(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "cache.sqlite", max_bytes=1)
    await store.set("a", b"x")
    await store.set("b", b"x")
    assert [await store.get("a"), await store.get("b")] == [None, b"x"]
    await store.aclose()


async def test_folders_are_made(tmp_path: Path) -> None:
    store = DiskStore(tmp_path / "new" / "folder" / "cache.sqlite")
    await store.set("k", b"x")
    await store.aclose()
    assert (tmp_path / "new" / "folder" / "cache.sqlite").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such modes")
@pytest.mark.parametrize("already", ["nothing", "empty", "open to all"])
async def test_nobody_else_may_read_the_file(tmp_path: Path, already: str) -> None:
    path = tmp_path / "cache.sqlite"
    before = DiskStore(path)
    if already == "empty":
        path.touch(0o666)
        path.chmod(0o666)
    elif already == "open to all":
        await before.set("a", b"x")
        for file in tmp_path.iterdir():
            file.chmod(0o666)
    store = DiskStore(path)
    await store.set("k", b"x")
    modes = {file.name: oct(file.stat().st_mode & 0o777) for file in tmp_path.iterdir()}
    assert modes == dict.fromkeys(("cache.sqlite", "cache.sqlite-wal", "cache.sqlite-shm"), "0o600")
    await store.aclose()
    await before.aclose()


async def test_an_empty_file_is_a_new_cache(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.touch()
    inode = path.stat().st_ino
    one, two = DiskStore(path, timeout_s=10.0), DiskStore(path, timeout_s=10.0)
    await asyncio.gather(one.set("a", b"x"), two.set("b", b"y"))
    assert [await one.get("b"), await two.get("a")] == [b"y", b"x"]
    await one.aclose()
    await two.aclose()
    assert path.stat().st_ino == inode  # filled in place
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    database.close()


async def test_another_programs_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "accounts.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE accounts (name TEXT)")
    database.close()
    before = path.read_bytes()
    store = DiskStore(path)
    with pytest.raises(StoreError, match=r"accounts\.sqlite is no cache, but another program's file"):
        await store.set("k", b"x")
    await store.aclose()
    assert path.read_bytes() == before


async def test_rubbish_instead_of_a_database_is_an_error_of_the_store(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"rubbish" * 1000)
    store = DiskStore(path)
    with pytest.raises(StoreError, match=r"cache\.sqlite is no cache, but another program's file"):
        await store.get("k")
    await store.aclose()
    assert path.read_bytes() == b"rubbish" * 1000


async def test_a_locked_file_is_given_up_in_time_and_the_loop_runs_on(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    store = DiskStore(path, timeout_s=1.0)
    await store.set("k", b"x")
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0.01)

    ticking = asyncio.create_task(tick())
    started = time.monotonic()
    with pytest.raises(StoreError, match=r"locked|took too long"):
        await store.set("k", b"y")
    assert time.monotonic() - started < 5
    assert ticks > 3
    ticking.cancel()
    other.execute("COMMIT")
    other.close()
    assert await store.get("k") == b"x"
    await store.aclose()


async def test_closing_ends_the_thread(tmp_path: Path) -> None:
    before = threading.active_count()
    store = DiskStore(tmp_path / "cache.sqlite")
    await store.set("k", b"x")
    await store.aclose()
    ends = time.monotonic() + 5
    while threading.active_count() > before and time.monotonic() < ends:
        await asyncio.sleep(0.01)
    assert threading.active_count() <= before
