"""One call, one bill, whoever watched it: the calls behind spans and log records that tell of them more than once.

A call is told more than once where a framework and a client both watch it, where an agent adds up what it asked for,
where a collector delivers twice, and where a library writes a second record when a stream has ended. It is all found in
SQL, on tables that DuckDB keeps on disk: memory does not grow with the log, and the spans of a trace may lie as far
apart in it as they like.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from costlab.monitoring.importers.otel_usage import CALL, SUM, TOOL

if TYPE_CHECKING:
    import duckdb

#: The records of one call by different libraries overlap in time, or are no further apart than this.
SLACK_NS: Final = 1_000_000_000

#: What DuckDB may take of memory at most, in MB.
MOST_MB: Final = 1 << 16

#: This many spans of one call may be within one another.
MAX_DEPTH: Final = 32

#: What a record says of a call's use, which is taken from one record as a whole.
USE: Final = (
    "input", "output", "cached", "written", "written_1h", "audio", "cached_audio", "image", "reasoning",
    "audio_output", "image_output", "searches", "beside",
)  # fmt: skip

#: How much of it a record says.
_SCORE: Final = (
    "(8 * (input IS NOT NULL)::INT + 2 * (cached IS NOT NULL)::INT + (written IS NOT NULL)::INT "
    "+ (written_1h IS NOT NULL)::INT)"
)

#: Who called, or what for: calls that one span encloses; outside of spans, those of one service.
_CALLER: Final = "CASE WHEN w.parent IS NULL THEN hash(w.tenant) ELSE hash(w.trace, w.parent) END"

#: Whether a record may stand for a call: one itself, or a sum of them that tells their use.
_WATCHED: Final = f"(kind = {CALL} OR (kind = {SUM} AND input IS NOT NULL))"

#: This many spans are gone through together.
PART_ROWS: Final = 250_000

#: Whether a record stands for a call: no span that it encloses tells of the same better. What a tool asks a model for
#: while it runs is no part of the call that had it run.
_LEAF: Final = f"""CASE
    WHEN w.kind = {SUM} THEN NOT coalesce(e.told, false)
    WHEN w.input IS NOT NULL THEN NOT coalesce(e.told_itself, false)
    ELSE NOT coalesce(e.itself, false) END"""


@dataclass(frozen=True, slots=True)
class Calls:
    """How the records of a log were brought together.

    Attributes
    ----------
    repeated : int
        Records that tell of a call of which another one tells, too.
    delivered_twice : int
        Spans that the log holds once more.
    sums : int
        Spans that enclose a call, or add several up, and are not counted.
    """

    repeated: int
    delivered_twice: int
    sums: int


def find_calls(connection: duckdb.DuckDBPyConnection, limit_mb: int) -> Calls:
    """Make the table `calls` from the table `records`: a row a call, and in `requests` how many it stands for.

    The table `records` has the columns of ``otel_records.COLUMNS``, its ids `trace`, `span` and `parent` as numbers.
    `limit_mb` is what DuckDB may take of memory, which is raised where it is too little.
    """
    return _Finder(connection, limit_mb).calls()


class _Finder:
    def __init__(self, connection: duckdb.DuckDBPyConnection, limit_mb: int) -> None:
        self.connection, self.limit_mb = connection, limit_mb

    def run(self, sql: str) -> None:
        self.query(sql)

    def query(self, sql: str) -> list[tuple[object, ...]]:
        """What a query finds, with more memory where a trace of very many spans needs it."""
        import duckdb

        while True:
            try:
                return self.connection.execute(sql).fetchall()
            except duckdb.OutOfMemoryException:
                self.limit_mb *= 2
                if self.limit_mb > MOST_MB:
                    raise
                self.connection.execute(f"SET memory_limit = '{self.limit_mb}MB'")

    def number(self, sql: str) -> int:
        ((found,),) = self.query(sql)
        return int(str(found or 0))

    def any(self, table: str, where: str = "true") -> bool:
        return bool(self.query(f"SELECT 1 FROM {table} WHERE {where} LIMIT 1"))

    def calls(self) -> Calls:
        delivered_twice = self.deliver_once()
        self.run(f"CREATE VIEW watched AS FROM records WHERE {_WATCHED}")
        self.find_enclosing()
        covered = self.cover_mute()
        self.run(
            f"""CREATE TABLE leaf AS
            SELECT w.seq, {_CALLER} AS caller, CASE WHEN w.kind = {SUM} THEN c.calls ELSE w.calls END AS requests
            FROM watched w
            LEFT JOIN enclosing e ON e.trace = w.trace AND e.span = w.span
            LEFT JOIN (SELECT host, count(*) AS calls FROM covered GROUP BY host) c ON c.host = w.seq
            WHERE {_LEAF} AND w.seq NOT IN (SELECT seq FROM covered)"""
        )
        self.run(f"CREATE VIEW leaves AS SELECT *, {_SCORE} AS score FROM watched JOIN leaf USING (seq)")
        self.run("CREATE TABLE same (seq BIGINT, other BIGINT)")
        if self.number("SELECT count(*) FROM (SELECT DISTINCT producer FROM leaves LIMIT 2)") > 1:
            self.join_by_id()
            self.find_callers()
            self.join_by_use()
            self.join_mute()
        if self.any("watched", "half = 'log'"):
            self.join_halves()
        repeated = self.number("SELECT count(*) FROM same")
        sums = self.number("SELECT count(*) FROM watched") - self.number("SELECT count(*) FROM leaf") - covered
        self.join_enclosing()
        self.find_models()
        self.merge()
        return Calls(repeated + covered, delivered_twice, sums)

    def deliver_once(self) -> int:
        """Of the records of one span leave that which says most."""
        twice = "SELECT trace, span FROM records GROUP BY ALL HAVING count(*) > 1"
        if not self.query(f"{twice} LIMIT 1"):
            return 0
        return self.number(
            f"""DELETE FROM records WHERE seq IN (SELECT seq FROM (
                SELECT seq, row_number() OVER (
                    PARTITION BY trace, span
                    ORDER BY kind DESC, {_SCORE} DESC, cost DESC NULLS LAST, end_ns DESC NULLS LAST, seq DESC
                ) AS place
                FROM records SEMI JOIN ({twice}) USING (trace, span)
            ) WHERE place > 1)"""
        )

    def find_enclosing(self) -> None:
        """Which spans enclose calls, at whatever depth, of them such that tell their use, and which by a tool's run.

        What a recursive query has found it keeps in memory, so that the traces are gone through in parts.
        """
        self.run("CREATE TABLE enclosing (trace UBIGINT, span UBIGINT, told BOOL, told_itself BOOL, itself BOOL)")
        parts = self.number("SELECT count(*) FROM records") // PART_ROWS + 1
        for part in range(parts):
            self.run(
                f"""CREATE TABLE part AS SELECT trace, span, parent, kind = {TOOL} AS tool,
                    CASE WHEN {_WATCHED} THEN input IS NOT NULL END AS told
                FROM records WHERE parent IS NOT NULL AND trace % {parts} = {part}"""
            )
            self.run(
                """INSERT INTO enclosing
                WITH RECURSIVE climb(trace, span, told, by_tool) AS (
                    SELECT trace, parent, told, false FROM part WHERE told IS NOT NULL
                    UNION
                    SELECT p.trace, p.parent, c.told, c.by_tool OR p.tool
                    FROM climb c JOIN part p ON p.trace = c.trace AND p.span = c.span
                )
                SELECT trace, span, bool_or(told), bool_or(told AND NOT by_tool), bool_or(NOT by_tool)
                FROM climb GROUP BY trace, span"""
            )
            self.run("DROP TABLE part")

    def cover_mute(self) -> int:
        """Find the calls that do not tell their use where a span around them does: a framework's, or an agent's."""
        self.run("CREATE TABLE covered (seq BIGINT, host BIGINT)")
        self.run(
            f"""CREATE TABLE hosts AS
            SELECT w.trace, w.span, w.seq
            FROM watched w JOIN enclosing e ON e.trace = w.trace AND e.span = w.span
            WHERE w.input IS NOT NULL AND e.itself AND {_LEAF}"""
        )
        if self.any("hosts"):
            mute = f"""SELECT w.seq, w.trace, w.parent FROM watched w
                LEFT JOIN enclosing e ON e.trace = w.trace AND e.span = w.span
                WHERE w.input IS NULL AND w.outcome = 'ok' AND w.parent IS NOT NULL AND {_LEAF}"""
            self.run(f"INSERT INTO covered SELECT seq, host FROM ({self.nearest_host(mute)})")
        self.run("DROP TABLE hosts")
        return self.number("SELECT count(*) FROM covered")

    def nearest_host(self, start: str) -> str:
        """SQL for the nearest span of the table `hosts` around each record: `seq` and `host`."""
        return f"""WITH RECURSIVE up(seq, trace, span) AS (
                {start}
                UNION
                SELECT u.seq, p.trace, p.parent
                FROM up u JOIN records p ON p.trace = u.trace AND p.span = u.span
                ANTI JOIN hosts h ON h.trace = u.trace AND h.span = u.span
                WHERE p.parent IS NOT NULL
            )
            SELECT u.seq, h.seq AS host FROM up u JOIN hosts h ON h.trace = u.trace AND h.span = u.span"""

    def join(self, sql: str) -> None:
        """Note which records tell of one call: `seq` of that which stands for it, and `other`."""
        self.run(f"CREATE TABLE more AS {sql}")
        self.run("UPDATE same SET seq = more.seq FROM more WHERE same.seq = more.other")
        self.run("INSERT INTO same SELECT seq, other FROM more")
        self.run("DROP TABLE more")

    def join_by_id(self) -> None:
        """Records of one answer by different libraries, which have its id in common."""
        self.join(
            f"""WITH one AS (
                SELECT seq, response_id, producer, start_ns, end_ns, score FROM leaves WHERE response_id IS NOT NULL
            ), near AS (
                SELECT *, max(end_ns) OVER (
                    PARTITION BY response_id ORDER BY start_ns, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before
                FROM one SEMI JOIN (
                    SELECT response_id FROM one GROUP BY response_id HAVING min(producer) <> max(producer)
                ) USING (response_id)
            ), island AS (
                SELECT *, count(*) FILTER (before IS NULL OR start_ns > before + {SLACK_NS})
                    OVER (PARTITION BY response_id ORDER BY start_ns, seq) AS island
                FROM near
            ), best AS (
                SELECT *, first_value(seq) OVER best AS first, first_value(producer) OVER best AS first_producer
                FROM island WINDOW best AS (PARTITION BY response_id, island ORDER BY score DESC, seq)
            )
            SELECT first AS seq, seq AS other FROM best WHERE producer <> first_producer"""
        )

    def find_callers(self) -> None:
        """Who called is who called the outermost of spans that are all of one call: a client's within a framework's."""
        inner = f"kind = {CALL} AND seq NOT IN (SELECT seq FROM leaf)"
        if not self.any("watched", inner):
            return
        self.run(
            f"""UPDATE leaf SET caller = {_CALLER.replace("w.", "outer_call.")}
            FROM (
                WITH RECURSIVE up(seq, trace, span, depth) AS (
                    SELECT seq, trace, parent, 1 FROM leaves WHERE parent IS NOT NULL
                    UNION ALL
                    SELECT u.seq, p.trace, p.parent, u.depth + 1
                    FROM up u JOIN records p ON p.trace = u.trace AND p.span = u.span
                    WHERE p.parent IS NOT NULL AND p.kind NOT IN ({TOOL}, {SUM}) AND u.depth < {MAX_DEPTH}
                )
                SELECT u.seq, arg_max(struct_pack(trace := f.trace, parent := f.parent, tenant := f.tenant), depth) AS f
                FROM up u JOIN (FROM watched WHERE {inner}) f ON f.trace = u.trace AND f.span = u.span GROUP BY u.seq
            ) found, LATERAL (SELECT found.f.trace, found.f.parent, found.f.tenant) outer_call
            WHERE found.seq = leaf.seq"""
        )

    def join_by_use(self) -> None:
        """Records by different libraries of calls that overlap, with one caller, one model and the same use.

        In each stretch of overlapping calls there were as many as the library saw that saw most.
        """
        group = "caller, family, tokens_in, tokens_out"
        self.join(
            f"""WITH one AS (
                SELECT seq, caller, family, coalesce(input, -1) AS tokens_in, coalesce(output, -1) AS tokens_out,
                    producer, response_id, start_ns, end_ns, score
                FROM leaves WHERE outcome IN ('ok', 'cached') AND seq NOT IN (SELECT other FROM same)
            ), near AS (
                SELECT *, max(end_ns) OVER (
                    PARTITION BY {group} ORDER BY start_ns, seq ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ) AS before
                FROM one SEMI JOIN (
                    SELECT {group} FROM one GROUP BY ALL HAVING min(producer) <> max(producer)
                ) USING ({group})
            ), island AS (
                SELECT *, count(*) FILTER (before IS NULL OR start_ns > before)
                    OVER (PARTITION BY {group} ORDER BY start_ns, seq) AS island
                FROM near
            ), placed AS (
                SELECT *, row_number() OVER (PARTITION BY {group}, island, producer ORDER BY start_ns, seq) AS place
                FROM island
            ), saw AS (
                SELECT {group}, island, producer, count(*) AS calls, count(response_id) AS ids, max(score) AS most
                FROM placed GROUP BY {group}, island, producer
                QUALIFY row_number() OVER (
                    PARTITION BY {group}, island ORDER BY calls DESC, ids DESC, most DESC, producer
                ) = 1
            )
            SELECT kept.seq, lost.seq AS other
            FROM placed lost
            JOIN saw USING ({group}, island)
            JOIN placed kept ON kept.producer = saw.producer AND kept.island = lost.island
                AND kept.caller = lost.caller AND kept.family = lost.family AND kept.tokens_in = lost.tokens_in
                AND kept.tokens_out = lost.tokens_out AND kept.place = least(lost.place, saw.calls)
            WHERE lost.producer <> saw.producer AND (lost.response_id IS NULL OR saw.ids = 0)"""
        )

    def join_mute(self) -> None:
        """Records that tell no use, around or within one by another library that does, of the same caller and model."""
        self.join(
            """WITH one AS (
                SELECT * FROM leaves
                WHERE outcome = 'ok' AND parent IS NOT NULL AND seq NOT IN (SELECT other FROM same)
            ), pair AS (
                SELECT t.seq, m.seq AS other, t.start_ns
                FROM one m JOIN one t ON t.caller = m.caller AND t.family = m.family AND t.producer <> m.producer
                    AND least(m.end_ns, t.end_ns) - greatest(m.start_ns, t.start_ns)
                        >= least(m.end_ns - m.start_ns, t.end_ns - t.start_ns)
                    AND (m.response_id IS NULL OR t.response_id IS NULL)
                WHERE m.input IS NULL AND t.input IS NOT NULL
                QUALIFY row_number() OVER (PARTITION BY m.seq ORDER BY t.start_ns, t.seq) = 1
            )
            SELECT seq, other FROM pair QUALIFY row_number() OVER (PARTITION BY seq ORDER BY other) = 1"""
        )

    def join_halves(self) -> None:
        """The span of a stream that Logfire ends when the answer begins, and the record it writes when that has ended.

        They need not be of one trace; what they have in common is the process, the request and the order.
        """
        self.join(
            """WITH half AS (
                SELECT seq, caller, family, pair, half, row_number() OVER (
                    PARTITION BY caller, pair, half ORDER BY end_ns, seq
                ) AS place
                FROM leaves
                WHERE (half = 'log' OR (half = 'span' AND input IS NULL)) AND outcome = 'ok'
                    AND seq NOT IN (SELECT other FROM same)
            )
            SELECT l.seq, s.seq AS other
            FROM half l JOIN half s ON s.caller = l.caller AND s.pair = l.pair AND s.place = l.place
            WHERE l.half = 'log' AND s.half = 'span'"""
        )

    def join_enclosing(self) -> None:
        """What a framework's span tells of the one call that it encloses: its cost, or that there was none."""
        self.run("CREATE TABLE told (seq BIGINT, other BIGINT)")
        self.run(
            f"""CREATE TABLE hosts AS
            SELECT trace, span, seq FROM watched
            WHERE kind = {CALL} AND (cost IS NOT NULL OR outcome = 'cached') AND seq NOT IN (SELECT seq FROM leaf)
                AND seq NOT IN (SELECT seq FROM covered)"""
        )
        if self.any("hosts") and self.any("leaves", "cost IS NULL AND input IS NOT NULL"):
            start = "SELECT seq, trace, parent FROM leaves WHERE input IS NOT NULL AND parent IS NOT NULL"
            self.run(
                f"""INSERT INTO told
                SELECT min(seq), host FROM ({self.nearest_host(start)}) GROUP BY host HAVING count(*) = 1"""
            )
        self.run("DROP TABLE hosts")

    def merge(self) -> None:
        """The calls, with what other records of each say better."""
        if not self.any("same") and not self.any("told") and not self.any("leaf", "requests > 1"):
            # Nothing to join: what is no call goes, and the rest stays where it is.
            self.run("DELETE FROM records WHERE seq NOT IN (SELECT seq FROM leaf)")
            self.run("CREATE VIEW calls AS SELECT *, 1 AS requests FROM records")
            return
        use = ", ".join(f"{name} := {name}" for name in USE)
        better = ", ".join(f"CASE WHEN o.score > l.score THEN o.use.{name} ELSE l.{name} END AS {name}" for name in USE)
        self.run(
            f"""CREATE TABLE calls AS
            SELECT l.* REPLACE (
                {better},
                coalesce(l.cost, o.cost) AS cost,
                CASE WHEN o.cached THEN 'cached' ELSE l.outcome END AS outcome,
                coalesce(l.response_id, o.response_id) AS response_id,
                coalesce(l.service_tier, o.service_tier) AS service_tier,
                CASE WHEN l.provider = '' THEN coalesce(o.provider, '') ELSE l.provider END AS provider,
                coalesce(l.requests, 1) AS requests
            )
            FROM leaves l LEFT JOIN (
                SELECT one.seq, arg_max(struct_pack({use}), {_SCORE}) AS use, max({_SCORE}) AS score, max(cost) AS cost,
                    bool_or(outcome = 'cached') AS cached, max(response_id) AS response_id,
                    max(service_tier) AS service_tier, max(nullif(provider, '')) AS provider
                FROM (FROM same UNION ALL FROM told) one JOIN records ON records.seq = one.other
                GROUP BY one.seq
            ) o ON o.seq = l.seq
            WHERE l.seq NOT IN (SELECT other FROM same)"""
        )

    def find_models(self) -> None:
        """Name the model of calls that do not, after the nearest span around them that does."""
        if not self.any("watched", "model = 'unknown' AND parent IS NOT NULL"):
            return
        self.run("CREATE TABLE hosts AS SELECT trace, span, seq FROM watched WHERE model <> 'unknown'")
        start = "SELECT seq, trace, parent FROM leaves WHERE model = 'unknown' AND parent IS NOT NULL"
        self.run(
            f"""UPDATE records SET model = named.model, tier = named.model,
                provider = CASE WHEN records.provider = '' THEN named.provider ELSE records.provider END
            FROM (SELECT found.seq, r.model, r.provider FROM ({self.nearest_host(start)}) found
                  JOIN records r ON r.seq = found.host) named
            WHERE named.seq = records.seq"""
        )
        self.run("DROP TABLE hosts")
