"""Files as people have them: names, folders, encodings, numbers, dates, and rows that cannot be read."""

import gzip
import json
import os
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import InvalidValueError, LogError
from costlab.monitoring import UsageTotals, aggregate, build_report, gpu_usage, open_gpu_hours, open_log
from costlab.monitoring.importers import counting
from costlab.monitoring.usage import LOG_COLUMNS
from tests import needs

for module in ("narwhals", "pyarrow", "duckdb"):
    needs.extra(module, "usage")

import pyarrow  # noqa: E402
import pyarrow.parquet  # noqa: E402

HEAD = "time_s,model,input_tokens,output_tokens,cost_usd\n"
ROW = "1790000000,gpt-4o,1000,100,0.45\n"


def written(folder: Path, name: str, content: str | bytes, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def total(log: Any) -> UsageTotals:
    (found,) = aggregate(log.frame)
    return found


def one_row(folder: Path, name: str, usd: float) -> Path:
    row = {"time_s": 1.0, "model": "m", "input_tokens": 1, "output_tokens": 1, "cost_usd": usd}
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    elif path.suffix == ".csv":
        path.write_text(f"{HEAD}1,m,1,1,{usd}\n")
    elif path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n")
    else:
        path.write_text(json.dumps([row], indent=1))
    return path


# Names and folders


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "json"])
@pytest.mark.parametrize("folder", ["plain", "q[34]", "a*b?", "it's"])
def test_names_are_names_and_no_patterns(tmp_path: Path, kind: str, folder: str) -> None:
    for other in ("plain", "q3", "axbx", "its"):
        for name in (f"bill1.{kind}", f"bill[1].{kind}"):
            one_row(tmp_path / other, name, 7.0)
    meant = one_row(tmp_path / folder, f"bill[1].{kind}", 100.0)
    assert total(open_log(meant)).cost_usd == 100.0


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_a_folder_is_read_whole_and_its_name_is_no_column(tmp_path: Path, kind: str) -> None:
    for day in (1, 2):
        one_row(tmp_path / f"log/cost_micro_usd=5/dt=2026-07-0{day}", f"part-{day}.{kind}", 0.5)
    written(tmp_path, "log/_SUCCESS", "")
    written(tmp_path, f"log/cost_micro_usd=5/.part-1.{kind}.crc", "x")
    written(tmp_path, "log/package.json", '{"name": "no log"}')
    opened = open_log(tmp_path / "log")
    assert (total(opened).cost_usd, opened.read.files) == (1.0, 2)
    assert opened.notes[0] == "files of no known format were left out: 1, as package.json"


def test_several_paths_of_several_formats_are_one_log(tmp_path: Path) -> None:
    row = {"request_id": "a", "model": "gpt-4o", "spend": 0.5, "prompt_tokens": 10, "completion_tokens": 1}
    written(tmp_path, "spend.json", json.dumps({"data": [row | {"startTime": "2026-10-01T10:00:00Z"}]}))
    paths = [tmp_path / "spend.json", one_row(tmp_path, "a.parquet", 1.0), one_row(tmp_path, "b.csv", 2.0)]
    opened = open_log(paths)
    assert (opened.format, opened.read.files, total(opened).cost_usd) == ("litellm, columns", 3, 3.5)
    assert total(open_log([paths[2], paths[2]])).requests == 1  # a file that is named twice is read once
    with pytest.raises(InvalidValueError, match="path must be at least one file or folder"):
        open_log([])


def test_columns_may_differ_from_file_to_file(tmp_path: Path) -> None:
    written(tmp_path, "log/a.csv", f"{HEAD}1,m,1,1,1\n")
    written(tmp_path, "log/b.csv", "cost_usd,tenant,time_s,model,output_tokens,input_tokens\n2,acme,1,m,1,5\n")
    opened = open_log(tmp_path / "log")
    assert {one.key: one.cost_usd for one in aggregate(opened.frame, by=["tenant"])} == {("",): 1.0, ("acme",): 2.0}


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(tmp_path / "socket.csv"))
        for name in ("pipe.csv", "socket.csv"):
            with pytest.raises(LogError, match="is no regular file; save what comes from it as a file first"):
                open_log(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(LogError, match="is a folder without a file of a known kind"):
        open_log(tmp_path / "empty")
    with pytest.raises(LogError, match=r"a\.csv is empty"):
        open_log(written(tmp_path, "a.csv", ""))
    with pytest.raises(InvalidValueError, match="path must be the name of a file or folder, got ''"):
        open_log("")


def test_what_is_no_file_in_a_folder_is_left_out_and_said(tmp_path: Path) -> None:
    one_row(tmp_path / "log", "a.csv", 1.0)
    os.mkfifo(tmp_path / "log" / "pipe.jsonl")
    (tmp_path / "log" / "moved.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "log" / "part.parquet").mkdir()
    opened = open_log(tmp_path / "log")
    assert total(opened).requests == 1
    assert [note for note in opened.notes if "left out" in note] == ["no regular files, left out: 2, as moved.csv"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("bill.xlsx", "; save the sheet as CSV"),
        ("bill.gz", ", each also with .gz behind it: name the file after what is in it, as bill.csv.gz"),
        ("bill.zip", "; unpack it, or compress each file by gzip or zstd"),
        ("bill.log", "; name it after how it is written: .csv for a table, .jsonl for lines of JSON"),
        ("bill.db", "; a ledger of costlab is written to Parquet by Ledger.to_parquet"),
        ("bill", ""),
    ],
)
def test_what_to_do_about_files_of_other_kinds_is_said(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(LogError, match=re.escape(f".json, .jsonl, .ndjson{hint}") + "$"):
        open_log(written(tmp_path, name, "x"))


def test_a_copy_under_another_name_counts_twice_and_is_said(tmp_path: Path) -> None:
    one_row(tmp_path, "bill.csv", 1.0)
    one_row(tmp_path, "bill (1).csv", 1.0)
    one_row(tmp_path, "other.csv", 2.0)
    opened = open_log(tmp_path)
    assert total(opened).cost_usd == 4.0
    words = "files of the same content, whose rows count twice as they have no request ids: bill.csv as bill (1).csv"
    assert words in opened.notes
    # Packed beside what it was packed from, as `gzip --keep` leaves it; the same name elsewhere is another file.
    packed = tmp_path / "packed"
    plain = one_row(packed, "bill.csv", 1.0)
    written(packed, "bill.csv.gz", gzip.compress(plain.read_bytes()))
    written(packed / "older", "bill.csv.gz", gzip.compress(plain.read_bytes().replace(b"1.0", b"2.0")))
    opened = open_log(packed)
    assert total(opened).cost_usd == 4.0
    assert words.replace("bill.csv as bill (1).csv", "bill.csv.gz as bill.csv") in opened.notes
    # With ids the rows count once, and there is nothing to say.
    with_ids = HEAD.replace("time_s", "request_id,time_s")
    for name in ("a.csv", "b.csv"):
        written(tmp_path / "ids", name, f"{with_ids}r,1,m,1,1,1.0\n")
    opened = open_log(tmp_path / "ids")
    assert (total(opened).cost_usd, opened.read.repeated) == (1.0, 1)
    assert not any("same content" in note for note in opened.notes)


# Encodings


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("bom.csv", (HEAD + ROW).encode("utf-8-sig")),
        ("utf-16.csv", (HEAD + ROW).encode("utf-16")),
        ("utf-16-le.csv", (HEAD + ROW).encode("utf-16-le")),
        ("utf-16-be.csv", (HEAD + ROW).encode("utf-16-be")),
        ("utf-16.csv.gz", gzip.compress((HEAD + ROW).encode("utf-16"))),
        ("plain.csv.gz", gzip.compress((HEAD + ROW).encode())),
        ("two-parts.csv.gz", gzip.compress(HEAD.encode()) + gzip.compress(ROW.encode())),
        ("plain.csv.zst", pyarrow.compress((HEAD + ROW).encode(), "zstd", asbytes=True)),
        ("gzip-in-disguise.csv", gzip.compress((HEAD + ROW).encode())),
        ("told.csv", ("sep=;\n" + (HEAD + ROW).replace(",", ";")).encode()),
        ("tabs.tsv", (HEAD + ROW).replace(",", "\t").encode()),
        ("windows.csv", (HEAD + ROW).replace("\n", "\r\n").encode()),
        ("unended.csv", (HEAD + ROW).strip().encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # packed bytes tell the time at which they were packed
)
def test_text_is_read_however_it_was_saved(tmp_path: Path, name: str, content: bytes) -> None:
    found = total(open_log(written(tmp_path, name, content)))
    assert (found.requests, found.input_tokens, found.cost_usd) == (1, 1000, 0.45)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("indent", [None, 2])
def test_json_is_read_however_it_was_saved(tmp_path: Path, encoding: str, indent: int | None) -> None:
    row = {"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1, "cost_usd": 0.5}
    text = "\n".join([json.dumps(row, indent=indent)] * 3)
    assert total(open_log(written(tmp_path, "a.json", text, encoding))).cost_usd == 1.5


# Numbers and dates


@pytest.mark.parametrize(
    ("rows", "decimal", "usd"),
    [
        ('1;m;10;1;"0,45"\n2;m;1.000;1;1.234,56', None, 1235.01),
        ("1;m;10;1;0,45\n2;m;10;1;1.234", None, 1234.45),  # a comma elsewhere tells what the point is
        ("1;m;10;1;1 234,50", None, 1234.5),
        ('1;m;1,000;1;"1,234.50"', None, 1234.5),
        ("1;m;10;1;1,234", ",", 1.234),
        ("1;m;10;1;1,234", ".", 1234.0),
        ("1;m;10;1;$0.50\n2;m;10;1;US$1", None, 1.5),
        ("1;m;10.0;1e0;5e-1", None, 0.5),
        ("1;m;10;1;NULL\n2;m;10;1;1", None, 1.0),
    ],
)
def test_numbers_are_read_where_they_show_how(tmp_path: Path, rows: str, decimal: str | None, usd: float) -> None:
    path = written(tmp_path, "a.csv", f"{HEAD.replace(',', ';')}{rows}\n")
    assert total(open_log(path, decimal=decimal)).cost_usd == pytest.approx(usd)


@pytest.mark.parametrize("row", ["1;m;10;1;1,234", "1;m;1.000;1;1"])
def test_numbers_are_asked_for_where_they_do_not_show_it(tmp_path: Path, row: str) -> None:
    path = written(tmp_path, "a.csv", f"{HEAD.replace(',', ';')}{row}\n")
    with pytest.raises(LogError, match=r"has numbers such as 1,234 or 1\.000: say with --decimal"):
        open_log(path)
    with pytest.raises(InvalidValueError, match="decimal must be a point or a comma, got ';'"):
        open_log(path, decimal=";")


@pytest.mark.parametrize(
    ("dates", "day_first", "first_s"),
    [
        (["13/10/2026 10:00", "01/10/2026 10:00"], None, 1790848800),  # 1 October
        (["10/13/2026 10:00 AM", "10/1/26 10:00"], None, 1790848800),
        (["01/10/2026 10:00"], True, 1790848800),
        (["10/01/2026 10:00"], False, 1790848800),
        (["1.10.2026 10:00:00"], None, 1790848800),  # points are written after the day alone
        (["1-Oct-2026 10:00"], None, 1790848800),
        (["Oct 1, 2026, 10:00 AM"], None, 1790848800),
        (["2026-10-01T12:00:00+02:00"], None, 1790848800),
        (["2026/10/01 10:00:00.000"], None, 1790848800),
        (["1790848800.0"], None, 1790848800),
    ],
)
def test_dates_are_read_where_they_show_how(
    tmp_path: Path, dates: list[str], day_first: bool | None, first_s: float
) -> None:
    rows = "".join(f'"{date}",m,1,1,1\n' for date in dates)
    assert total(open_log(written(tmp_path, "a.csv", HEAD + rows), day_first=day_first)).first_s == first_s


def test_dates_are_asked_for_where_they_do_not_show_it(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="has dates such as 01/10/2026: say --day-first or --month-first"):
        open_log(written(tmp_path, "a.csv", f"{HEAD}11/10/2026 10:00,m,1,1,1\n"))
    both = "13/10/2026,m,1,1,1\n10/13/2026,m,1,1,1\n"
    with pytest.raises(LogError, match=r"a\.csv has 2 rows that cannot be read"):
        open_log(written(tmp_path, "a.csv", HEAD + both))


def test_identifiers_stay_as_they_are_written(tmp_path: Path) -> None:
    names = ["0012", "12", "1.10", "1.1", "1e3", "1000", "true", "TRUE", "007"]
    rows = "".join(f"{place},m,1,1,1,{name}\n" for place, name in enumerate(names))
    opened = open_log(written(tmp_path, "a.csv", HEAD.strip() + ",tenant\n" + rows))
    assert sorted(one.key[0] for one in aggregate(opened.frame, by=["tenant"])) == sorted(names)


# Rows that cannot be read


@pytest.mark.parametrize(
    ("name", "content", "where", "why"),
    [
        ("a.csv", HEAD + ROW * 25_000 + "soon,m,1,1,1\n", "a.csv line 25,002", "time_s 'soon' is no time"),
        ("a.csv", HEAD + ROW + "1,m,1.5,1,1\n", "a.csv line 3", "input_tokens '1.5' is no whole number"),
        ("a.csv", HEAD + ROW + "1,m,1,1,0.5 €\n", "a.csv line 3", "cost_usd '0.5 €' is no number"),
        ("a.csv", HEAD + ROW + "1,m,1,1,inf\n", "a.csv line 3", "cost_usd 'inf' is no number"),
        # A field over several lines; the log was cut off while it was copied.
        ("a.csv", HEAD + '1,"a\nb",1,1,1\n' + "1,gpt", "a.csv line 4", "Expected Number of Columns: 5 Found: 2"),
        (
            "a.csv",
            HEAD + '1,"a\nb",1,1,1\n1,m\n1,m,x,1,1\n' + ROW,
            "a.csv line 5",
            "input_tokens 'x' is no whole number",
        ),
        ("a.csv", HEAD + ROW + "1,m,,1,1\n", "a.csv line 3", "without input_tokens a whole number >= 0"),
        ("a.csv", HEAD + ROW + "1,m,-5,1,1\n", "a.csv line 3", "without input_tokens a whole number >= 0"),
        (
            "a.jsonl",
            '{"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1}\n\n{"time_s": 2, "mod',
            "a.jsonl line 3",
            "no JSON, or without any of the columns",
        ),
        (
            "a.json",
            '[{"time_s": 1, "model": "m", "input_tokens": 1, "output_tokens": 1}, {"time_s": "soon", "model": "m"}]',
            "a.json row 2",
            "time_s 'soon' is no time",
        ),
    ],
)
def test_rows_that_cannot_be_read_are_counted_with_their_lines(
    tmp_path: Path, name: str, content: str, where: str, why: str
) -> None:
    path = written(tmp_path, name, content)
    with pytest.raises(LogError) as caught:
        open_log(path)
    assert f"{where}: {why}" in str(caught.value)
    assert "\n" not in str(caught.value)
    read = open_log(path, max_bad_rows=2).read
    assert (where, True) in [(one.where, why in one.why) for one in read.bad]
    assert read.bad_rows == len(read.bad) == read.rows - read.kept


def test_bad_rows_of_a_folder_are_named_by_file(tmp_path: Path) -> None:
    written(tmp_path, "log/a.csv", HEAD + ROW)
    written(tmp_path, "log/b.csv", HEAD + ROW + "x,m,1,1,1\n" + ROW)
    written(tmp_path, "log/c.csv.gz", gzip.compress((HEAD + "y,m,1,1,1\n").encode()))
    with pytest.raises(
        LogError, match=r"b\.csv line 3: time_s 'x' is no time; c\.csv\.gz line 2: time_s 'y' is no time"
    ):
        open_log(tmp_path / "log", max_bad_rows=1)
    assert total(open_log(tmp_path / "log", max_bad_rows=2)).requests == 3


def test_a_typed_file_lets_impossible_rows_pass_only_if_told(tmp_path: Path) -> None:
    rows = {"time_s": [1.0, 2.0], "model": ["m", "m"], "input_tokens": [1, None], "output_tokens": [1, 1]}
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table(rows | {"cost_micro_usd": [1, 1]}), path)
    with pytest.raises(LogError, match="1 row without input_tokens a whole number"):
        total(open_log(path))
    opened = open_log(path, max_bad_rows=1)
    assert (total(opened).requests, opened.read.bad[0].where) == (1, "a.parquet row 2")


def test_gpu_hours_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    head = "time_s,gpu,hours,usd_per_hour,utilization_fraction\n"
    good = written(tmp_path, "gpus.csv", f"{head.replace(',', ';')}2026-10-01 10:00;0;1,5;2;0,5\n")
    (found,) = gpu_usage(open_gpu_hours(good), by=["gpu"])
    assert (found.key, found.hours, found.cost_usd) == (("0",), 1.5, 3.0)
    for row in ("0,a,many,1,\n", "0,a,1\n"):
        with pytest.raises(LogError, match=r"bad\.csv line 2"):
            open_gpu_hours(written(tmp_path, "bad.csv", head + row))


# Rows that tell a request again


def test_of_the_lines_of_one_request_the_most_complete_counts(tmp_path: Path) -> None:
    lines = ["1,a,m,10,5,", "2,a,m,10,9,0.5", "3,a,m,10,9,", "4,b,m,10,1,1", "5,,m,1,1,1", "6,,m,1,1,1", "7,b,m,0,0,-1"]
    head = "time_s,request_id,model,input_tokens,output_tokens,cost_usd\n"
    opened = open_log(written(tmp_path, "a.csv", head + "\n".join(lines) + "\n"))
    found = total(opened)
    # Of two with as many tokens that with a cost. Rows without an id are requests; a credit has the id of a request.
    assert (found.requests, found.output_tokens, found.cost_usd, found.credits) == (4, 9 + 1 + 1 + 1, 2.5, 1)
    assert (opened.read.rows, opened.read.repeated) == (7, 2)


@pytest.mark.parametrize("name", ["log.csv", "log.jsonl", "log.parquet"])
def test_nothing_stands_between_a_log_and_its_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    # Of equal rows of one request the last counts. DuckDB keeps no order behind a join, and makes joins of lists.
    row = {field: "" if column.type is str else 0 for field, column in LOG_COLUMNS.items()}
    row |= {"request_id": "a", "model": "m", "input_tokens": 1, "output_tokens": 1, "outcome": "ok", "requests": 1}
    plans, stored = [], counting._stored

    def with_plan(files: Any, rows: Any, table: str) -> Any:
        plans.append(rows.explain())
        return stored(files, rows, table)

    monkeypatch.setattr(counting, "_stored", with_plan)
    if name.endswith("parquet"):
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), tmp_path / name)
    else:
        values = ",".join(map(str, row.values()))
        written(tmp_path, name, json.dumps(row) if name.endswith("jsonl") else f"{','.join(row)}\n{values}\n")
    assert total(open_log(tmp_path / name)).requests == 1
    assert len(plans) == 1
    assert "Join" not in plans[0]


def test_one_id_of_several_models_is_told(tmp_path: Path) -> None:
    head = "time_s,request_id,model,input_tokens,output_tokens\n"
    opened = open_log(written(tmp_path, "a.csv", f"{head}1,a,m,1,1\n2,a,n,1,1\n"))
    assert "1 id stands at rows of different models, of which one counts: do ids name requests?" in opened.notes


def test_repeated_ids_of_typed_files_are_found(tmp_path: Path) -> None:
    count = 300_000
    rows = {
        "request_id": [f"r{place % (count - 1)}" for place in range(count)],
        "time_s": [float(place) for place in range(count)],
        "model": ["m"] * count,
        "input_tokens": [1] * count,
        "output_tokens": [1] * count,
        "cost_micro_usd": [1] * count,
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    opened = open_log(tmp_path / "a.parquet")
    assert (opened.read.repeated, total(opened).first_s) == (1, 1.0)  # the last line counts, the first is left out


def test_gaps_and_words_of_others_are_understood(tmp_path: Path) -> None:
    rows = {
        "time_s": [1.0, 2.0, 3.0],
        "model": ["m"] * 3,
        "input_tokens": [1.0, 2.0, float("nan")],  # how pandas leaves gaps
        "output_tokens": [1.0, 2.0, float("nan")],
        "cost_usd": [0.5, 0.25, float("nan")],
        "outcome": ["success", "Succeeded", "failed"],
        "service_tier": ["default", "Flex", None],
    }
    pyarrow.parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    opened = open_log(tmp_path / "a.parquet")
    found = {one.key: (one.requests, one.cost_usd) for one in aggregate(opened.frame, by=["outcome", "service_tier"])}
    assert found == {("ok", "standard"): (1, 0.5), ("ok", "flex"): (1, 0.25), ("error", "standard"): (1, 0.0)}


def test_what_was_read_from_the_cache_or_written_to_it_may_be_counted_apart(tmp_path: Path) -> None:
    head = "time_s,model,input_tokens,cached_input_tokens,cache_write_tokens,output_tokens\n"
    path = written(tmp_path, "a.csv", f"{head}1,m,12,5000,3000,200\n")
    assert total(open_log(path, cached_apart=True)).input_tokens == 8012
    with pytest.raises(
        LogError, match=r"line 2: without cached_input_tokens and cache_write_tokens between 0 and input_"
    ):
        open_log(path)


@pytest.mark.parametrize("zone", ["", "Z", " UTC", " GMT", "+00:00", "+0000", " Etc/UTC"])
def test_times_may_name_their_zone(tmp_path: Path, zone: str) -> None:
    (tmp_path / "log.csv").write_text(f"{HEAD}2026-10-01T10:00:00{zone},m,1,1,1\n")
    (found,) = open_log(tmp_path / "log.csv").frame.project("time_s").fetchall()
    assert found == (1_790_848_800.0,)


@pytest.mark.parametrize("zone", ["BST", " BST", " IST", " CST", " est"])
def test_letters_that_are_several_zones_are_none(tmp_path: Path, zone: str) -> None:
    """DuckDB takes BST for Bangladesh's time, five hours beside Britain's; CST may be Chicago's, China's or Cuba's."""
    (tmp_path / "log.csv").write_text(f"{HEAD}2026-10-01T10:00:00{zone},m,1,1,1\n")
    with pytest.raises(LogError, match="is no time"):
        open_log(tmp_path / "log.csv")


@pytest.mark.parametrize(("first", "what"), [("46296.5", "days of a spreadsheet"), ("20261001", "dates")])
def test_days_that_are_numbers_are_told(tmp_path: Path, first: str, what: str) -> None:
    (tmp_path / "log.csv").write_text(f"{HEAD}{first},m,1,1,1\n{float(first) + 1},m,1,1,1\n")
    (note, *_) = build_report(open_log(tmp_path / "log.csv").frame).notes
    assert note.startswith(f"all times are numbers from {first} to ")
    assert f"they look like {what}: if they are, save them as 2026-01-31" in note


def test_a_column_that_stands_twice_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(f"{HEAD.strip()},cost_usd\n1790000000,m,1,1,0.5,0.7\n")
    with pytest.raises(LogError, match=r"log\.csv has the column 'cost_usd' twice; rename the one that does not count"):
        open_log(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_text(f"{HEAD.strip()},Cost_USD,x,X,x\n1790000000,m,1,1,0.5,0.7,1,2,3\n")
    assert total(open_log(tmp_path / "log.csv")).cost_usd == 0.5


@pytest.mark.parametrize("name", ["currency", "Currency", "billing_currency"])
def test_other_currencies_are_no_dollars(tmp_path: Path, name: str) -> None:
    head = f"{HEAD.strip()},{name}\n"
    (tmp_path / "log.csv").write_text(f"{head}1790000000,m,1,1,0.5,USD\n1790000000,m,1,1,0.5,EUR\n")
    with pytest.raises(LogError, match="has 1 cost in other currencies, such as EUR; only USD is read"):
        open_log(tmp_path / "log.csv")
    (tmp_path / "log.csv").write_text(f"{head}1790000000,m,1,1,0.5,usd\n1790000000,m,1,1,0.5,\n")
    assert total(open_log(tmp_path / "log.csv")).cost_usd == 1.0


def test_a_table_of_hundreds_of_columns_is_told_in_short(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(",".join(f"c{number}" for number in range(500)) + "," + "x" * 999 + "\n1\n")
    told = r"it has c0, c1, .*, c39 and 461 more; map columns with --column time_s=NAME"
    with pytest.raises(LogError, match=told) as caught:
        open_log(tmp_path / "log.csv")
    assert len(str(caught.value)) < 400


def test_a_log_that_was_saved_in_two_forms_counts_once(tmp_path: Path) -> None:
    """Ids are compared across files of a format, whatever these are written as; a credit may have a request's id."""
    head = f"request_id,{HEAD}"
    written(tmp_path, "a.csv", f"{head}a,{ROW}b,{ROW}a,1790000000,gpt-4o,0,0,-0.05\n,{ROW}")
    row = {"time_s": 1_790_000_000, "model": "gpt-4o", "input_tokens": 1000, "output_tokens": 100, "cost_usd": 0.45}
    rows = [row | {"request_id": one} for one in ("a", "b", "c", "")]
    written(tmp_path, "a.jsonl", "".join(json.dumps(one) + "\n" for one in rows))
    log = open_log(tmp_path)
    assert (log.read.rows, log.read.repeated, log.read.kept) == (8, 2, 6)
    assert (total(log).requests, total(log).cost_micro_usd) == (5, 5 * 450_000 - 50_000)


def test_columns_that_were_not_read_are_named(tmp_path: Path) -> None:
    """Somebody whose costs stand in `cost` would otherwise take the catalogue's prices for them."""
    head = "time_s,model,input_tokens,output_tokens,cost,region\n"
    opened = open_log(written(tmp_path, "a.csv", f"{head}1790000000,gpt-4o,10,1,0.5,eu\n"))
    assert "columns that were not read: cost, region (--column FIELD=NAME)" in opened.notes
    mapped = open_log(tmp_path / "a.csv", columns={"cost_usd": "cost", "tenant": "region"})
    assert not any("not read" in note for note in mapped.notes)
    assert total(mapped).cost_usd == 0.5
    with pytest.raises(LogError, match=r"map columns with --column time_s=NAME --column input_tokens=input_token$"):
        open_log(written(tmp_path, "b.csv", "date,model,input_token,output_tokens\n"), format="columns")
