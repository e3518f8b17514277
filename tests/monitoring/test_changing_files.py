"""A log that changes while it is read: the figures agree, and it is said, or it is refused."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import LogError
from costlab.monitoring import aggregate, build_report, open_gpu_hours, open_log
from costlab.monitoring.importers import counting, opening
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

ROW = {"time_s": 1.0, "model": "m", "input_tokens": 1, "output_tokens": 1, "cost_usd": 1.0}
GREW = "grew while the log was read"


def write(path: Path, rows: int) -> None:
    if path.suffix == ".csv":
        path.write_text(",".join(ROW) + "\n" + "1,m,1,1,1\n" * rows)
    elif path.suffix == ".jsonl":
        path.write_text(f"{json.dumps(ROW)}\n" * rows)
    else:
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([ROW] * rows), path)


def grow(path: Path) -> None:
    with path.open("a") as file:
        file.write("2,m,1,1,1\n" if path.suffix == ".csv" else json.dumps(ROW) + "\n")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def put_another(path: Path) -> None:
    write(path.with_name(f"new{path.suffix}"), 7)
    path.with_name(f"new{path.suffix}").replace(path)


def write_over(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1", b"2"))
    os.utime(path, ns=(1, 1))  # the clock of a file system may be too coarse to tell


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], object]], None]:
    """Has something happen when the files were read, before that is compared."""

    def arrange(happens: Callable[[], object]) -> None:
        read = counting.counted_rows

        def counted_rows(*arguments: Any, **options: Any) -> Any:
            found = read(*arguments, **options)
            happens()
            return found

        monkeypatch.setattr(opening, "counted_rows", counted_rows)

    return arrange


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl"])
def test_a_log_that_grows_is_counted_once_and_that_is_said(
    tmp_path: Path, meanwhile: Callable[..., None], name: str
) -> None:
    path = tmp_path / name
    write(path, 5)
    meanwhile(lambda: grow(path))
    opened = open_log(path)
    assert opened.notes[-1] == f"{name} {GREW}: what came meanwhile is not, or in part, counted"
    for _ in range(3):  # whatever comes later, the figures agree
        grow(path)
        report = build_report(opened.frame, read=opened.read)
        assert report.total.requests == opened.read.kept == sum(group.requests for group in report.trend) == 5
    opened.require_unchanged()


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
@pytest.mark.parametrize("change", [cut, put_another, write_over, Path.unlink])
def test_a_log_that_becomes_another_is_refused(
    tmp_path: Path, meanwhile: Callable[..., None], name: str, change: Callable[[Path], object]
) -> None:
    path = tmp_path / name
    write(path, 50)
    meanwhile(lambda: change(path))
    with pytest.raises(LogError, match=rf"{name} was (changed|taken away) while it was read; read"):
        open_log(path)


def test_a_parquet_file_is_held_to_what_it_was_until_all_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    write(path, 200_000)  # so many are counted where they stand
    opened = open_log(path)
    opened.require_unchanged()
    put_another(path)
    with pytest.raises(LogError, match=r"log\.parquet was changed while it was read"):
        opened.require_unchanged()


def test_gpu_hours_are_taken_over_when_they_are_opened(tmp_path: Path, meanwhile: Callable[..., None]) -> None:
    path = tmp_path / "gpus.csv"
    path.write_text("time_s,gpu,hours,usd_per_hour,utilization_fraction\n0,a,1,1,1\n")
    meanwhile(lambda: cut(path))
    with pytest.raises(LogError, match=r"gpus\.csv was changed while it was read"):
        open_gpu_hours(path)


def test_while_a_service_writes_its_log_all_figures_agree(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    write(path, 1000)
    ended, written = threading.Event(), threading.Event()

    def service() -> None:
        while not ended.is_set():
            grow(path)
            written.set()

    writer = threading.Thread(target=service)
    writer.start()
    try:
        assert written.wait(60)
        for _ in range(3):
            opened = open_log(path, max_bad_rows=1)  # the last row may have been written in part
            kept = opened.read.kept
            assert kept > 1000
            assert [aggregate(opened.frame)[0].requests for _ in range(3)] == [kept] * 3
    finally:
        ended.set()
        writer.join()
