"""Speed and memory of simulated traffic, ten million requests, beside bare numpy in the same run: ``make bench``.

The floor draws a uniform number for each request and compares it with the tiers' shares, which is the least that one
writes by hand. Each process that is measured is a fresh one; its memory is its greatest above that of the imports
alone. Absolute times drift with the machine, ratios to the floor far less: judge by the ratio.
"""

import json
import statistics
import subprocess
import sys

REQUESTS, ROUNDS = 10_000_000, 5

IMPORTS = """
import numpy as np
from costlab.cache.economics import ZipfTraffic
from costlab.synthetic import zipf_requests
from costlab.router import Outcomes, Stage, simulate, simulate_outcomes, simulate_stream

CACHE = Stage("cache", 0.00001, pass_fraction=0.7)
BEHIND = [
    Stage("small", 0.0005, pass_fraction=3 / 7, skip_fraction=0.1),
    Stage("medium", 0.003, pass_fraction=1 / 3),
    Stage("large", 0.03),
]
"""
FLOOR = """
ENDS, PAID = np.cumsum([0.3, 0.4, 0.2]), np.cumsum([0.00001, 0.0005, 0.003, 0.03])
def work(seed):
    tier = np.searchsorted(ENDS, np.random.default_rng(seed).random(requests))
    return np.bincount(tier, minlength=4), PAID[tier].sum()
"""
REACH = """
def work(seed):
    return simulate([CACHE, *BEHIND], requests, seed)
"""
ROWS = """
rng = np.random.default_rng(0)
TABLE = Outcomes.from_prices(["a", "b", "c"], rng.random((10_000, 3)), rng.random((10_000, 3)), [0.0005, 0.003, 0.03])
def work(seed):
    return simulate_outcomes(TABLE, [0.6, 0.3], requests, seed)
"""
LRU = """
def work(seed):
    stream = zipf_requests(np.random.default_rng(seed), ZipfTraffic(1_000_000, 0.9), requests)
    return simulate_stream(CACHE, BEHIND, stream, entries, seed)
"""
MEASURE = """
import json, re, time
# Not getrusage: there a process begins with the memory of the one that started it.
peak = lambda: int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
before, wall, cpu = peak(), time.perf_counter(), time.process_time()
work(seed)
print(json.dumps([time.perf_counter() - wall, time.process_time() - cpu, peak() - before]))
"""

#: What is measured, and what it may take: as a share of the floor's time, in seconds where a core is free, and in MiB.
TARGETS: dict[str, tuple[str, str]] = {
    "bare numpy": (FLOOR, ""),
    "by shares": (REACH, "1.5 x floor or 0.6 s, 64 MiB"),
    "rows of a table": (ROWS, "1.5 x floor or 0.6 s, 64 MiB"),
    "LRU of 1,000": ("entries = 1_000\n" + LRU, "5 x floor or 2 s, 64 MiB"),
    "LRU of 100,000": ("entries = 100_000\n" + LRU, "5 x floor or 2 s, 64 MiB"),
}


def measured(code: str, seed: int, requests: int = REQUESTS) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds, and greatest MiB above the imports, of a fresh process on one thread."""
    text = f"requests, seed = {requests}, {seed}\n{IMPORTS}{code}{MEASURE}"
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    wall, cpu, mib = json.loads(done.stdout)
    return wall, cpu, mib


def main() -> None:
    """Print a table: all in turn, in rounds, and of each the median; the ratio is the median of the rounds' ratios."""
    rounds = [{name: measured(code, seed) for name, (code, _) in TARGETS.items()} for seed in range(ROUNDS)]
    print(
        f"{'10 million requests':<20}{'wall s':>9}{'cpu s':>9}{'cpu/floor':>11}{'MiB':>7}   (median of {ROUNDS} rounds)"
    )
    for name, (_, most) in TARGETS.items():
        wall, cpu, mib = (statistics.median(one[name][i] for one in rounds) for i in range(3))
        ratio = statistics.median(one[name][1] / one["bare numpy"][1] for one in rounds)
        print(f"{name:<20}{wall:>9.3f}{cpu:>9.3f}{ratio:>11.3f}{mib:>7.0f}   {most}")


if __name__ == "__main__":
    main()
