"""The ledger's promises: nothing acknowledged is lost, nothing is written twice, no file of others is touched."""

import importlib.util
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from costlab.errors import InvalidValueError, LedgerError
from costlab.events import COLUMNS, Hooks, RequestEvent
from costlab.monitoring import Ledger, aggregate, open_log, row_count
from tests import needs

#: Writes events of one micro-dollar until it is killed, and says after each flush how many are acknowledged.
WRITER = """
import sys
from costlab.events import RequestEvent
from costlab.monitoring import Ledger

path, name, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
ledger = Ledger(path, batch_size=batch, flush_every_s=None, timeout_s=30)
number = 0
while True:
    for number in range(number, number + batch - 1):
        ledger.append(RequestEvent(request_id=f"{name}-{number}", time_s=float(number), tier="t", model="m",
                                   input_tokens=1, output_tokens=1, cost_micro_usd=1, latency_s=0.1, outcome="ok"))
    ledger.flush()
    number += 1
    print(number, flush=True)
"""


def event(number: int = 1, **changes: Any) -> RequestEvent:
    fields: dict[str, Any] = {
        "request_id": f"r-{number}",
        "time_s": float(number),
        "tier": "small",
        "model": "gpt-4o-mini",
        "input_tokens": 1200,
        "cached_input_tokens": 1000,
        "output_tokens": 80,
        "cost_micro_usd": 153,
        "latency_s": 0.4,
        "outcome": "ok",
    }
    return RequestEvent(**fields | changes)


def closed_ledger(path: Path, rows: int = 500) -> Path:
    with Ledger(path) as ledger:
        for number in range(rows):
            ledger.append(event(number))
    return path


def test_what_was_flushed_is_read_by_others_just_as_it_was(tmp_path: Path) -> None:
    events = [event(1, tenant="acme"), event(2, cost_micro_usd=None, conversion_value_micro_usd=9), event(3)]
    writer = Ledger(tmp_path / "ledger", flush_every_s=None)
    for one in events:
        writer.append(one)
    assert writer.pending == 3
    writer.flush()
    with Ledger(tmp_path / "ledger", create=False) as reader:
        assert list(reader.events()) == events
    writer.close()


def test_totals_are_exact_and_leave_unpriced_requests_out(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for number in range(10):
            ledger.append(event(number, cost_micro_usd=2**50 + number))
        ledger.append(event(10, cost_micro_usd=None))
        totals = ledger.totals()
        assert totals.cost_micro_usd == 10 * 2**50 + 45  # in floating point the 45 would be partly lost
        assert (totals.requests, totals.unpriced_requests) == (11, 1)
        assert totals.unpriced_fraction == pytest.approx(1 / 11)
        assert totals.input_tokens == 11 * 1200
        assert (totals.first_time_s, totals.last_time_s) == (0.0, 10.0)
        assert ledger.totals(2, 4).requests == 2
        assert [e.request_id for e in ledger.events(2, 4)] == ["r-2", "r-3"]
        empty = ledger.totals(100, 200)
        assert (empty.requests, empty.cost_micro_usd, empty.unpriced_fraction) == (0, 0, 0.0)


def test_events_come_in_the_order_of_writing_through_all_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("costlab.monitoring.ledger.PAGE_ROWS", 7)
    numbers = random.Random(1).sample(range(100), 100)
    with Ledger(tmp_path / "ledger") as ledger:
        for number in numbers:
            ledger.append(event(number))
        assert [e.request_id for e in ledger.events()] == [f"r-{n}" for n in numbers]
        assert [e.request_id for e in ledger.events(20, 60)] == [f"r-{n}" for n in numbers if 20 <= n < 60]


def test_the_same_event_again_is_counted_and_written_once(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        for _ in range(3):
            ledger.append(event(1))
            ledger.append(event(1))
            ledger.flush()
        assert (ledger.totals().requests, ledger.duplicates, ledger.conflicts) == (1, 5, 0)


def test_another_event_under_the_same_id_is_refused_and_the_first_stands(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger") as ledger:
        ledger.append(event(1))
        ledger.append(event(1, cost_micro_usd=999))
        ledger.append(event(2))
        with pytest.raises(LedgerError, match="request id 'r-1' is in ledger with other values"):
            ledger.flush()
        assert list(ledger.events()) == [event(1), event(2)]
        assert (ledger.conflicts, ledger.failures, ledger.pending) == (1, 1, 0)


def test_the_file_itself_refuses_changes(tmp_path: Path) -> None:
    with sqlite3.connect(closed_ledger(tmp_path / "ledger", 3)) as other:
        for change in ("DELETE FROM events", "UPDATE events SET cost_micro_usd = 0"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                other.execute(change)
    other.close()


def test_a_thread_writes_what_waits(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", flush_every_s=0.01) as ledger:
        ledger.append(event())
        ends = time.monotonic() + 5
        while ledger.pending:
            assert time.monotonic() < ends
            time.sleep(0.005)


def test_many_threads_share_a_ledger(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", batch_size=16) as ledger, ThreadPoolExecutor(8) as pool:
        list(pool.map(ledger.append, map(event, range(2000))))
        ledger.flush()
        assert ledger.totals().requests == 2000


def test_what_cannot_be_written_waits_and_is_written_later(tmp_path: Path) -> None:
    path = closed_ledger(tmp_path / "ledger", 0)
    ledger = Ledger(path, batch_size=2, max_pending=4, timeout_s=0.01, flush_every_s=None)
    hooks = Hooks([ledger.append])
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    for number in range(5):
        hooks.emit(event(number))
    # The second and the fourth filled a batch that could not be written; the fifth found no room.
    assert (ledger.pending, hooks.failures, ledger.failures) == (4, 3, 2)
    assert "locked" in str(ledger.last_error)
    with pytest.raises(LedgerError, match="could not be written: database is locked"):
        ledger.close()
    blocker.execute("ROLLBACK")
    blocker.close()
    ledger.close()
    with Ledger(path) as again:
        assert [e.request_id for e in again.events()] == ["r-0", "r-1", "r-2", "r-3"]


def unchecked(number: int, **values: Any) -> RequestEvent:
    """An event that its constructor would refuse."""
    made = event(number)
    for name, value in values.items():
        object.__setattr__(made, name, value)
    return made


#: Text that SQLite cannot encode, numbers that it cannot hold, values of no column's type, none where one is needed.
UNFIT: list[dict[str, Any]] = [
    {"model": "a\ud800"}, {"input_tokens": 2**70}, {"tier": object()}, {"outcome": None}, {"cost_micro_usd": 1j},
]  # fmt: skip


@pytest.mark.parametrize("values", UNFIT, ids=lambda values: next(iter(values)))
def test_an_event_that_no_file_can_hold_is_left_out_alone(tmp_path: Path, values: dict[str, Any]) -> None:
    with Ledger(tmp_path / "ledger", flush_every_s=None) as ledger:
        for number in range(251):
            ledger.append(unchecked(number, **values) if number in (100, 200) else event(number))
        with pytest.raises(LedgerError, match=r"2 of the events were left out, as ledger cannot hold them.* 'r-100': "):
            ledger.flush()
        assert (ledger.pending, ledger.rejected, ledger.failures) == (0, 2, 1)
        assert [one.request_id for one in ledger.events()] == [f"r-{n}" for n in range(251) if n not in (100, 200)]
        ledger.verify()


def test_the_thread_outlives_an_event_that_no_file_can_hold(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", flush_every_s=0.01) as ledger:
        for number in range(20):
            ledger.append(unchecked(number, tenant="\udfff") if number % 5 == 0 else event(number))
            ends = time.monotonic() + 5
            while ledger.pending:
                assert time.monotonic() < ends
                time.sleep(0.002)
        assert ledger.totals().requests == 16
        assert (ledger.rejected, ledger.failures) == (4, 4)
        assert "ledger cannot hold them" in str(ledger.last_error)


@pytest.mark.parametrize(
    "error", [RuntimeError("odd"), MemoryError(), sqlite3.DatabaseError("malformed"), KeyboardInterrupt()], ids=repr
)
def test_whatever_goes_wrong_a_batch_goes_on_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(_: object) -> Any:
        raise error

    with Ledger(tmp_path / "ledger", flush_every_s=None) as ledger:
        for number in range(3):
            ledger.append(event(number))
        with monkeypatch.context() as patch:
            patch.setattr(ledger, "_write", broken)
            with pytest.raises((LedgerError, KeyboardInterrupt)):
                ledger.flush()
        assert (ledger.pending, ledger.rejected) == (3, 0)
        assert ledger.totals().requests == 3


def test_two_huge_counts_of_before_do_not_spoil_the_sums(tmp_path: Path) -> None:
    path = first_ledger(tmp_path / "old", 3)
    most = 2**63 - 1  # the first ledgers took what SQLite takes
    with sqlite3.connect(path) as old:
        for number in (7, 8):
            old.execute(
                f"INSERT INTO events ({', '.join(list(COLUMNS)[:13])}) VALUES "
                f"('r-{number}', {number}.0, 'small', 'm', {most}, 0, 80, {most}, 0.4, 'ok', '', NULL, 'standard')"
            )
    old.close()
    with Ledger(path) as ledger:
        ledger.append(event(9))
        totals = ledger.totals()
        assert (totals.input_tokens, totals.cost_micro_usd) == (2 * most + 4 * 1200, 2 * most + 4 * 153)
        assert (totals.output_tokens, totals.requests) == (6 * 80, 6)
        given: list[RequestEvent] = []
        with pytest.raises(LedgerError, match="rows that are no events: 2, the first of request 'r-7' in old: input_t"):
            given.extend(ledger.events())
        assert [number for number, one in ledger.events_after(2) if isinstance(one, LedgerError)] == [4, 5]
        assert [one.request_id for one in ledger.events(8.5)] == ["r-9"]


def test_text_of_other_programs_that_is_not_utf8_is_read_with_question_marks(tmp_path: Path) -> None:
    path = closed_ledger(tmp_path / "ledger", 3)
    values = "'x', 3.0, 'small', CAST(x'61ff' AS TEXT), 1, 0, 1, 1, 0.4, 'ok', '', NULL, 'standard'"
    with sqlite3.connect(path) as other:
        rest = ", ".join(repr(column.default) for column in list(COLUMNS.values())[13:]).replace("None", "NULL")
        other.execute(f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES ({values}, {rest})")
    other.close()
    with Ledger(path) as ledger:
        assert [one.model for one in ledger.events()] == [*["gpt-4o-mini"] * 3, "a\ufffd"]


def copy_of(path: Path, folder: Path) -> Path:
    """A ledger as a killed process leaves it: with its write-ahead log, and without the memory that writers share."""
    folder.mkdir()
    for name in (path.name, f"{path.name}-wal", f"{path.name}-rows"):
        if (path.parent / name).exists():
            shutil.copy(path.parent / name, folder / name)
    return folder / path.name


def spoil_log(path: Path) -> None:
    """One bit of the write-ahead log, a little after the middle."""
    log = path.with_name(path.name + "-wal")
    content = bytearray(log.read_bytes())
    content[len(content) * 5 // 8] ^= 1
    log.write_bytes(content)


def test_events_that_went_with_a_damaged_log_are_noticed(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger", flush_every_s=None) as ledger:
        for number in range(300):
            ledger.append(event(number))
            if number % 10 == 9:
                ledger.flush()
        whole, damaged = (copy_of(ledger.path, tmp_path / name) for name in ("whole", "damaged"))
    with Ledger(whole) as ledger:
        ledger.verify()
    spoil_log(damaged)
    with Ledger(damaged, flush_every_s=None) as ledger:
        lost = 300 - ledger.totals().requests
        assert 0 < lost < 300  # SQLite says nothing of it
        with pytest.raises(LedgerError, match=f"ledger has lost {lost} events that were written to it"):
            ledger.verify()
        for number in range(1000, 1600):  # as many as went, and more: the loss is not forgotten
            ledger.append(event(number))
        ledger.flush()
        assert (ledger.failures, ledger.pending) == (1, 0)
        assert f"has lost {lost} events" in str(ledger.last_error)
    with Ledger(damaged) as ledger:
        ledger.append(event(2000))
        ledger.flush()
        assert ledger.failures == 0  # told once
        with pytest.raises(LedgerError, match=f"ledger has lost {lost} events that were written to it"):
            ledger.verify()


def test_a_ledger_of_before_has_no_count_until_it_is_written_to(tmp_path: Path) -> None:
    path = first_ledger(tmp_path / "old", 5)
    with Ledger(path) as ledger:
        ledger.verify()
        assert not (tmp_path / "old-rows").exists()
        ledger.append(event(9))
        ledger.flush()
        assert (tmp_path / "old-rows").read_text().split() == ["6", "rows", "0", "rows"]
        ledger.verify()


@pytest.mark.parametrize("content", [b"", b"12", b"\xff" * 60, b"many rows\n"], ids=repr)
def test_a_torn_count_is_none_and_no_obstacle(tmp_path: Path, content: bytes) -> None:
    path = closed_ledger(tmp_path / "ledger", 3)
    count = tmp_path / "ledger-rows"
    assert count.stat().st_mode == path.stat().st_mode
    count.write_bytes(content)
    with Ledger(path) as ledger:
        ledger.verify()
        ledger.append(event(9))
        ledger.flush()
        ledger.verify()
    assert count.read_bytes().split()[0] == b"4"


@pytest.mark.parametrize("windows", [False, True])
def test_count_beside_a_ledger_begins_with_what_two_writers_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, windows: bool
) -> None:
    if windows:  # where a file cannot be read and written at a place in one step
        monkeypatch.setattr(row_count, "_read_at", row_count._seek_and_read)
        monkeypatch.setattr(row_count, "_write_at", row_count._seek_and_write)
    (tmp_path / "ledger").touch()
    one, other = (row_count.RowCount(tmp_path / "ledger") for _ in range(2))
    one.note(3)
    assert [one.check(3), other.check(3)] == [0, 0]
    other.note(5)
    one.note(4)  # was committed first, and noted last
    assert (one.read().written, one.check(5), other.check(5)) == (5, 0, 0)
    assert (one.check(2), other.check(2)) == (3, 0)  # told once
    assert one.read() == row_count.KnownRows(written=2, lost=3)
    one.close()
    other.close()


def test_a_loss_of_what_another_wrote_is_found_one_batch_later(tmp_path: Path) -> None:
    """A writer that was the last to note does not look again: what others noted since is kept, and looked at next."""
    tmp_path.joinpath("ledger").touch()
    one, other = (row_count.RowCount(tmp_path / "ledger") for _ in range(2))
    one.note(10)
    other.note(15)
    assert one.check(10) == 0  # as far as it knows, nothing happened
    one.note(11)
    assert one.read() == row_count.KnownRows(15, 0)
    assert one.check(11) == 4
    assert one.read() == row_count.KnownRows(11, 4)
    one.close()
    other.close()


def test_a_ledger_whose_count_cannot_be_written_does_without(tmp_path: Path) -> None:
    (tmp_path / "ledger-rows").mkdir()
    with Ledger(closed_ledger(tmp_path / "ledger", 3)) as ledger:
        ledger.verify()
        assert (ledger.totals().requests, ledger.failures) == (3, 0)


def test_a_closed_ledger_says_so(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger")
    ledger.close()
    ledger.close()
    for use in (lambda: ledger.append(event()), ledger.flush, ledger.totals, lambda: list(ledger.events())):
        with pytest.raises(LedgerError, match="the ledger ledger is closed"):
            use()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_ledger_is_not_taken_through_a_fork(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger", flush_every_s=None)
    child = os.fork()
    if child == 0:
        try:
            ledger.append(event())
        except LedgerError as error:
            os._exit(42 if "before a fork" in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    ledger.close()


@pytest.mark.parametrize(
    "arguments", [{"batch_size": 0}, {"flush_every_s": 0}, {"max_pending": 10}, {"timeout_s": -1}], ids=str
)
def test_arguments_are_checked(tmp_path: Path, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValueError, match=f"{next(iter(arguments))} must be"):
        Ledger(tmp_path / "ledger", **arguments)
    assert not (tmp_path / "ledger").exists()


def as_json(path: Path) -> None:
    path.write_text('{"requests": 1}' * 20)


def as_other_database(path: Path) -> None:
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE events (request_id TEXT)")
    other.close()


def as_newer(path: Path) -> None:
    with sqlite3.connect(closed_ledger(path)) as ledger:
        ledger.execute("PRAGMA user_version = 3")
    ledger.close()


def as_empty(path: Path) -> None:
    path.touch()


def as_short_header(path: Path) -> None:
    path.write_bytes(closed_ledger(path).read_bytes()[:60])


def as_half(path: Path) -> None:
    path.write_bytes(closed_ledger(path).read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (as_json, "ledger is no ledger, but another program's file"),
        (as_other_database, "ledger is no ledger, but another program's file"),
        (as_newer, r"ledger was written by a newer costlab \(version 3, this one knows 2\)"),
        (as_empty, "ledger is a torn ledger: it ends after 0 bytes"),
        (as_short_header, "ledger is a torn ledger: it ends after 60 bytes"),
        (as_half, r"ledger is a torn ledger: \d+ bytes of \d+; restore it"),
    ],
)
def test_a_file_that_is_no_whole_ledger_is_refused_and_left_as_it_is(tmp_path: Path, spoil: Any, message: str) -> None:
    path = tmp_path / "ledger"
    spoil(path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    with pytest.raises(LedgerError, match=message):
        Ledger(path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_files_of_any_content_and_length_are_refused_in_a_line(tmp_path: Path) -> None:
    rng = random.Random(18)
    header = closed_ledger(tmp_path / "whole", 3).read_bytes()[:100]
    for _ in range(600):
        start = header[: rng.randrange(101)] if rng.random() < 0.5 else b""
        content = bytearray(start + rng.randbytes(rng.choice([0, 1, 15, 16, 40, 99, 100, 4096])))
        if content and rng.random() < 0.3:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
        path = tmp_path / "ledger"
        path.write_bytes(content)
        with pytest.raises(LedgerError) as caught:
            Ledger(path, flush_every_s=None)
        assert "\n" not in str(caught.value)
        assert "ledger" in str(caught.value)


@pytest.mark.parametrize("make", [Path.mkdir, getattr(os, "mkfifo", None)], ids=["folder", "pipe"])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path: Path, make: Any) -> None:
    if make is None:
        pytest.skip("this system has no pipes with names")
    make(tmp_path / "ledger")
    with pytest.raises(LedgerError, match="ledger is no ledger, but a folder or a device"):
        Ledger(tmp_path / "ledger")


def test_a_damaged_page_is_found_by_verify(tmp_path: Path) -> None:
    path = closed_ledger(tmp_path / "ledger", 2000)
    with Ledger(path) as ledger:
        ledger.verify()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096] = os.urandom(4096)
    path.write_bytes(content)
    with Ledger(path) as ledger, pytest.raises(LedgerError, match=r"ledger (is damaged|could not be read)"):
        ledger.verify()


def test_a_missing_file_is_made_only_when_asked(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="there is no ledger at"):
        Ledger(tmp_path / "ledger", create=False)
    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path / "no" / "folder" / "ledger")


def test_processes_that_start_together_make_one_file(tmp_path: Path) -> None:
    ledgers: list[Ledger] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        ledgers.append(Ledger(tmp_path / "ledger", flush_every_s=None))

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(start) for _ in range(8)]:
            future.result()
    for number, ledger in enumerate(ledgers):
        ledger.append(event(number))
        ledger.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", "ledger-rows"]
    with Ledger(tmp_path / "ledger") as ledger:
        assert ledger.totals().requests == 8


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_nothing_acknowledged_is_lost_when_writers_are_killed(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    rng = random.Random(8)
    acknowledged: Counter[str] = Counter()
    for round_ in range(3):
        writers = {
            f"w{round_}{number}": subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), f"w{round_}{number}", str(rng.choice([2, 9, 65]))],
                stdout=subprocess.PIPE, text=True,
            )
            for number in range(4)
        }  # fmt: skip
        for writer in writers.values():
            assert writer.stdout is not None
            assert writer.stdout.readline()  # it writes
        time.sleep(rng.uniform(0.1, 0.4))
        for name, writer in writers.items():
            writer.send_signal(signal.SIGKILL)
            said = writer.communicate()[0].splitlines()
            # The last line may be torn; the one before is whole, and each is an acknowledgement.
            acknowledged[name] = int(said[-2]) if len(said) > 1 else 1
    with Ledger(path) as ledger:
        ledger.verify()
        written: Counter[str] = Counter()
        for one in ledger.events():
            name, _, number = one.request_id.partition("-")
            assert int(number) == written[name]  # every one before it is there too
            written[name] += 1
        assert sum(written.values()) == ledger.totals().cost_micro_usd
    assert len(written) == 12
    for name, least in acknowledged.items():
        assert written[name] >= least
    assert sum(acknowledged.values()) > 100  # otherwise little was shown


def test_parquet_holds_the_same_rows(tmp_path: Path) -> None:
    needs.extra("pyarrow", "monitoring")
    parquet = pytest.importorskip("pyarrow.parquet")
    events = [event(n, cost_micro_usd=None if n % 3 else n, tenant="é") for n in range(50)]
    with Ledger(tmp_path / "ledger") as ledger:
        for one in events:
            ledger.append(one)
        assert ledger.to_parquet(tmp_path / "out.parquet") == 50
    table = parquet.read_table(tmp_path / "out.parquet")
    assert [RequestEvent(**row) for row in table.to_pylist()] == events
    assert str(table.schema.field("cost_micro_usd").type) == "int64"


def test_a_parquet_file_is_whole_or_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    needs.extra("pyarrow", "monitoring")
    with Ledger(closed_ledger(tmp_path / "ledger", 5)) as ledger:

        def broken(*_: object) -> Any:
            yield [event().as_row()]
            raise LedgerError("the disk is gone")

        monkeypatch.setattr(ledger, "pages", broken)
        with pytest.raises(LedgerError, match="the disk is gone"):
            ledger.to_parquet(tmp_path / "out.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ledger", "ledger-rows"]


#: The tables of the first ledgers. A new field of the event needs a new version of the file.
FIRST_TABLES = """
    CREATE TABLE events (seq INTEGER PRIMARY KEY, request_id TEXT NOT NULL UNIQUE, time_s REAL NOT NULL,
        tier TEXT NOT NULL, model TEXT NOT NULL, input_tokens INTEGER NOT NULL, cached_input_tokens INTEGER NOT NULL,
        output_tokens INTEGER NOT NULL, cost_micro_usd INTEGER, latency_s REAL NOT NULL, outcome TEXT NOT NULL,
        tenant TEXT NOT NULL, conversion_value_micro_usd INTEGER, priority TEXT NOT NULL);
    CREATE INDEX events_time ON events (time_s);
    PRAGMA application_id = 1668050023;
    PRAGMA user_version = 1;
"""


def first_ledger(path: Path, rows: int) -> Path:
    """A ledger as costlab 1.0 wrote it."""
    values = ", ".join(
        f"('r-{number}', {number}.0, 'small', 'gpt-4o-mini', 1200, 1000, 80, 153, 0.4, 'ok', '', NULL, 'standard')"
        for number in range(rows)
    )
    with sqlite3.connect(path) as old:
        old.executescript(FIRST_TABLES)
        if rows:
            names = ", ".join(list(COLUMNS)[:13])
            old.execute(f"INSERT INTO events ({names}) VALUES {values}")
    old.close()
    return path


def test_a_ledger_of_before_is_read_as_it_is(tmp_path: Path) -> None:
    path = first_ledger(tmp_path / "old", 3)
    before = path.read_bytes()
    with Ledger(path) as ledger:
        assert list(ledger.events()) == [event(0), event(1), event(2)]
        assert (ledger.totals().requests, ledger.totals().cost_micro_usd) == (3, 459)
        if importlib.util.find_spec("pyarrow"):
            assert ledger.to_parquet(tmp_path / "old.parquet") == 3
    assert path.read_bytes() == before  # an older costlab can go on with it


def test_a_ledger_of_before_gets_its_new_columns_with_the_first_event(tmp_path: Path) -> None:
    path = first_ledger(tmp_path / "old", 2)
    # Two that opened it before either wrote: one sees what the other added.
    with Ledger(path) as reader, Ledger(path) as writer:
        assert [one.cache_write_tokens for one in reader.events()] == [0, 0]
        new = event(2, cache_write_tokens=200, service_tier="flex", provider="anthropic", request_fee_micro_usd=5)
        writer.append(new)
        writer.append(event(1))  # the same as it stands there, and no conflict
        writer.flush()
        assert (writer.duplicates, writer.conflicts) == (1, 0)
        assert list(reader.events()) == [event(0), event(1), new]
        reader.append(event(3, reasoning_tokens=7))
        reader.flush()
        assert list(writer.events())[-1] == event(3, reasoning_tokens=7)


def test_a_parquet_file_of_before_is_a_log_of_today(tmp_path: Path) -> None:
    needs.extra("pyarrow", "monitoring")
    needs.extra("duckdb", "usage")
    parquet = pytest.importorskip("pyarrow.parquet")
    with Ledger(first_ledger(tmp_path / "old", 3)) as ledger:
        ledger.to_parquet(tmp_path / "new.parquet")
    first = parquet.read_table(tmp_path / "new.parquet").select(list(COLUMNS)[:13])
    parquet.write_table(first, tmp_path / "old.parquet")
    assert [RequestEvent(**row) for row in first.to_pylist()] == [event(0), event(1), event(2)]
    old, new = (aggregate(open_log(tmp_path / f"{name}.parquet").frame) for name in ("old", "new"))
    assert old == new
    assert old[0].cost_micro_usd == 459


def test_a_ledger_of_before_is_opened_and_its_columns_are_those_of_a_new_one(tmp_path: Path) -> None:
    first_ledger(tmp_path / "old", 0)
    with Ledger(tmp_path / "old", create=False) as ledger:
        ledger.append(event(1, tenant="acme"))
        assert list(ledger.events()) == [event(1, tenant="acme")]
    columns = []
    for name in ("old", closed_ledger(tmp_path / "new", 1).name):
        with sqlite3.connect(tmp_path / name) as file:
            columns.append(file.execute("SELECT * FROM pragma_table_info('events')").fetchall())
        file.close()
    assert columns[0] == columns[1]
    assert tuple(column[1] for column in columns[1]) == ("seq", *COLUMNS)


def test_a_batch_of_usual_and_rare_events_is_written_in_its_order(tmp_path: Path) -> None:
    given = [
        event(number, **({"cache_write_tokens": 3, "request_fee_micro_usd": 7} if number % 3 == 1 else {}))
        for number in range(10)
    ]
    with Ledger(tmp_path / "ledger", flush_every_s=None) as ledger:
        for one in (*given, given[1], given[2]):
            ledger.append(one)
        assert list(ledger.events()) == given
        assert (ledger.duplicates, ledger.conflicts, ledger.last_sequence()) == (2, 0, 10)
        ledger.append(event(1))  # without what is written of it
        ledger.append(event(2, cache_write_tokens=1))
        with pytest.raises(LedgerError, match="other values"):
            ledger.flush()
        assert (ledger.conflicts, list(ledger.events())) == (2, given)
        ledger.verify()
