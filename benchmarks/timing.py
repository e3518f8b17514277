"""How the benchmarks time a call and hold it against its floor, in one run."""

import statistics
import time
from collections.abc import Callable

ROUNDS = 9


def seconds(call: Callable[[], object], calls: int, clock: Callable[[], float] = time.process_time) -> float:
    """Seconds of one call, on average over many; by default of CPU."""
    started = clock()
    for _ in range(calls):
        call()
    return (clock() - started) / calls


def beside(
    call: Callable[[], object],
    floor: Callable[[], object],
    calls: int,
    clock: Callable[[], float] = time.process_time,
    rounds: int = ROUNDS,
) -> tuple[float, float, float]:
    """Seconds of a call, of its floor, and their ratio: both in turn, medians of the rounds."""
    pairs = [(seconds(call, calls, clock), seconds(floor, calls, clock)) for _ in range(rounds)]
    took, least = (statistics.median(part) for part in zip(*pairs, strict=True))
    return took, least, statistics.median(t / f for t, f in pairs)
