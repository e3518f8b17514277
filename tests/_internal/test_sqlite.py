"""Files are whole or not there, also for one who looks while another process makes them."""

import sqlite3
import sys
from pathlib import Path

import pytest

from costlab._internal import sqlite
from costlab._internal.sqlite import FileKind, connect

KIND = FileKind(
    name="notebook",
    application_id=0x636C7465,  # "clte"
    version=1,
    schema="CREATE TABLE a (b); CREATE TABLE c (d)",
    error=LookupError,
    fill_empty=True,
)


def test_nobody_gets_in_between_the_tables_and_the_mode_of_a_file_that_is_filled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.touch()
    refused: list[str] = []

    class Slow(sqlite3.Connection):
        """Makes tables, and gives another process time to begin writing before anything else is done."""

        def executescript(self, script: str, /) -> sqlite3.Cursor:
            done = super().executescript(script)
            try:
                other.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as error:
                refused.append(str(error))
            return done

    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    plain = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *a, **k: plain(*a, **k, factory=Slow))
    connection = connect(path, KIND, timeout_s=0.01)
    assert refused == ["database is locked"]
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    other.execute("BEGIN IMMEDIATE")  # afterwards it may
    other.close()
    connection.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize("already", ["nothing", "empty"])
def test_on_a_full_disk_a_file_is_made_whole_or_not_at_all(tmp_path: Path, already: str) -> None:
    import resource

    made = set()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    for room in range(0, 40_000, 1000):
        path = tmp_path / f"file-{room}"
        if already == "empty":
            path.touch()
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            connect(path, KIND, timeout_s=1).close()
        except LookupError as error:
            assert "file-" in str(error)  # noqa: PT017 - it is one of two ends
            made.add(False)
        else:
            made.add(True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        # There is room again: whatever was begun is no obstacle.
        connect(path, KIND, timeout_s=1).close()
        assert [file.name for file in tmp_path.iterdir()] == [path.name]
        path.unlink()
    assert made == {False, True}


def test_a_file_that_another_process_is_just_filling_is_not_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    connect(path, KIND, timeout_s=1).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096])
    with pytest.raises(LookupError, match=f"file is a torn notebook: 4096 bytes of {len(whole)}"):
        connect(path, KIND, timeout_s=1)

    def finish(_: Path) -> bool:
        """The other one writes the rest, and removes its journal, just before we look for it."""
        path.write_bytes(whole)
        return False

    with monkeypatch.context() as patched:
        patched.setattr(sqlite, "_has_log", finish)
        sqlite._check_header(path, KIND)

    path.write_bytes(whole[:4096])
    (tmp_path / "file-journal").write_bytes(b"\0" * 512)
    sqlite._check_header(path, KIND)


def test_a_log_may_go_while_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(tmp_path / "file", KIND, timeout_s=1).close()
    log = tmp_path / "file-wal"
    monkeypatch.setattr(Path, "exists", lambda _: True)  # as it was a moment ago
    assert not log.is_file()
    assert not sqlite._has_log(tmp_path / "file")
