"""Speed of the core, as ratios to a floor measured in the same run: ``make bench``.

Each target runs in turn with its floor, on one thread; the medians of the rounds are printed. Absolute times drift
with the machine, ratios far less: judge by the ratio.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable

from timing import ROUNDS, beside

from costlab.calculator import best_commitment, commitment_bill, monthly_cost, spot_job, usd_per_useful_hour
from costlab.catalog import gpu_price

CALLS = 2000


def floor() -> float:
    """A dict look-up and a product: what a bill costs when nothing is checked."""
    return 8 * 24 * 30 * PRICES["A10G", "on_demand"]


PRICES = {("A10G", "on_demand"): 1.01}

TARGETS: dict[str, Callable[[], object]] = {
    "usd_per_useful_hour": lambda: usd_per_useful_hour(1.01, 0.5),
    "commitment_bill": lambda: commitment_bill(12.0, 0.3, 7.0),
    "gpu_price": lambda: gpu_price("A10G"),
    "monthly_cost": lambda: monthly_cost("A10G", gpus=8),
    "spot_job": lambda: spot_job(100, 2.64, 8.80, 5, 120, 600),
    "best_commitment, a week": lambda: best_commitment([4] * 84 + [10] * 84, 1.01, 0.63),
}


def import_seconds(statement: str) -> float:
    """Wall seconds that a fresh interpreter takes for a statement."""
    code = f"import time; start = time.perf_counter(); {statement}; print(time.perf_counter() - start)"
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)


def main() -> None:
    """Print a table, and with --json the same as one object."""
    rows = []
    for name, call in TARGETS.items():
        took, least, ratio = beside(call, floor, CALLS)
        rows.append({"target": name, "us": 1e6 * took, "floor_us": 1e6 * least, "ratio": ratio})
    imports = [
        (import_seconds("from costlab.calculator import monthly_cost"), import_seconds("import json"))
        for _ in range(ROUNDS)
    ]
    row = {"target": "import of monthly_cost", "us": 1e6 * statistics.median(t for t, _ in imports)}
    row["floor_us"] = 1e6 * statistics.median(f for _, f in imports)
    rows.append({**row, "ratio": statistics.median(t / f for t, f in imports)})
    if "--json" in sys.argv:
        print(json.dumps({"rounds": ROUNDS, "calls": CALLS, "rows": rows}))
        return
    print(f"{'target':<28}{'us a call':>12}{'floor us':>12}{'ratio':>10}   (median of {ROUNDS} rounds)")
    for row in rows:
        print(f"{row['target']:<28}{row['us']:>12.2f}{row['floor_us']:>12.3f}{row['ratio']:>10.1f}")


if __name__ == "__main__":
    main()
