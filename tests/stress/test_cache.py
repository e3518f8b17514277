"""A cache whose processes, files, servers and network fail: each tenant is told the right answer all the same."""

import asyncio
import contextlib
import random
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from costlab.cache import DiskStore, EmbeddedServer
from tests.cache.support import SERVERS, server
from tests.stress.askers import kept
from tests.stress.proxy import FAULTS, Proxy
from tests.stress.support import HANGS_S, SEED, Crew, locked, until_over

pytestmark = pytest.mark.stress

ASKERS = 4
QUESTIONS = 60
#: Seconds that a store has for an answer: less than a file is sometimes locked, and a server sometimes away.
TIMEOUT_S = 0.4


def settle(crew: Crew, counts: Counter[str]) -> None:
    """Let all finish, and hold them to what they say."""
    crew.finish()
    everybody = (*crew.workers, *crew.dead)
    for worker in everybody:
        for name in ("answers", "hits", "calls", "given_up", "store_failures", "corrupted", "full_disks", "refused"):
            counts[name] += worker.last(name, 0)
    for worker in crew.workers:
        assert worker.last("sums_agree", False), worker.said[-1]
    wrong = [said["wrong"] for worker in everybody for said in worker.said if "wrong" in said]
    counts["violations"] += len(wrong)
    assert not wrong


def test_a_file_keeps_what_it_took_and_gives_nobody_anothers_answer(tmp_path: Path, counts: Counter[str]) -> None:
    (tmp_path / "cache").mkdir()
    path, rng = tmp_path / "cache" / "cache.sqlite", random.Random(SEED)
    acknowledged: Counter[str] = Counter()

    def begin(name: str) -> None:
        crew.start(
            kind="disk", place=str(path), name=name, start=acknowledged[name], timeout_s=TIMEOUT_S,
            questions=QUESTIONS, secret="",
        )  # fmt: skip

    with Crew("askers", counts, rng) as crew:
        for number in range(ASKERS):
            begin(f"a{number}")
        crew.wait()
        for _ in until_over(rng, 0.02, 0.3):
            match rng.choice(["kill", "kill", "pause", "lock", "mix", "mix"]):
                case "kill":
                    dead = crew.kill_one()
                    name = dead.job["name"]
                    acknowledged[name] = dead.last("acknowledged", acknowledged[name])
                    begin(name)
                case "pause":
                    crew.pause_one(2 * TIMEOUT_S)
                case what if path.exists() and path.stat().st_size:
                    with locked(path) as other:
                        if what == "mix":
                            mix_up(other, rng)
                            counts["entries_mixed_up"] += 3
                        else:
                            time.sleep(rng.uniform(0, 2 * TIMEOUT_S))
                            counts["locks"] += 1
        settle(crew, counts)
        for worker in crew.workers:
            name = worker.job["name"]
            acknowledged[name] = worker.last("acknowledged", acknowledged[name])
    counts["acknowledged"] = acknowledged.total()

    async def lost() -> list[str]:
        store = DiskStore(path, timeout_s=60)
        expected = [kept(name, number) for name, many in acknowledged.items() for number in range(many)]
        lost = [key for key, value in expected if await store.get(key) != value]
        await store.aclose()
        return lost

    assert not asyncio.run(lost())
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert counts["acknowledged"] > 0


def mix_up(database: sqlite3.Connection, rng: random.Random) -> None:
    """Put one tenant's answer into another's place, tear one off and turn a bit in a third."""
    keys = "SELECT key FROM entries WHERE key NOT LIKE 'kept %' ORDER BY key"
    of = [key for (key,) in database.execute(keys)]
    if len(of) < 4:
        return
    one, two, torn, turned = rng.sample(of, 4)
    get = "SELECT value FROM entries WHERE key = ?"
    values = {key: database.execute(get, (key,)).fetchone()[0] for key in (two, torn, turned)}
    bent = bytearray(values[turned])
    bent[rng.randrange(len(bent))] ^= 1 << rng.randrange(8)
    changes = {one: values[two], torn: values[torn][: rng.randrange(len(values[torn]))], turned: bytes(bent)}
    for key, value in changes.items():
        database.execute("UPDATE entries SET value = ? WHERE key = ?", (value, key))


@pytest.fixture(params=SERVERS)
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server of this test's own, with little memory, which forgets what was not used for longest."""
    options = ("--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru")
    with server(request.param, *options, folder=tmp_path, start_timeout_s=HANGS_S) as running:
        yield running


@pytest.mark.redis
def test_through_a_bad_network_nobody_is_given_anothers_answer(running: EmbeddedServer, counts: Counter[str]) -> None:
    import redis

    rng = random.Random(SEED)
    proxy = Proxy(running.port, rng.randrange(2**32), TIMEOUT_S)
    direct: Any = redis.Redis(port=running.port)
    job = {"kind": "redis", "place": proxy.url, "timeout_s": TIMEOUT_S, "questions": QUESTIONS, "secret": "secret"}
    with contextlib.closing(direct), Crew("askers", counts, rng) as crew:
        try:
            for number in range(ASKERS):
                crew.start(name=f"a{number}", **job)
            crew.wait()
            for _ in until_over(rng, 0.02, 0.2):
                match rng.choice([*["kill"] * 4, "pause", "partition", "restart", "flush", *["mix"] * 12]):
                    case "kill":
                        crew.start(**crew.kill_one().job)
                    case "pause":
                        crew.pause_one(2 * TIMEOUT_S)
                    case "partition":
                        proxy.block(rng.uniform(0, 3 * TIMEOUT_S))
                    case "restart":
                        running.kill()
                        time.sleep(rng.uniform(0, 0.2))
                        running.start()
                        counts["server_kills"] += 1
                    case "flush":
                        direct.flushall()
                        counts["flushes"] += 1
                    case "mix":
                        keys = sorted(direct.scan_iter("costlab:entry:*", count=1000))
                        if len(keys) > 1:
                            one, two = rng.sample(keys, 2)
                            direct.copy(two, one, replace=True)
                            counts["entries_mixed_up"] += 1
            proxy.calm = True
            settle(crew, counts)
        finally:
            proxy.stop()
            counts.update({name: proxy.counts[name] for name in ("connections", "requests", "partitions", *FAULTS)})
    assert counts["answers"] > 0
