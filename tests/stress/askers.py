"""A process whose customers ask a cache, with a model that is right; run by the attacks on the cache.

Customers of several tenants ask the same questions at once and lose patience now and then. Each answer is compared with
the one that is right for its tenant. Where the store is a file, some is stored in it directly, and said when it is.
"""

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from costlab.cache import Answer, CacheStore, DiskStore, RedisStore, Request, ResponseCache
from costlab.errors import StoreError
from tests.cache.support import question, right_answer
from tests.stress.support import Mouth, full_disk

TENANTS: Final = ("acme", "globex", "initech", "hooli")
CUSTOMERS: Final = 12
PRICE_USD: Final = 0.25  # a binary fraction, so that sums are exact


def kept(name: str, number: int) -> tuple[str, bytes]:
    """Key and value of what a process stores directly."""
    return f"kept {name} {number}", f"{name} {number} ".encode() * (1 + number % 50)


class Asker:
    """The customers of one process, and what they met.

    Parameters
    ----------
    job : dict
        Its place, seed, and what else it is told.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job, self.mouth, self.counts = job, Mouth(), Counter[str]()
        self.rng = random.Random(job["seed"])
        self.store: CacheStore = (
            DiskStore(job["place"], timeout_s=job["timeout_s"])
            if job["kind"] == "disk"
            else RedisStore(job["place"], timeout_s=job["timeout_s"], max_connections=8)
        )
        self.cache = ResponseCache(
            self.store, flight_ttl_s=1.0, retry_first_s=0.01, retry_longest_s=0.05, secret=job["secret"].encode(),
        )  # fmt: skip

    async def model(self, request: Request) -> Answer:
        """The right answer, after a while."""
        self.counts["calls"] += 1
        await asyncio.sleep(self.rng.uniform(0, 0.02))
        self.counts["answered_calls"] += 1
        return Answer(right_answer(request), PRICE_USD)

    async def customer(self) -> None:
        """Asks until it is over."""
        rng, counts = self.rng, self.counts
        while not self.mouth.over:
            asked = question(f"question {rng.randrange(self.job['questions'])}", rng.choice(TENANTS))
            patience_s = rng.uniform(0, 0.05) if rng.random() < 0.05 else 60
            try:
                async with asyncio.timeout(patience_s):
                    answer = await self.cache.get_or_call(asked, self.model)
            except TimeoutError:
                counts["given_up"] += 1
                assert patience_s < 60, "a customer waited for a minute"
            else:
                counts["answers"] += 1
                if answer.value != right_answer(asked):
                    self.mouth.say(wrong=f"{asked.namespace} asked {asked.text}, and was told {answer.value}")
            await asyncio.sleep(rng.uniform(0, 0.01))

    async def keeper(self) -> None:
        """Stores one thing after the other, and says how many are in the file."""
        number = self.job["start"]
        while not self.mouth.over:
            if self.rng.random() < 0.02:
                self.counts["full_disks"] += 1
                sizes = [file.stat().st_size for file in Path(self.job["place"]).parent.iterdir()]
                with full_disk(self.rng.randint(4096, max(8192, *sizes))):
                    await asyncio.sleep(self.rng.uniform(0, 0.05))
            try:
                await self.store.set(*kept(self.job["name"], number))
            except StoreError:
                self.counts["refused"] += 1
            else:
                number += 1
                self.mouth.say(acknowledged=number)
            await asyncio.sleep(self.rng.uniform(0, 0.005))

    async def reporter(self) -> None:
        """Says from the first answer on what there was, for those who are killed before they can."""
        while not self.mouth.over:
            if self.counts["answers"]:
                told = self.cache.statistics()
                self.mouth.say(
                    **self.counts,
                    store_failures=told.store_failures,
                    corrupted=told.corrupted_entries,
                    hits=told.exact_hits,
                )
            await asyncio.sleep(0.1)

    async def run(self) -> None:
        """Work until it is over, and say how it was."""
        async with asyncio.TaskGroup() as group:
            for _ in range(CUSTOMERS):
                group.create_task(self.customer())
            group.create_task(self.reporter())
            if self.job["kind"] == "disk":
                group.create_task(self.keeper())
        await self.store.aclose()
        told, counts = self.cache.statistics(), self.counts
        self.mouth.say(
            **counts,
            sums_agree=told.calls == counts["calls"]
            and told.requests == counts["answers"] + counts["given_up"]
            and told.exact_hits + told.model_answers == counts["answers"]
            and told.spent_usd == PRICE_USD * counts["answered_calls"]
            and told.saved_usd == PRICE_USD * told.exact_hits,
        )


if __name__ == "__main__":
    asyncio.run(Asker(json.loads(sys.argv[1])).run())
