"""Speed of the report on ten million rows of Parquet, beside a bare query: ``make bench``.

The file is made once in a temporary folder (150 MB, half a minute) and deleted. Each process that is measured is a
fresh one, so that its greatest memory is its own. Wall time needs the machine's cores for itself; CPU time does not.
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

PARTS, ROWS_A_PART, ROUNDS = 10, 1_000_000, 5

BARE = """
import duckdb
connection = duckdb.connect()
work = lambda: connection.sql(
    f"SELECT tier, model, tenant, count(*), sum(input_tokens), sum(output_tokens), sum(cost_micro_usd) "
    f"FROM read_parquet('{path}') GROUP BY ALL"
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
    """Print a table of the bare query, the package's group-by, the whole report, and pandas."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.parquet"
        writer = None
        for part in range(PARTS):
            start = SAMPLE_START_S + part * 3 * 86_400
            table = sample_log(np.random.default_rng(part), ROWS_A_PART, days=3, start_s=start)
            writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer is not None
        writer.close()
        print(f"{'of 10 million rows':<22}{'wall s':>9}{'least':>9}{'cpu s':>9}{'peak MiB':>10}   at most")
        for name, code, most, rounds in (
            ("bare query", BARE, "", ROUNDS),
            ("group-by", GROUP, "0.7 s, 350 MiB", ROUNDS),
            ("whole report", WHOLE, "3 s", 3),
            ("the same in pandas", PANDAS, "", 1),
        ):
            wall, least, cpu, peak = measured(code, path, rounds)
            print(f"{name:<22}{wall:>9.2f}{least:>9.2f}{cpu:>9.2f}{peak:>10.0f}   {most}")


if __name__ == "__main__":
    main()
