"""Speed of serving, break-even and API prices, as ratios to a floor measured in the same run: ``make bench``.

Scalar calls are held against hand-written arithmetic without checks, rows against one numpy product and sum over as
many rows. Each target runs in turn with its floor, in CPU time; medians of the rounds are printed.
"""

from collections.abc import Callable

import numpy as np
from timing import ROUNDS, beside

from costlab.build_vs_buy import break_even, break_even_requests_per_day
from costlab.catalog import api_price
from costlab.compare import Range, monte_carlo
from costlab.serving import batch_run, capacity, memory_fit, replicas_needed, roofline, usd_per_mtok, usd_per_request

CALLS, ROWS = 5000, 1_000_000
ON, LARGE = roofline("Llama-3.1-8B", "L4"), roofline("Llama-3.1-8B", "B200")
PRICE = api_price("gpt-4o-mini")


def floor() -> float:
    """A break-even by hand: 14 operations, nothing checked."""
    monthly = 1.01 * 730
    gain = 2.0 * 3600 * 730 * (0.003 - 0.0) - monthly
    replicas = max(1, -(-10_000 // gain))
    return (replicas * monthly + 10_000) / 0.003 * 24 / 730


TARGETS: dict[str, tuple[Callable[[], object], float]] = {
    "break_even": (lambda: break_even(0.003, 1.01, 2.0, 10_000.0), 15.0),
    "usd_per_mtok": (lambda: usd_per_mtok(1.01, 1000.0, 0.5), 15.0),
    "usd_per_request": (lambda: usd_per_request(1.01, 4.0, 0.5), 15.0),
    "replicas_needed": (lambda: replicas_needed(1e6, 4.0, 3.0), 15.0),
    "roofline": (lambda: roofline("Llama-3.1-8B", "L4"), 15.0),
    "memory_fit": (lambda: memory_fit(ON, 600.0), 15.0),
    "batch_run": (lambda: batch_run(ON, 60, 128, 2048), 15.0),
    "capacity, one limit": (lambda: capacity(ON, 400.0, 200.0, max_inter_token_s=0.1), 15.0),
    "capacity, two limits": (lambda: capacity(ON, 400.0, 200.0, 1.0, 0.1), 15.0),
    "capacity, B200": (lambda: capacity(LARGE, 400.0, 200.0, 1.0, 0.1), 15.0),
    "price of a request": (lambda: PRICE.usd(1500, 250, 450), 1.0),
}


def main() -> None:
    """Print a table of scalar calls, then the figures of a million rows and of a million draws."""
    print(f"{'target':<24}{'us a call':>11}{'at most':>9}{'floor us':>10}{'ratio':>8}   (median of {ROUNDS} rounds)")
    for name, (call, most) in TARGETS.items():
        took, base, ratio = beside(call, floor, CALLS)
        print(f"{name:<24}{1e6 * took:>11.2f}{most:>9.0f}{1e6 * base:>10.3f}{ratio:>8.1f}")

    rng = np.random.default_rng(0)
    tokens_in, out = rng.integers(1, 4000, ROWS).astype(float), rng.integers(1, 800, ROWS).astype(float)
    cached = np.floor(0.3 * tokens_in)
    took, base, ratio = beside(lambda: PRICE.usd(tokens_in, out, cached), lambda: tokens_in * 1.5e-7 + out * 6e-7, 3)
    nanoseconds = f"{1e9 * took / ROWS:.1f} ns (at most 20), floor {1e9 * base / ROWS:.1f} ns"
    print(f"price of a row: {nanoseconds}, ratio {ratio:.1f}")

    ranges = {
        "api_usd_per_request": Range.factor(0.003, 1.5),
        "replica_usd_per_hour": Range(0.6, 0.8, 1.0),
        "capacity_requests_per_s": Range.factor(3.0, 2.0),
        "fixed_usd_per_month": Range(1000, 3000, 9000),
    }
    took, base, ratio = beside(
        lambda: monte_carlo(break_even_requests_per_day, ranges, ROWS),
        lambda: [rng.triangular(0, 1, 2, ROWS) for _ in ranges],
        1,
        rounds=5,
    )
    print(f"a million draws: {took:.3f} s (at most 2), floor {base:.3f} s for the draws alone, ratio {ratio:.1f}")


if __name__ == "__main__":
    main()
