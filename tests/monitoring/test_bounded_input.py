"""Compressed files that hold far more than they take are refused in a line, in little memory, and soon."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import LogError
from costlab.monitoring import open_log
from costlab.monitoring.importers.paths import FREE_BYTES, MAX_EXPANSION, MAX_LINE_BYTES, open_bytes
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb", "msgspec"):
    needs.extra(module, "usage")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

HEAD = b"time_s,model,input_tokens,output_tokens,cost_usd\n"
ROW = b"1790000000,gpt-4o,1000,100,0.45\n"
SPAN = b'{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"a","spanId":"b","name":"'
SESSION = b'{"type":"assistant","sessionId":"a","cwd":"/","message":{"role":"assistant","usage":{'

#: Beginnings of logs, and what is repeated after them; 32 MiB of it are kept in each part of a file.
CONTENTS = {
    "rows.csv": (HEAD, ROW * 32),
    "one-row.csv": (HEAD + b"1790000000,", b"m"),
    "objects.jsonl": (b"", b'{"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1}\n' * 16),
    "one-text.jsonl": (b'{"time_s": 1, "model": "', b"m"),
    "array.json": (b"[", b'{"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1},' * 16),
    "one-span.json": (SPAN, b"s"),
    "spans.jsonl": (SPAN + b'"}]}]}]}\n', SPAN + b'"}]}]}]}\n'),
    "one-session.jsonl": (SESSION, b"a"),
}


def packed(content: bytes, kind: str) -> bytes:
    return gzip.compress(content, 6, mtime=0) if kind == "gz" else pyarrow.compress(content, "zstd", asbytes=True)


def bomb(folder: Path, name: str, kind: str, parts: int) -> Path:
    """A file that unpacks to `parts` times 32 MiB: members of a stream that are all alike."""
    begin, again = CONTENTS[name]
    part = packed(again * (2**25 // len(again)), kind)
    path = folder / f"{name}.{kind}"
    path.write_bytes(packed(begin, kind) + part * parts)
    return path


#: What a process needs for each of the files, in MB more than for a log of one row; and what it says.
MEASURE = """
import resource, sys
from costlab.errors import LogError
from costlab.monitoring import open_log
least, *files = sys.argv[1:]
open_log(least)
def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
before = peak_mb()
for file in files:
    try:
        open_log(file)
    except LogError as error:
        print(f"{peak_mb() - before:.0f}", error, sep="\\t")
    else:
        print("0", "was read", sep="\\t")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is told by the operating system's own call")
@pytest.mark.parametrize(
    ("name", "kind"), [*((name, "gz") for name in CONTENTS), ("rows.csv", "zst"), ("one-span.json", "zst")]
)
def test_what_unpacks_without_end_is_refused_in_little_memory(tmp_path: Path, name: str, kind: str) -> None:
    small = tmp_path / "small.csv.gz"
    small.write_bytes(gzip.compress(HEAD + ROW))
    file = bomb(tmp_path, name, kind, 64)  # 2 GiB
    assert file.stat().st_size * MAX_EXPANSION + FREE_BYTES < 2**31
    told = subprocess.run([sys.executable, "-c", MEASURE, small, file], capture_output=True, text=True, check=True)
    megabytes, message = told.stdout.strip().split("\t")
    assert message != "was read"
    assert int(megabytes) < 100
    assert f"{file.name}" in message


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is told by the operating system's own call")
def test_a_row_that_is_within_the_bound_but_too_long_is_refused_in_little_memory(tmp_path: Path) -> None:
    small = tmp_path / "small.csv.gz"
    small.write_bytes(gzip.compress(HEAD + ROW))
    filling = random.Random(0).randbytes(2 * 2**20).hex().encode()  # shrinks to half, so that its size allows much
    for name in ("one-row.csv", "one-text.jsonl", "one-span.json", "one-session.jsonl"):
        file = tmp_path / f"{name}.gz"
        file.write_bytes(gzip.compress(CONTENTS[name][0] + filling * 20, 1))
        told = subprocess.run([sys.executable, "-c", MEASURE, small, file], capture_output=True, text=True, check=True)
        megabytes, message = told.stdout.strip().split("\t")
        assert (message != "was read", int(megabytes) < 100) == (True, True), (name, message, megabytes)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_the_bound_is_where_it_is_said_to_be(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"zeros.csv.{kind}"
    path.write_bytes(packed(bytes(FREE_BYTES), kind))
    with open_bytes(path) as file:
        assert len(file.read()) == FREE_BYTES
    path.write_bytes(packed(bytes(FREE_BYTES + MAX_EXPANSION * 10**6), kind))
    with open_bytes(path) as file, pytest.raises(LogError, match="holds more than 100 times what it takes"):
        file.read()


def test_a_log_that_shrinks_well_is_read(tmp_path: Path) -> None:
    rows = b"".join(b"%d,gpt-4o,%d,%d,0.45\n" % (1_790_000_000 + n, n % 977, n % 89) for n in range(1_000_000))
    path = tmp_path / "log.csv.gz"
    path.write_bytes(gzip.compress(HEAD + rows, 9))
    assert len(rows) > FREE_BYTES
    assert open_log(path).read.kept == 1_000_000


def test_a_parquet_file_whose_end_tells_of_too_much_is_refused(tmp_path: Path) -> None:
    rows = {"time_s": [1.0] * 8, "model": ["m" * 2**23] * 8, "input_tokens": [1] * 8, "output_tokens": [1] * 8}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(rows), path, compression="zstd", use_dictionary=False)
    with pytest.raises(LogError, match=r"a\.parquet holds more than 100 times what it takes"):
        open_log(path)


ROWS = 20_000
LONG = "m" * ROWS


def repeated(text: str, rows: int = ROWS) -> pyarrow.DictionaryArray:
    """A column that has the text in every row and keeps it once."""
    return pyarrow.DictionaryArray.from_arrays(pyarrow.array([0] * rows, pyarrow.int32()), pyarrow.array([text]))


#: Columns that say a long text once and have it in every row, and how they are written.
REPEATING: dict[str, tuple[Callable[[], pyarrow.Array], dict[str, Any]]] = {
    "dictionary": (lambda: repeated(LONG), {}),
    "dictionary of a list": (lambda: pyarrow.ListArray.from_arrays(list(range(ROWS + 1)), repeated(LONG)), {}),
    "dictionary of a field": (lambda: pyarrow.StructArray.from_arrays([repeated(LONG)], ["name"]), {}),
    "one list": (lambda: pyarrow.ListArray.from_arrays([0] + [ROWS] * ROWS, repeated(LONG)), {}),
    "common beginnings": (
        lambda: pyarrow.array(["m" * 2_000] * ROWS),
        {"use_dictionary": False, "column_encoding": {"model": "DELTA_BYTE_ARRAY"}},
    ),
    "fixed width": (lambda: pyarrow.array([b"m" * 2_000] * ROWS, pyarrow.binary(2_000)), {}),
}


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is told by the operating system's own call")
@pytest.mark.parametrize("way", REPEATING)
def test_a_parquet_file_that_repeats_a_long_text_is_refused_in_little_memory(tmp_path: Path, way: str) -> None:
    column, written = REPEATING[way]
    ones = [1] * ROWS
    small, file = tmp_path / "small.parquet", tmp_path / "large.parquet"
    names = {"time_s": ones, "input_tokens": ones, "output_tokens": ones}
    pyarrow.parquet.write_table(pyarrow.table(names | {"model": ["m"] * ROWS}), small)
    pyarrow.parquet.write_table(pyarrow.table(names | {"model": column()}), file, compression="zstd", **written)
    end = pyarrow.parquet.read_metadata(file).row_group(0)
    assert end.total_byte_size < FREE_BYTES  # so that the sizes of the pages alone do not tell
    told = subprocess.run([sys.executable, "-c", MEASURE, small, file], capture_output=True, text=True, check=True)
    megabytes, message = told.stdout.strip().split("\t")
    assert "large.parquet holds more than 100 times what it takes" in message
    assert int(megabytes) < 100


@pytest.mark.parametrize("texts", [("m", LONG), (LONG, "m")], ids=["first short", "first long"])
@pytest.mark.parametrize("names", [("model", "model"), ("a.model", "a")], ids=["twice", "as a field"])
def test_columns_of_one_name_hide_nothing_from_the_bound(
    tmp_path: Path, names: tuple[str, str], texts: tuple[str, str]
) -> None:
    first, second = (repeated(text) for text in texts)
    if names[1] == "a":
        second = pyarrow.StructArray.from_arrays([second], ["model"])
    table = pyarrow.table([pyarrow.array([1] * ROWS), first, second], names=["time_s", *names])
    path = tmp_path / "names.parquet"
    pyarrow.parquet.write_table(table, path, compression="zstd")
    with pytest.raises(LogError, match=r"names\.parquet holds more than 100 times what it takes"):
        open_log(path)


@pytest.mark.parametrize(
    "written",
    [{}, {"row_group_size": 30_000}, {"use_dictionary": False, "column_encoding": {"model": "DELTA_BYTE_ARRAY"}}],
    ids=["one dictionary", "several", "common beginnings"],
)
def test_a_parquet_log_with_a_long_text_among_short_ones_is_read(tmp_path: Path, written: dict[str, Any]) -> None:
    rows, numbers = 200_000, random.Random(0)
    table = pyarrow.table(
        {
            "time_s": [1.79e9 + numbers.random() * 86_400 for _ in range(rows)],
            "model": [LONG, *numbers.choices(["gpt-4o", "gpt-4o-mini"], k=rows - 1)],
            "tenant": numbers.choices([f"team-{n}" for n in range(3_000)], k=rows),
            "input_tokens": [numbers.randrange(4_000) for _ in range(rows)],
            "output_tokens": [numbers.randrange(900) for _ in range(rows)],
        }
    )
    path = tmp_path / "log.parquet"
    pyarrow.parquet.write_table(table, path, compression="zstd", **written)
    assert rows * len(LONG) > FREE_BYTES + MAX_EXPANSION * path.stat().st_size  # so that the rows are looked at
    assert open_log(path).read.kept == rows


@pytest.mark.parametrize("place", [0, 5 * 2**20, 2**24 - 1, 2**24 + 7])
@pytest.mark.parametrize("after", [b"", b"\n" + ROW], ids=["last", "not last"])
def test_no_row_is_left_out_because_it_is_long(tmp_path: Path, place: int, after: bytes) -> None:
    begin = HEAD + (ROW * (place // len(ROW) + 1))[: place // len(ROW) * len(ROW)]
    path = tmp_path / "long.csv"
    path.write_bytes(begin + b"m" * (MAX_LINE_BYTES + 1) + after)
    with pytest.raises(LogError, match=r"long\.csv has a line of more than 33,554,432 bytes"):
        open_log(path)


def test_a_session_with_an_endless_line_is_refused(tmp_path: Path) -> None:
    line = {"type": "assistant", "sessionId": "a", "message": {"role": "assistant", "usage": {"input_tokens": 1}}}
    path = tmp_path / "session.jsonl"
    path.write_text(json.dumps(line) + "\n" + " " * (MAX_LINE_BYTES + 1))
    with pytest.raises(LogError, match="has a line of more than"):
        open_log(path, format="claude-code")
