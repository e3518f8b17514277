"""Speed of the semantic layer, as ratios to floors measured in the same run: part of ``make bench``.

Each target runs in turn with its floor, on one thread; the medians of the rounds are printed. CPU time, not wall time:
a look-up has to wait for nobody, and other jobs on the machine should not count.
"""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from itertools import cycle

import numpy as np

from costlab.cache import Request
from costlab.cache.semantic import EmbeddingLayer, ExactIndex, HnswIndex, PackagedMiniLm, VectorIndex, refusal_reasons
from costlab.datasets import support_queries
from costlab.synthetic import reworded

ROUNDS, CALLS, ENTRIES, DIMENSIONS = 9, 60, 10_000, 384
Call = Callable[[], Awaitable[object]]


async def cpu_ms(call: Call, calls: int = CALLS) -> float:
    """CPU milliseconds of one call, on average."""
    started = time.process_time()
    for _ in range(calls):
        await call()
    return 1000 * (time.process_time() - started) / calls


async def measure(name: str, call: Call, floor_name: str, floor: Call, calls: int = CALLS) -> dict[str, object]:
    """Target and floor in turn."""
    await call()
    await floor()
    pairs = [(await cpu_ms(call, calls), await cpu_ms(floor, calls)) for _ in range(ROUNDS)]
    return {
        "target": name,
        "ms": statistics.median(t for t, _ in pairs),
        "floor": floor_name,
        "floor_ms": statistics.median(f for _, f in pairs),
        "ratio": statistics.median(t / f for t, f in pairs),
    }


async def vector_rows() -> list[dict[str, object]]:
    """A look-up by vector among 10,000, beside one product of numpy."""
    rng = np.random.default_rng(4)
    rows = rng.normal(size=(ENTRIES, DIMENSIONS)).astype(np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    asked = cycle(list(rows[:200]))
    indexes: dict[str, VectorIndex] = {"exact": ExactIndex(DIMENSIONS), "faiss HNSW": HnswIndex(DIMENSIONS)}
    for index in indexes.values():
        for k, row in enumerate(rows):
            await index.add("scope", f"key{k}", "", row)

    async def product() -> object:
        return rows @ next(asked)

    results = []
    for name, index in indexes.items():

        async def search(index: VectorIndex = index) -> object:
            return await index.search("scope", next(asked), 5)

        results.append(await measure(f"vector look-up, {name}, 10,000 x 384", search, "numpy product", product))
    return results


async def text_rows() -> list[dict[str, object]]:
    """From a text to a semantic hit among the support queries, beside the embedding alone."""
    rng = np.random.default_rng(4)
    # Short queries, as most are: a vector takes the longer the more words it stands for.
    texts = [query.text for query in support_queries().queries if 5 <= len(query.text.split()) <= 15]
    model = PackagedMiniLm()
    layer = EmbeddingLayer(model, 0.7)
    requests = [Request(model="small", messages=text) for text in texts]
    for request in requests:
        await layer.remember(request, request.text)
    # Each text once only, as the layer knows the vectors of those it was asked lately; and only such as are hits.
    candidates = [
        Request(model="small", messages=text)
        for text in sorted({reworded(rng, text) for text in texts * 3}.difference(texts))
    ]
    asked = [request for request in candidates if await layer.lookup(request) is not None]
    plain, stream = cycle([request.text for request in asked]), cycle(asked)
    assert len(asked) > 1024  # the layer keeps fewer vectors, so that none is known when its turn comes again

    async def lookup() -> object:
        hit = await layer.lookup(next(stream))
        assert hit is not None
        return hit

    async def embed() -> object:
        return model.embed([next(plain)])

    async def check() -> object:
        return refusal_reasons(texts[0], texts[1])

    row = await measure(f"text to semantic hit, {len(texts):,} remembered", lookup, "embedding", embed, calls=40)
    return [row, await measure("nine paraphrase checks, one pair", check, "embedding", embed, calls=40)]


async def main() -> None:
    """Print a table, and with --json the same as one object."""
    rows = [*await vector_rows(), *await text_rows()]
    if "--json" in sys.argv:
        print(json.dumps({"rounds": ROUNDS, "rows": rows}))
        return
    print(f"{'target':<44}{'ms':>9}   {'floor':<16}{'ms':>9}{'ratio':>8}   (CPU, median of {ROUNDS} rounds)")
    for row in rows:
        print(f"{row['target']:<44}{row['ms']:>9.3f}   {row['floor']:<16}{row['floor_ms']:>9.3f}{row['ratio']:>8.2f}")


if __name__ == "__main__":
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    if not one.items() <= os.environ.items():  # the libraries read it as they are loaded, so begin again
        os.execve(sys.executable, [sys.executable, *sys.argv], os.environ | one)
    asyncio.run(main())
