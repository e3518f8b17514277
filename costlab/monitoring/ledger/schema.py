"""The ledger's file."""

from typing import Final

from costlab._internal.sqlite import FileKind
from costlab.errors import LedgerError
from costlab.events import RequestEvent

__all__ = ["COLUMNS", "INSERT", "LEDGER", "NAMES", "PAGE", "SPAN", "TOTALS"]

#: Column and SQL type; the names are those of the event's fields, in their order.
COLUMNS: Final = {
    "request_id": "TEXT NOT NULL UNIQUE",
    "time_s": "REAL NOT NULL",
    "tier": "TEXT NOT NULL",
    "model": "TEXT NOT NULL",
    "input_tokens": "INTEGER NOT NULL",
    "cached_input_tokens": "INTEGER NOT NULL",
    "output_tokens": "INTEGER NOT NULL",
    "cost_micro_usd": "INTEGER",
    "latency_s": "REAL NOT NULL",
    "outcome": "TEXT NOT NULL",
    "tenant": "TEXT NOT NULL",
    "conversion_value_micro_usd": "INTEGER",
    "priority": "TEXT NOT NULL",
}
NAMES: Final = ", ".join(RequestEvent.field_names())

#: The triggers hold for every program that opens the file, not only for this one.
LEDGER: Final = FileKind(
    name="ledger",
    application_id=0x636C6C67,  # "cllg"
    version=1,
    schema=f"""
        CREATE TABLE events (seq INTEGER PRIMARY KEY, {", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())});
        CREATE INDEX events_time ON events (time_s);
        CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END;
        CREATE TRIGGER events_stand BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'a ledger is append-only'); END
    """,
    error=LedgerError,
)

INSERT: Final = f"""
    INSERT INTO events ({NAMES}) VALUES ({", ".join("?" for _ in COLUMNS)}) ON CONFLICT (request_id) DO NOTHING
"""  # noqa: S608
#: Where the events of a stretch of time lie; answered by the index alone.
SPAN: Final = "SELECT min(seq), max(seq) FROM events WHERE time_s >= ? AND time_s < ?"
PAGE: Final = f"""
    SELECT {NAMES}, seq FROM events WHERE seq >= ? AND seq <= ? AND time_s >= ? AND time_s < ? ORDER BY seq LIMIT ?
"""  # noqa: S608
TOTALS: Final = """
    SELECT count(*), count(*) - count(cost_micro_usd), ifnull(sum(cost_micro_usd), 0), ifnull(sum(input_tokens), 0),
           ifnull(sum(cached_input_tokens), 0), ifnull(sum(output_tokens), 0), count(conversion_value_micro_usd),
           ifnull(sum(conversion_value_micro_usd), 0), min(time_s), max(time_s)
    FROM events WHERE time_s >= ? AND time_s < ?
"""
