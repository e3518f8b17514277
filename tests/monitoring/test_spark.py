"""The report on Spark says what it says on DuckDB, of a million rows on a cluster, and of every odd row."""

import gzip
import json
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from costlab.errors import EngineError, LogError, MissingExtraError, UnknownNameError
from costlab.monitoring import (
    build_report,
    fill_costs,
    focus_table,
    open_gpu_hours,
    open_log,
    open_spark_log,
    spark_session,
)
from costlab.monitoring.importers import spark
from tests import needs
from tests.cli.test_cli import run
from tests.commands import Run

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")
needs.extra("pyspark", "spark")

__all__ = ["run"]

#: Nothing of pandas is used.
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas:FutureWarning")

JAVA = "apt-get install default-jre-headless"

#: Few tasks, since the tests have few rows and cores; addresses of this machine alone.
DEFAULTS = """
spark.sql.shuffle.partitions 4
spark.ui.enabled false
spark.executor.memory 600m
spark.executor.cores 1
"""


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment in which Spark keeps to this machine."""
    needs.program("java", install=JAVA)
    folder = tmp_path_factory.mktemp("conf")
    (folder / "spark-defaults.conf").write_text(DEFAULTS)
    more = {"SPARK_LOCAL_IP": "127.0.0.1", "SPARK_CONF_DIR": str(folder), "SPARK_LOCAL_DIRS": str(folder)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in more.items():
            patch.setenv(name, value)
        yield dict(os.environ)


# Rows

#: Models whose price changes within the log, with the hour or with the length, that have a fee, are unknown, or are
#: served by oneself.
MODELS = np.array(
    ["o3", "deepseek-chat", "gemini-2.5-pro", "sonar-pro", "claude-sonnet-4-5", "in-house-llm", "ollama/llama3"]
)


def write_log(folder: Path, rows: int, files: int, seed: int = 7) -> int:
    """Parquet in folders by day: all kinds of rows; how many of them cannot be read."""
    import pyarrow
    import pyarrow.parquet

    rng = np.random.default_rng(seed)
    begin = datetime(2025, 6, 1, tzinfo=UTC).timestamp()
    size = rows // files
    earlier, bad = None, 0
    for file in range(files):

        def some(most: int, share: float = 1.0) -> Any:
            return rng.integers(0, most, size) * (rng.random(size) < share)

        tokens_in, tokens_out = 20 + some(300_000, 0.1) + some(5_000), 1 + some(900)
        cached = (tokens_in * rng.random(size) * 0.4).astype(np.int64)
        written = (tokens_in * rng.random(size) * 0.4).astype(np.int64) * (rng.random(size) < 0.3)
        cost = some(50_000) - 2_000_000 * (rng.random(size) < 0.001)  # some are credits
        columns = {
            "request_id": [f"r{file}-{number}" for number in range(size)],
            "time_s": begin + (file + rng.random(size)) * 20 * 86_400 / files,
            "model": rng.choice(MODELS, size),
            "tenant": pyarrow.array(np.char.add("team-", some(9).astype(str)), mask=rng.random(size) < 0.05),
            "input_tokens": tokens_in,
            "cached_input_tokens": cached,
            "cache_write_tokens": written,
            "cache_write_1h_tokens": pyarrow.array(written // 2, mask=rng.random(size) < 0.5),
            "output_tokens": tokens_out,
            "reasoning_tokens": tokens_out // 3,
            "searches": some(3, 0.05),
            "cost_micro_usd": pyarrow.array(cost, mask=rng.random(size) < 0.4),
            "latency_s": pyarrow.array(rng.random(size) * 3, mask=rng.random(size) < 0.1),
            "outcome": rng.choice(
                ["success", "ok", "failed", "cached", "timeout"], size, p=[0.4, 0.4, 0.1, 0.05, 0.05]
            ),
            "service_tier": rng.choice(["", "default", "batch", "Standard"], size),
        }
        table = pyarrow.table(columns)
        if earlier is not None:  # an earlier file's requests again, some of them with more of an answer
            again = earlier.slice(0, size // 100)
            longer = pyarrow.array(again["output_tokens"].to_numpy() + some(2)[: len(again)])
            table = pyarrow.concat_tables([table, again.set_column(8, "output_tokens", longer)])
        if file % 7 == 3:
            table = pyarrow.concat_tables([table, table.slice(0, 1).set_column(5, "cached_input_tokens", [[10**9]])])
            bad += 1
        earlier = table
        place = folder / f"day={file * 20 // files + 1:02}"
        place.mkdir(parents=True, exist_ok=True)
        pyarrow.parquet.write_table(table, place / f"part-{file:03}.parquet")
    return bad


def same(one: Any, other: Any) -> None:
    """Integers and words are the same; of sums of fractions the order may differ."""
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            if name != "bad":  # where a bad row stands is told by the file alone
                same(value, other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            same(left, right)
    elif isinstance(one, float):
        assert other == pytest.approx(one, rel=1e-9)
    else:
        assert one == other


# A cluster


@pytest.fixture(scope="module")
def cluster(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A master and two workers on loopback, of the pyspark package; the master's address."""
    import pyspark

    home, folder = Path(pyspark.__file__).parent, tmp_path_factory.mktemp("cluster")
    started: list[subprocess.Popen[bytes]] = []

    def start(kind: str, says: str, *words: str) -> str:
        log = folder / f"{kind}-{len(started)}.log"
        place = f"org.apache.spark.deploy.{kind.lower()}.{kind}"
        command = [str(home / "bin" / "spark-class"), place, "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"]
        with log.open("w") as file:
            process = subprocess.Popen(
                [*command, *words], stdout=file, stderr=file, env=settings | {"SPARK_HOME": str(home)}
            )
        started.append(process)
        for _ in range(3_000):
            if found := re.search(says, log.read_text()):
                return found[0]
            assert process.poll() is None, log.read_text()
            threading.Event().wait(0.1)
        raise AssertionError(log.read_text())

    try:
        master = start("Master", r"spark://127\.0\.0\.1:[1-9]\d*")
        for _ in range(2):
            worker = ["--cores", "1", "--memory", "700m", "--work-dir", str(folder / "work"), master]
            start("Worker", "Successfully registered with master", *worker)
        yield master
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()


def report(run: Run, *words: object) -> dict[str, Any]:
    """What ``costlab report --json`` prints."""
    status, out, err = run("report", "--json", *map(str, words))
    assert status == 0, err
    found: dict[str, Any] = json.loads(out)
    return found


@pytest.mark.slow
def test_a_cluster_reports_a_million_rows_as_duckdb_does(
    run: Run, cluster: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spark, "WORKER_WAIT_S", 1_800.0)  # on a busy machine workers start slowly
    bad = write_log(tmp_path / "log", 1_000_000, 40)
    options = (tmp_path / "log", "--reprice", "--max-bad-rows", bad, "--discount", "0.12")
    on_duckdb = report(run, *options)
    on_spark = report(run, *options, "--engine", "spark", "--master", cluster)
    same(on_duckdb, on_spark)
    # What was meant to be in the log is in it.
    read, pricing = on_spark["read"], on_spark["pricing"]
    assert (read["rows"], read["files"]) == (1_000_000 + 39 * 250 + bad, 40)
    assert read["bad_rows"] == bad == len(read["bad"]) + 1
    assert read["repeated"] == 39 * 250
    assert all(one["where"].endswith(".parquet") and "between 0 and input" in one["why"] for one in read["bad"])
    assert pricing["requests_repriced"] > 300_000
    assert [(one["model"], one["day"]) for one in pricing["changes"]] == [("o3", "2025-06-10")]
    assert on_spark["total"]["credits"] > 100
    assert len(on_spark["trend"]) == 20


@pytest.mark.slow
def test_it_can_be_submitted(run: Run, cluster: str, settings: dict[str, str], tmp_path: Path) -> None:
    import pyspark

    write_log(tmp_path / "log", 2_000, 2)
    (tmp_path / "main.py").write_text("from costlab.cli import main\n\nmain()\n")
    submit = [Path(pyspark.__file__).parent / "bin" / "spark-submit", "--master", cluster, tmp_path / "main.py"]
    words = ["report", tmp_path / "log", "--engine", "spark", "--json"]
    env = settings | {"PYSPARK_PYTHON": sys.executable, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(list(map(str, [*submit, *words])), env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    same(report(run, tmp_path / "log"), json.loads(done.stdout[done.stdout.index("{") :]))


# Files and rows, in one process


@pytest.fixture(scope="module")
def session(settings: dict[str, str]) -> Iterator[Any]:
    made = spark_session("local[1]")
    yield made
    made.stop()


#: Lines of JSON: types as text, gaps, an answer that grew, a credit with its id, a failure, blanks and what is no row.
LINES = (
    '{"request_id": "a", "time_s": 1767225600, "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 5}',
    '{"request_id": "a", "time_s": "2026-01-01T00:00:01Z", "model": "o3", "input_tokens": "1e3", "output_tokens": 9}',
    "",
    '{"request_id": "a", "time_s": 1767225603, "model": "o3", "input_tokens": 0, "output_tokens": 0, "cost_usd": -2}',
    '{"time_s": "2026-01-01 01:00:00.5+01:00", "model": "o3", "input_tokens": 12.0, "output_tokens": "NaN", '
    '"outcome": "Failed", "latency_ms": "250.5", "more": {"deep": [1]}}',
    '{"time_s": "2026-01-02", "model": "caf\\u00e9 \'s", "input_tokens": 7, "output_tokens": 1, "cost_usd": 0.0000123, '
    '"tenant": 0012.50}'.replace("0012.50", '"0012"'),
    '{"time_s": 1767225600.25, "model": "gpt-4o", "input_tokens": 70, "cached_input_tokens": 20, "output_tokens": 1, '
    '"cost_micro_usd": 3, "cost_usd": 5, "service_tier": "Default"}',
)
BAD_LINES = (
    '{"time_s": 1767225600, "model": "gpt-4o", "input_tokens": 1.5, "output_tokens": 1}',
    '{"time_s": "yesterday", "model": "gpt-4o", "input_tokens": 1, "output_tokens": 1}',
    '{"time_s": 1767225600, "model": "gpt-4o", "input_tokens": 1, "output_tokens": -1}',
    '{"time_s": 1767225600, "model": "gpt-4o", "input_tok',
    '{"other": 1}',
    '{"time_s": 1767225600, "input_tokens": 1, "output_tokens": 1, "cost_usd": "Infinity", "model": "m"}',
)


def reports(session: Any, path: Any, **options: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What DuckDB and Spark say of a log."""
    found = []
    for log in (open_log(path, **options), open_spark_log(path, session, **options)):
        filled = fill_costs(log.frame)
        built = build_report(filled.frame, notes=log.notes, pricing=filled.pricing, read=log.read)
        found.append(built.as_dict())
    return found[0], found[1]


@pytest.mark.slow
def test_gpu_hours_and_rows_of_focus_are_those_of_duckdb(session: Any, tmp_path: Path) -> None:
    write_log(tmp_path / "log", 2_000, 2)
    gpus = "time_s,gpu,hours,usd_per_hour,utilization_fraction\n2025-06-02,a,5,2,0.05\n2025-06-03,a,5,2,0.5\n"
    (tmp_path / "gpus.csv").write_text(gpus)
    found = []
    for log in (open_log(tmp_path / "log"), open_spark_log(tmp_path / "log", session)):
        hours, filled = open_gpu_hours(tmp_path / "gpus.csv"), fill_costs(log.frame)
        built = build_report(filled.frame, hours, gpu_bill_apart=True, pricing=filled.pricing, read=log.read)
        found.append((built.as_dict(), focus_table(filled.frame, hours).to_pylist()))
    same(*found)
    rows = found[1][1]
    assert sum(row["BilledCost"] for row in rows if row["ResourceId"] == "a") == 20
    assert len(rows) > 20


@pytest.mark.slow
def test_every_kind_of_line_is_read_alike(session: Any, tmp_path: Path) -> None:
    folder = tmp_path / "lo[g]s {1}" / "tenant=none"
    folder.mkdir(parents=True)
    (folder / "a b+c.jsonl").write_text("\n".join((*LINES, *BAD_LINES[:4])) + "\n")
    (folder / "B.JSON.gz").write_bytes(gzip.compress("\n".join((LINES[4], *BAD_LINES[4:])).encode()))
    (folder / "_hidden.jsonl").write_text("no log")
    (folder / "notes.txt").write_text("no log")
    on_duckdb, on_spark = reports(session, folder.parent, max_bad_rows=6)
    same(on_duckdb, on_spark)
    assert on_spark["read"]["repeated"] == 1
    assert on_spark["read"]["bad_rows"] == 6
    whys = {one["why"] for one in on_spark["read"]["bad"]}
    assert whys & {"input_tokens '1.5' is no whole number"} or len(whys) == 5
    with pytest.raises(LogError, match=r"has 6 rows that cannot be read: .*\(--max-bad-rows 6 leaves them out\)"):
        open_spark_log(folder.parent, session, max_bad_rows=5)


@pytest.mark.slow
def test_every_type_of_parquet_is_read_alike(session: Any, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    day = datetime(2026, 1, 2, 3, 4, 5, 678_900, tzinfo=UTC)
    kinds = {
        "when": [pyarrow.timestamp("us", tz="UTC"), pyarrow.timestamp("ms"), pyarrow.date32(), pyarrow.string()],
        "in": [pyarrow.uint64(), pyarrow.int8(), pyarrow.float32(), pyarrow.string()],
        "usd": [pyarrow.decimal128(9, 3), pyarrow.float64(), pyarrow.float32(), pyarrow.string()],
    }
    names = {"time_s": "when", "input_tokens": "in", "cost_usd": "usd", "model": 'it\'s `the` "model"'}
    for place in range(4):
        times: list[Any] = [day, None if place < 3 else "null"]
        wholes: list[Any] = [100, 7]
        costs: list[Any] = [0.5, None]
        if kinds["when"][place] == pyarrow.date32():
            times = [day.date(), None]
        if place == 3:
            times, wholes, costs = [day.isoformat(), ""], ["100", "7.0"], ["0.5", "nan"]
        elif place == 2:
            costs = [0.5, float("nan")]
        elif place == 0:
            from decimal import Decimal

            costs = [Decimal("0.500"), None]
        given = dict(zip(kinds, (times, wholes, costs), strict=True))
        columns = {name: pyarrow.array(given[name], kinds[name][place]) for name in kinds}
        table = pyarrow.table(columns | {names["model"]: ["gpt-4o", "m"], "output_tokens": [3, 4], "tier": ["a", None]})
        parquet.write_table(table, tmp_path / f"{place}.parquet")
        on_duckdb, on_spark = reports(session, tmp_path / f"{place}.parquet", columns=names, max_bad_rows=1)
        same(on_duckdb, on_spark)
        assert on_spark["total"]["cost_micro_usd"] == 500_000
    with pytest.raises(LogError, match="a column has one type in some files and another in others"):
        open_spark_log(tmp_path, session, columns=names)


@pytest.mark.slow
def test_tokens_counted_apart_are_added_and_several_paths_are_one_log(session: Any, tmp_path: Path) -> None:
    row = '{"request_id": "%s", "time_s": 1767225600, "model": "%s", "input_tokens": 9, "output_tokens": 5, %s}'
    (tmp_path / "b.jsonl").write_text(row % ("x", "o3", '"cached_input_tokens": 4'))
    (tmp_path / "a.jsonl").write_text(row % ("x", "gpt-4o", '"cache_write_tokens": 50'))
    paths = [tmp_path / "b.jsonl", tmp_path / "a.jsonl"]
    for given in (paths, paths[::-1], tmp_path):
        on_duckdb, on_spark = reports(session, given, cached_apart=True)
        same(on_duckdb, on_spark)
        assert on_spark["read"]["repeated"] == 1  # of equals the last counts
        assert any("rows of different models" in note for note in on_spark["notes"])
    with pytest.raises(LogError, match="is read twice"):
        open_spark_log([tmp_path, tmp_path / "a.jsonl"], session)


@pytest.mark.slow
def test_what_cannot_be_read_is_said_in_a_line(session: Any, tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    def refused(message: str, content: str | None = None, name: str = "a.jsonl", **options: Any) -> None:
        path = tmp_path / name
        if content is not None:
            path.write_text(content)
        with pytest.raises(LogError, match=message) as told:
            open_spark_log(path, session, **options)
        assert "\n" not in str(told.value)

    refused("CSV or TSV, which are not read on Spark: leave out --engine spark, or turn them", "a\n", "a.csv")
    refused("no Parquet files nor JSON lines", "a\n", "a.txt")
    refused("no JSON objects, a line each", '{\n"time_s": 1\n}')
    refused("has no column 'output_tokens'", LINES[0].replace("output", "more"))
    refused(
        "has 1 cost in other currencies, such as EUR", LINES[6].replace('"tier"', '"x"')[:-1] + ', "currency": "eur"}'
    )
    refused("a.parquet cannot be read on Spark: ", "no parquet", "a.parquet")
    nanos = pyarrow.table({"time_s": pyarrow.array([1], pyarrow.timestamp("ns"))})
    parquet.write_table(nanos, tmp_path / "n.parquet")
    refused("write them in microseconds", None, "n.parquet")
    with pytest.raises(FileNotFoundError):
        open_spark_log(tmp_path / "none.parquet", session)
    with pytest.raises(UnknownNameError, match="unknown field"):
        open_spark_log(tmp_path, session, columns={"tokens": "a"})
    with pytest.raises(LogError, match="for s3:// start it with spark-submit --packages") as told:
        open_spark_log("s3://bucket/logs", session)
    assert "\n" not in str(told.value)


# What there is no Spark for


def test_what_spark_wants_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "pyspark.sql", None)
        with pytest.raises(MissingExtraError, match=r"pyspark is not installed; run: pip install .costlab\[spark\]"):
            spark_session()
    with monkeypatch.context() as patch:
        patch.delenv("PYSPARK_GATEWAY_PORT", raising=False)
        patch.delenv("JAVA_HOME", raising=False)
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(EngineError, match="Spark wants Java 17 or newer, and there is none"):
            spark_session()


def test_a_master_that_is_not_there_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "_java", lambda: "java")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    for master in (f"spark://127.0.0.1:{port}", "spark://127.0.0.1:no", "spark://"):
        with pytest.raises(EngineError, match="no master of Spark answers at spark://"):
            spark_session(master)


@pytest.mark.parametrize("master", ["nonsense", "", "spark:/here:7077", "http://here:7077", "local[2", "yarn-client"])
def test_a_master_that_spark_does_not_know_is_refused_in_a_line(master: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark, "_java", lambda: "java")
    with pytest.raises(
        EngineError, match=r"^the master must be spark://HOST:7077, yarn, k8s://… or local\[\*\], got '"
    ):
        spark_session(master)


def test_a_cluster_without_a_worker_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped = threading.Event()

    class Nobody:
        def range(self, _: int) -> "Nobody":
            return self

        def count(self) -> bool:
            return stopped.wait(60)

        def stop(self) -> None:
            stopped.set()

    monkeypatch.setattr(spark, "WORKER_WAIT_S", 0.01)
    with pytest.raises(EngineError, match="gave no worker within 0 s"):
        spark._require_worker(Nobody(), "spark://here")  # type: ignore[arg-type]
    assert stopped.is_set()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--master", "spark://h:7077"], "master must be given with --engine spark"),
        (["--engine", "dask"], "unknown engine 'dask'"),
        (["--engine", "spark", "--decimal", ","], "decimal must be left out with --engine spark"),
        (["--engine", "spark", "--day-first"], "day_first must be left out with --engine spark"),
        (["--engine", "spark", "--format", "litellm"], "format must be columns with --engine spark"),
        ([], "--engine spark reads addresses"),
    ],
)
def test_options_that_do_not_go_together_are_said(run: Run, options: list[str], message: str) -> None:
    status, out, err = run("report", "s3://bucket/logs", *options)
    assert (status, out) == (2, "")
    assert message in err
