"""Logs with our own columns, opened on Spark: for what outgrows one machine.

What a field means, what is assumed where a row tells nothing, which rows are bad and which of several tells a request
is said once, in `columns` and `counting`. Here is how Spark finds files and converts their values.
"""

from __future__ import annotations

import os
import re
import shutil
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from costlab._internal import checks
from costlab._internal.extras import extra
from costlab.errors import EngineError, LogError
from costlab.monitoring.importers.columns import (
    COLUMNS_FORMAT,
    COSTS,
    FIELDS,
    KINDS,
    currency_column,
    field_names,
    fields_sql,
    notes_on,
    other_currency_sql,
    require_dollars,
)
from costlab.monitoring.importers.conversion import BAD, FILE, NOT_A, NOTHING, ROW, Kind
from costlab.monitoring.importers.counting import (
    BEST_FIRST,
    MAX_SHOWN,
    SAME_REQUEST,
    complaint,
    complete_sql,
    defaults_sql,
    in_micro_usd,
    odd_ids,
    with_reasons,
)
from costlab.monitoring.importers.log_files import KEYS_OF
from costlab.monitoring.importers.paths import COMPRESSED, KINDS as FILE_KINDS
from costlab.monitoring.importers.protocol import BadRow, ReadCounts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

#: Where a row is: which of the paths named, the file, the block of the file, and the row there. Of two rows the
#: last is that whose place is greater.
PATH: Final = "log_path"
BLOCK: Final = "log_block"
PLACE: Final = (PATH, FILE, BLOCK, ROW)

#: What has a scheme is an address that Spark knows how to open; anything else is a path of this machine.
SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")

#: What this session wants of Spark, whatever else runs there.
SETTINGS: Final = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.caseSensitive": "true",  # names are names
    "spark.sql.ansi.enabled": "true",  # a sum of too many digits is an error
    "spark.sql.ansi.doubleQuotedIdentifiers": "false",
    "spark.sql.parser.escapedStringLiterals": "false",
    "spark.sql.constraintPropagation.enabled": "false",  # of conditions as long as these it would take minutes
}

#: A master that does not answer in that time is not there; and one that gives no worker has none to give, in seconds.
#: What Spark takes for a master (its ``SparkSubmit`` and ``SparkContext``, version 4).
MASTER: Final = re.compile(r"spark://\S*|k8s://\S+|yarn|local(-cluster)?(\[[^\]]*\])?")
MASTER_WAIT_S: Final = 5.0
WORKER_WAIT_S: Final = 120.0

INTEGERS: Final = ("tinyint", "smallint", "int", "bigint")

#: Numbers and times of text that are read. Nothing is guessed: of a decimal comma, digits in groups, a currency's sign
#: or a date that a spreadsheet wrote, DuckDB's readers know more.
NUMBER: Final = "^[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?$"
DOUBTFUL: Final = "^[+-]?[1-9][0-9]{0,2}([.][0-9]{3})+$"  # one, or a thousand
ISO_TIME: Final = (
    "^[0-9]{4}-[0-9]{2}-[0-9]{2}([ T][0-9]{2}:[0-9]{2}(:[0-9]{2}([.][0-9]+)?)?"
    "( ?(Z|UTC|GMT|[+-][0-9]{2}(:?[0-9]{2})?))?)?$"
)

#: What to do about what Spark complains of, by a pattern in its words.
ADVICE: Final = {
    r"No FileSystem for scheme|S3AFileSystem not found|ClassNotFoundException.*hadoop\.fs": (
        "Spark lacks the library for that kind of address; for s3:// start it with "
        "spark-submit --packages org.apache.hadoop:hadoop-aws:VERSION, the version of its own Hadoop"
    ),
    r"TIMESTAMP\(NANOS": "Spark reads no times in nanoseconds; write them in microseconds",
    r"CANNOT_MERGE_SCHEMAS": "a column has one type in some files and another in others; write them alike",
    r"FileNotFoundException|FILE_NOT_EXIST": "every worker must see the files under the same path",
}


@dataclass(frozen=True, slots=True)
class SparkLog:
    """A log that was opened on Spark.

    Attributes
    ----------
    frame : pyspark.sql.DataFrame
        Its rows, with the columns of :class:`costlab.events.RequestEvent`.
    format : str
        Its format, which is `columns`.
    notes : tuple of str
        What was understood or left out, for the reader of the figures.
    read : ReadCounts
        What became of the rows of the files.
    """

    frame: DataFrame
    format: str
    notes: tuple[str, ...]
    read: ReadCounts


def spark_session(master: str | None = None) -> SparkSession:
    """A session of Spark that has a worker.

    Parameters
    ----------
    master : str, optional
        Where Spark runs: ``spark://HOST:7077``, ``yarn``, ``local[*]``; by default what ``spark-submit`` said, or this
        machine.

    Raises
    ------
    MissingExtraError
        If PySpark is not installed.
    EngineError
        If there is no Java, the master is not reached, or it has given no worker after two minutes.
    """
    with extra("spark"):
        from pyspark.sql import SparkSession

    submitted = "PYSPARK_GATEWAY_PORT" in os.environ  # then Spark runs, and has its settings
    if not submitted and _java() is None:
        raise EngineError("Spark wants Java 17 or newer, and there is none: apt-get install default-jre-headless")
    if master is not None:
        _require_master(master)
    builder = SparkSession.builder.appName("costlab")
    if master is not None:
        builder = builder.master(master)
    if not submitted:
        builder = builder.config("spark.log.level", "OFF").config(
            "spark.ui.showConsoleProgress", str(sys.stderr.isatty()).lower()
        )
    with _engine_errors(f"Spark at {master or 'this machine'} does not start"):
        session: SparkSession = builder.getOrCreate()
    if not submitted:
        _require_worker(session, master)
    return session


def _java() -> str | None:
    home = os.environ.get("JAVA_HOME")
    return shutil.which("java", path=str(Path(home, "bin"))) if home else shutil.which("java")


def _require_master(master: str) -> None:
    """Raise where Spark knows no such master, or none of a standalone cluster answers: it would wait a minute."""
    if not MASTER.fullmatch(master):
        raise EngineError(f"the master must be spark://HOST:7077, yarn, k8s://… or local[*], got {master!r}")
    if not master.startswith("spark://"):
        return
    reasons = []
    for one in master.removeprefix("spark://").split(","):
        try:
            address = urlsplit(f"//{one}")
            socket.create_connection((address.hostname or "", address.port or 7077), MASTER_WAIT_S).close()
        except (OSError, ValueError) as error:
            reasons.append(f"{one}: {error}")
        else:
            return
    raise EngineError(f"no master of Spark answers at {master} ({'; '.join(reasons)})")


def _require_worker(session: SparkSession, master: str | None) -> None:
    """Raise where no worker does the least work, for which Spark would wait for ever."""
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(session.range(1).count)
        try:
            with _engine_errors(f"Spark at {master or 'this machine'} does no work"):
                work.result(timeout=WORKER_WAIT_S)
        except TimeoutError:
            session.stop()
            raise EngineError(
                f"Spark at {master or 'this machine'} gave no worker within {WORKER_WAIT_S:.0f} s: are there any, "
                "and has one of them memory and a core to spare?"
            ) from None


@contextmanager
def _engine_errors(what: str) -> Iterator[None]:
    try:
        yield
    except TimeoutError:
        raise
    except Exception as error:
        if not _is_of_spark(error):
            raise
        raise EngineError(f"{what}: {spark_reason(error)}") from error


@contextmanager
def spark_errors(name: str) -> Iterator[None]:
    """Turn what Spark complains of in the block into a :class:`~costlab.errors.LogError` about the log of that name."""
    try:
        yield
    except Exception as error:
        if not _is_of_spark(error):
            raise
        raise LogError(f"{name} cannot be read on Spark: {spark_reason(error)}") from error


def _is_of_spark(error: Exception) -> bool:
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return isinstance(error, Py4JError | PySparkException)


def spark_reason(error: Exception) -> str:
    """What Spark complains of, in one line, and what to do about it where that is known."""
    text = str(error)
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("at ")]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    first = lines[1] if len(lines) > 1 and lines[0].startswith("An error occurred while calling") else lines[0]
    told = re.sub(r"^(: )?([a-z0-9_]+\.)+[A-Za-z0-9_$]+: ", "", causes[-1] if causes else first)
    advice = next((words for pattern, words in ADVICE.items() if re.search(pattern, text)), "")
    return f"{told[:500]}{f' ({advice})' if advice else ''}"


def open_spark_log(
    path: Path | str | Sequence[Path | str],
    session: SparkSession,
    *,
    columns: Mapping[str, str] | None = None,
    cached_apart: bool = False,
    max_bad_rows: int = 0,
) -> SparkLog:
    """A usage log from Parquet files or JSON lines, as a data frame of Spark.

    Parameters
    ----------
    path : path or address, or sequence of them
        Files that end in ``.parquet``, ``.json``, ``.jsonl`` or ``.ndjson`` (JSON lines, also ``.gz`` and ``.zst``), or
        folders, of which all such files are read, also those in folders below. Paths of this machine, which every
        worker must see too, or addresses such as ``s3://bucket/logs``.
    session : pyspark.sql.SparkSession
        Where they are read, as :func:`spark_session` gives it. Its settings are left as they are.
    columns, cached_apart, max_bad_rows
        As for :func:`costlab.monitoring.open_log`, whose format `columns` this is.

    Raises
    ------
    LogError
        If files are of another kind, cannot be read, lack a column, or have more rows than `max_bad_rows` that cannot
        be read.
    UnknownNameError
        If a field in `columns` is none of ours.
    OSError
        If there is no such file on this machine.

    Notes
    -----
    Rows count as :func:`costlab.monitoring.open_log` counts them. Numbers that are text may have a decimal point alone,
    and times that are text are those of ISO 8601; anything else makes a bad row. Nothing is collected but counts, names
    of columns, and the first of the rows that cannot be read, of which the file is told and not the line. Nothing
    bounds how long a row is, or how far compressed text unpacks, but Spark's memory: read files that you trust.
    """
    for field in columns or ():
        checks.one_of("field", field, FIELDS)
    most_bad = checks.integer("max_bad_rows", max_bad_rows)
    named = [path] if isinstance(path, str | Path) else list(path)
    addresses = [_address(one) for one in named]
    name = ", ".join(Path(str(one)).name or str(one) for one in named)
    for place, one in enumerate(addresses):
        if any(f"{one}/".startswith(f"{other}/") for other in addresses[:place] + addresses[place + 1 :]):
            raise LogError(f"{named[place]} is read twice: it is named again, or in a folder that is named too")
    own = session.newSession()
    for setting, value in SETTINGS.items():
        own.conf.set(setting, value)
    with spark_errors(name):
        _know_s3(own, addresses)
        found = [(one, _kinds_of(own, one)) for one in addresses]
        parts = [_Files(name, own, place, one, kind) for place, (one, kinds) in enumerate(found) for kind in kinds]
        mapping = columns or {}
        present = list(dict.fromkeys(column for part in parts for column in part.present))
        names = field_names(name, present, mapping, all_fields=any(part.kind == "json" for part in parts))
        currency = currency_column(present)
        if currency is not None:
            _require_dollars(parts, currency, [names[field] for field in COSTS if field in names])
        read = reduce(lambda one, other: one.unionByName(other, True), [part.converted(names) for part in parts])
        rows = _complete(read, cached_apart=cached_apart)
        counts, rows = _without_bad(name, with_reasons(rows), most_bad)
        odd: tuple[str, ...] = ()
        if "request_id" in rows.columns:
            repeated, odd, rows = _without_repeated(rows)
            counts = replace(counts, repeated=repeated)
        notes = notes_on(present, names, cached_apart=cached_apart)
        files = sum(number for _, kinds in found for number in kinds.values())
        frame = rows.drop(BAD, *PLACE)
    return SparkLog(frame, COLUMNS_FORMAT.name, (*notes, *odd), replace(counts, files=files))


# Files


def _address(path: Path | str) -> str:
    """What Spark takes for a path, in which no character is a pattern."""
    text = str(path)
    if not SCHEME.match(text):
        whole = Path(text).resolve()
        whole.stat()
        text = f"file://{whole}"
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", text.rstrip("/"))


def _know_s3(session: SparkSession, addresses: Sequence[str]) -> None:
    """Let ``s3://`` be what Hadoop calls ``s3a://``, unless the cluster has its own meaning for it."""
    if any(one.startswith("s3://") for one in addresses):
        settings = session.sparkContext._jsc.hadoopConfiguration()
        if settings.get("fs.s3.impl") is None:
            settings.set("fs.s3.impl", "org.apache.hadoop.fs.s3a.S3AFileSystem")


def _kinds_of(session: SparkSession, address: str) -> dict[str, int]:
    """The kinds of the files at an address, and how many there are of each."""
    from pyspark.sql import functions as sql

    files = session.read.format("binaryFile").option("recursiveFileLookup", "true").load(address)
    ending = sql.regexp_extract(sql.lower("path"), f"({_either(FILE_KINDS)})({_either(COMPRESSED)})?$", 1)
    found = files.filter("length > 0").groupBy(ending.alias("ending")).count().collect()
    kinds: dict[str, int] = {}
    for row in found:
        if row["ending"]:
            kind = FILE_KINDS[row["ending"]]
            kinds[kind] = kinds.get(kind, 0) + row["count"]
    if "csv" in kinds:
        raise LogError(
            f"{address} has {kinds['csv']:,} files of CSV or TSV, which are not read on Spark: leave out --engine "
            "spark, or turn them into Parquet first, as duckdb -c \"COPY (FROM 'log.csv') TO 'log.parquet'\""
        )
    if not kinds:
        raise LogError(f"{address} has no Parquet files nor JSON lines that are not empty")
    return dict(sorted(kinds.items(), reverse=True))


def _either(endings: Iterator[str] | Sequence[str] | Mapping[str, str]) -> str:
    return "|".join(map(re.escape, endings))


@dataclass(frozen=True, slots=True)
class _Files:
    """Files of one kind at one address."""

    name: str
    session: SparkSession
    place: int
    address: str
    kind: str

    @property
    def _reader(self) -> Any:
        endings = [ending for ending, kind in FILE_KINDS.items() if kind == self.kind]
        any_case = ["".join(f"[{c}{c.upper()}]" if c.isalpha() else c for c in ending) for ending in endings]
        pattern = f"*{{{','.join(any_case)}}}{{,{','.join(COMPRESSED)}}}"
        return self.session.read.options(recursiveFileLookup="true", pathGlobFilter=pattern, mergeSchema="true")

    @property
    def present(self) -> tuple[str, ...]:
        """Names of the columns, or of the fields of the first JSON objects."""
        if self.kind == "parquet":
            return tuple(self._reader.parquet(self.address).columns)
        lines = self._reader.text(self.address).limit(KEYS_OF)
        found = lines.selectExpr("explode(json_object_keys(value)) AS name").collect()
        if not found:
            raise LogError(f"{self.name} cannot be read: it holds no JSON objects, a line each")
        return tuple(dict.fromkeys(row["name"] for row in found))

    def raw(self, wanted: Sequence[str]) -> DataFrame:
        """Columns as the files have them, JSON's as text, with the place of each row, and what is no row."""
        from pyspark.sql import functions as sql, types

        if self.kind == "parquet":
            rows = self._reader.parquet(self.address)
            block, row, bad = sql.lit(0).cast("bigint"), sql.col("_metadata.row_index"), []
        else:
            schema = types.StructType([types.StructField(name, types.StringType()) for name in [*wanted, BAD]])
            rows = self._reader.schema(schema).option("columnNameOfCorruptRecord", BAD).json(self.address)
            block, row = sql.col("_metadata.file_block_start"), sql.monotonically_increasing_id()
            nothing = reduce(lambda one, other: one & other, [_column(name).isNull() for name in wanted])
            no_row = sql.when(sql.col(BAD).isNotNull() | nothing, "no JSON, or without any of the columns")
            bad = [no_row.alias(BAD)]
        # Spark gives the path as a URI. In the order of paths a folder comes before what only begins like it.
        path = sql.url_decode(sql.replace(sql.col("_metadata.file_path"), sql.lit("+"), sql.lit("%2B")))
        file = sql.replace(path, sql.lit("/"), sql.lit("\x01"))
        places = (sql.lit(self.place), file, block, row)
        here = [_column(name) for name in wanted if name in rows.columns]
        placed: DataFrame = rows.select(
            *here, *(one.alias(name) for one, name in zip(places, PLACE, strict=True)), *bad
        )
        return placed

    def converted(self, names: Mapping[str, str]) -> DataFrame:
        """Our fields, strictly converted, with why a row cannot be read, and its place."""
        raw = self.raw([*names.values()])
        fields = {field: name for field, name in names.items() if name in raw.columns}
        types, beside = dict(raw.dtypes), [name for name in (*PLACE, BAD) if name in raw.columns]
        # Under our names first, which need no quoting.
        rows = raw.select(*(_column(name).alias(field) for field, name in fields.items()), *beside)
        typed = {f: sql for f, name in fields.items() if (sql := _typed(f, types[name], KINDS[f])) is not None}
        texts = [field for field in fields if field not in typed]
        # Step by step: Spark copies a long expression into each place of the next that names it, and plans for minutes.
        rows = _projected(rows, typed | {field: _told(field) for field in texts} | {name: name for name in beside})
        kept = {name: name for name in (*typed, *beside)}
        read = {f"{field}_read": _read(field, KINDS[field]) for field in texts}
        rows = _projected(rows, kept | {field: field for field in texts} | read)
        values = {f"{field}_value": _value(field, KINDS[field]) for field in texts}
        rows = _projected(rows, kept | {field: field for field in texts} | values)
        wrong = [_wrong(field, fields[field], KINDS[field]) for field in texts]
        reasons = ", ".join([*(name for name in beside if name == BAD), *wrong]) or "''"
        last = {field: f"{field}_value" for field in texts} | {name: name for name in (*typed, *PLACE)}
        return _projected(rows, last | {BAD: f"nullif(concat_ws('; ', {reasons}), '')"})


def _column(name: str) -> Any:
    """A column of any name."""
    from pyspark.sql import functions as sql

    quoted = name.replace("`", "``")
    return sql.col(f"`{quoted}`")


# Values, by SQL as in :mod:`conversion`, which says why


def _text(text: str) -> str:
    """A text as Spark's SQL takes it."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _typed(column: str, type_here: str, kind: Kind) -> str | None:
    """SQL of a column whose values have a type that stands for the kind, or that may be any text; else none."""
    if kind == "text":
        return column if type_here == "string" else f"CAST({column} AS STRING)"
    if type_here in ("float", "double") and kind != "time":
        return f"CASE WHEN {column} - {column} = 0 THEN CAST({column} AS DOUBLE) END"  # gaps may be NaN
    if type_here in (*INTEGERS, "float", "double") or type_here.startswith("decimal"):
        return f"CAST({column} AS {'BIGINT' if kind == 'whole' and type_here in INTEGERS else 'DOUBLE'})"
    if kind == "time" and type_here.startswith(("timestamp", "date")):
        return f"CAST(CAST({column} AS TIMESTAMP) AS DOUBLE)"
    return None


def _told(column: str) -> str:
    """The text of a value, null where it stands for none."""
    text = f"trim(CAST({column} AS STRING))"
    return f"CASE WHEN {text} NOT IN ({', '.join(map(_text, NOTHING))}) THEN {text} END"


def _read(text: str, kind: Kind) -> str:
    """The number that a text is, or the time; null where it is none."""
    number = f"CASE WHEN {text} RLIKE {_text(NUMBER)} THEN TRY_CAST({text} AS DOUBLE) END"
    if kind != "time":
        return number
    iso = f"CASE WHEN {text} RLIKE {_text(ISO_TIME)} THEN CAST(TRY_CAST({text} AS TIMESTAMP) AS DOUBLE) END"
    return f"coalesce({number}, {iso})"


def _value(text: str, kind: Kind) -> str:
    """What was read, where it is of the kind."""
    read = f"{text}_read"
    if kind == "whole":
        fits = f"{read} = floor({read}) AND abs({read}) < 9e18 AND NOT {text} RLIKE {_text(DOUBTFUL)}"
        return f"CASE WHEN {fits} THEN CAST({read} AS BIGINT) END"
    return f"CASE WHEN {read} - {read} = 0 THEN {read} END"


def _wrong(text: str, name: str, kind: Kind) -> str:
    """What is wrong with a value; null where nothing is."""
    told = f"concat({_text(name)}, ' ', chr(39), left({text}, 40), chr(39), {_text(f' is {NOT_A[kind]}')})"
    return f"CASE WHEN {text} IS NOT NULL AND {text}_value IS NULL THEN {told} END"


def _require_dollars(parts: Sequence[_Files], currency: str, costs: Sequence[str]) -> None:
    """As for DuckDB, part by part."""
    for part in parts:
        rows = part.raw([currency, *costs])
        told = [name for name in costs if name in rows.columns]
        if currency in rows.columns and told:
            plain = {currency: "currency"} | {name: f"cost_{place}" for place, name in enumerate(told)}
            texts = rows.select(*(_column(name).cast("string").alias(other) for name, other in plain.items()))
            other, example = other_currency_sql("currency", [plain[name] for name in told])
            ((count, one),) = texts.filter(other).selectExpr("count(*)", f"min({example})").collect()
            require_dollars(part.name, count, one)


# Rows


def _projected(rows: DataFrame, sql: Mapping[str, str]) -> DataFrame:
    return rows.selectExpr(*(f"{value} AS {name}" for name, value in sql.items()))


def _complete(rows: DataFrame, *, cached_apart: bool) -> DataFrame:
    """Our fields as the rows have them, with what may be null or left out."""
    hidden = {name: name for name in (*PLACE, BAD)}
    columns = {name: name for name in rows.columns if name not in hidden}
    fields = fields_sql(columns, cached_apart=cached_apart)
    if BAD in fields:
        hidden[BAD] = f"coalesce({BAD}, {fields[BAD]})"
    rows = _projected(rows, fields | hidden)
    rows = _projected(rows, defaults_sql(rows.columns))
    return in_micro_usd(_projected(rows, complete_sql(rows.columns)))


def _without_bad(name: str, rows: DataFrame, most: int) -> tuple[ReadCounts, DataFrame]:
    """How many rows there are and cannot be read, and the others."""
    ((number, bad_rows),) = rows.selectExpr("count(*)", f"count({BAD})").collect()
    if not bad_rows:
        return ReadCounts(number), rows
    bad = rows.filter(f"{BAD} IS NOT NULL").orderBy(*PLACE).limit(MAX_SHOWN).select(FILE, BAD).collect()
    first = tuple(BadRow(row[FILE].split("\x01")[-1], " ".join(row[BAD].split())) for row in bad)
    counts = ReadCounts(number, bad_rows=bad_rows, bad=first)
    if bad_rows > most:
        raise LogError(complaint(name, counts))
    return counts, rows.filter(f"{BAD} IS NULL")


def _without_repeated(rows: DataFrame) -> tuple[int, tuple[str, ...], DataFrame]:
    """How many rows tell a request again, what is odd about them, and the others."""
    from pyspark.sql import functions as sql

    same = ", ".join(SAME_REQUEST)
    ids = rows.filter("request_id <> ''").selectExpr("model", f"struct({same}) AS same").groupBy("same")
    groups = ids.agg(sql.count("*").alias("number"), sql.min("model").alias("one"), sql.max("model").alias("other"))
    ((repeated, odd),) = groups.selectExpr("sum(number - 1)", "count_if(one <> other)").collect()
    if not repeated:
        return 0, (), rows
    # What has no id is alone under its place.
    alone = f"CASE WHEN coalesce(request_id, '') = '' THEN struct({', '.join(PLACE)}) END"
    last = ", ".join(f"{name} DESC" for name in PLACE)
    rank = f"row_number() OVER (PARTITION BY {alone}, {same} ORDER BY {BEST_FIRST}, {last})"
    kept = rows.selectExpr("*", f"{rank} AS log_rank").filter("log_rank = 1").drop("log_rank")
    # Every figure reads them again; they are set apart once.
    return repeated, odd_ids(odd), kept.drop(BAD, *PLACE).persist()
