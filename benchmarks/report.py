"""Speed of the report on ten million rows of Parquet in a hundred files, beside bare queries: ``make bench``.

The files are made once in a temporary folder (150 MB, half a minute) and deleted. Each process that is measured is a
fresh one, so that its greatest memory is its own. Wall time needs the machine's cores for itself; CPU time does not.
The floors are measured in the same run: a bare query of three sums, and one of all that a group of ours tells, from
the columns as they are. Neither checks a row, nor knows a request that is told twice.
"""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet

from costlab.synthetic import SAMPLE_START_S, sample_log

PARTS, FILES_A_PART, ROWS_A_FILE, ROUNDS = 10, 10, 100_000, 5

BARE = """
import duckdb
connection = duckdb.connect()
work = lambda: connection.sql(
    f"SELECT tier, model, tenant, count(*), sum(input_tokens), sum(output_tokens), sum(cost_micro_usd) "
    f"FROM read_parquet('{path}/*.parquet') GROUP BY ALL"
).fetchall()
"""
SUMS = """
import duckdb
connection = duckdb.connect()
work = lambda: connection.sql(
    f"SELECT tier, model, tenant, outcome, cost_micro_usd IS NULL, conversion_value_micro_usd IS NULL, count(*), "
    f"sum(input_tokens), sum(cached_input_tokens), sum(output_tokens), sum(cost_micro_usd), "
    f"sum(conversion_value_micro_usd), sum(floor(latency_s * 1e6 + 0.5)), min(time_s), max(time_s) "
    f"FROM read_parquet('{path}/*.parquet') GROUP BY ALL"
).fetchall()
"""
GROUP = """
from costlab.monitoring import aggregate, open_log
log = open_log(path)
work = lambda: aggregate(log.frame, by=["tier", "model", "tenant"])
"""
WHOLE = """
from costlab.monitoring import build_report, fill_costs, open_log
work = lambda: build_report(fill_costs(open_log(path).frame).frame)
"""
PANDAS = """
import pandas
columns = ["tier", "model", "tenant", "input_tokens", "output_tokens", "cost_micro_usd"]
work = lambda: pandas.read_parquet(path, columns=columns).groupby(["tier", "model", "tenant"]).sum()
"""
MEASURE = """
import json, re, time
seconds = []
for _ in range(rounds):
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
# Not getrusage: there a process begins with the memory of the one that started it.
peak = int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024
print(json.dumps({"seconds": seconds, "peak_mib": peak}))
"""


def measured(code: str, path: Path, rounds: int = ROUNDS) -> tuple[float, float, float, float]:
    """Median and least wall seconds, median CPU seconds, and greatest MiB, of a fresh process."""
    text = f"path, rounds = {str(path)!r}, {rounds}\n" + code + MEASURE
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    wall, cpu = zip(*found["seconds"], strict=True)
    return statistics.median(wall), min(wall), statistics.median(cpu), found["peak_mib"]


def main() -> None:
    """Print a table of the bare queries, the package's group-by, the whole report, and pandas."""
    with tempfile.TemporaryDirectory() as folder:
        for part in range(PARTS):
            start = SAMPLE_START_S + part * 3 * 86_400
            table = sample_log(np.random.default_rng(part), FILES_A_PART * ROWS_A_FILE, days=3, start_s=start)
            for file in range(FILES_A_PART):
                path = Path(folder) / f"part-{part * FILES_A_PART + file:03}.parquet"
                pyarrow.parquet.write_table(table.slice(file * ROWS_A_FILE, ROWS_A_FILE), path, compression="zstd")
        print(
            f"{'of 10 million rows':<22}{'wall s':>9}{'least':>9}{'cpu s':>9}{'of bare':>9}{'peak MiB':>10}   at most"
        )
        floor = None
        for name, code, most, rounds in (
            ("bare query", BARE, "", ROUNDS),
            ("bare, all sums", SUMS, "", ROUNDS),
            ("group-by", GROUP, "2 times the bare query, 350 MiB", ROUNDS),
            ("whole report", WHOLE, "350 MiB", 3),
            ("the same in pandas", PANDAS, "", 1),
        ):
            wall, least, cpu, peak = measured(code, Path(folder), rounds)
            floor = floor or cpu
            print(f"{name:<22}{wall:>9.2f}{least:>9.2f}{cpu:>9.2f}{cpu / floor:>9.1f}{peak:>10.0f}   {most}")


if __name__ == "__main__":
    main()
