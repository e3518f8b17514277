"""Prose that quotes a recording is read again when the recording was made, or made again."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from costlab import recordings
from costlab.recordings import Recording, load_recording, save_recording
from tests import needs
from tools.notebook_lint import lint_notebook
from tools.quoted_recordings import ABSENT, declared, digest, main, mark_read, shown_recordings, unread, unread_page

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PAGES = [ROOT / "README.md", *sorted((ROOT / "book").rglob("*.md"))]
H200 = Recording(
    experiment="device", device="h200", device_name="NVIDIA H200", driver="580", library_versions={"torch": "2.11"},
    recorded_on="2026-12-01", command="costlab bench device --device cuda --record", repeats=9,
    rows=({"quantity": "copy", "unit": "GB/s", "median": 4321.0, "least": 4300.0, "greatest": 4330.0},),
)  # fmt: skip


def lesson(number: str) -> Path:
    return next(path for path in LESSONS if path.stem.startswith(number))


def cells_of(path: Path) -> list[dict[str, Any]]:
    cells: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return cells


def code(source: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": []}


def prose(source: str, **read: str) -> dict[str, Any]:
    metadata = {"costlab": {"recordings": {name.replace("_", "-"): value for name, value in read.items()}}}
    return {"cell_type": "markdown", "metadata": metadata if read else {}, "source": source}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The recordings of the package, to be added to."""
    copied = tmp_path / "recordings"
    copied.mkdir()
    for path in recordings.FOLDER.glob("*.json"):
        shutil.copy(path, copied)
    return copied


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_were_read_beside_the_recordings_of_today(page: Path) -> None:
    assert list(unread_page(page.read_text(encoding="utf-8"), page.name)) == []
    assert lint_notebook(page) == []


@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.name)
def test_the_notes_of_a_lesson_name_every_recording_that_it_shows(path: Path) -> None:
    shown = set[str]().union(*shown_recordings(cells_of(path)))
    notes = (ROOT / "book" / "instructor" / f"{path.stem}.md").read_text(encoding="utf-8")
    stale = "<!-- recordings: " + " ".join(f"{name} 0" for name in sorted(shown)) + " -->"
    assert {line.split(": ")[1].split()[0] for line in unread_page(stale, "x")} == shown
    assert all(f"{name} {digest(name)}" in notes for name in shown)


def test_a_first_recording_of_a_device_names_the_sentences_that_did_without(folder: Path) -> None:
    assert lint_notebook(lesson("01"), folder) == []
    save_recording(H200, folder)
    (problem,) = lint_notebook(lesson("01"), folder)
    assert problem.startswith("section '1.4 What an hour buys', 'We did not measure the two GPUs ourselves")
    assert f"device-h200 was made; read it again beside it, then put {digest('device-h200', folder)!r}" in problem
    assert len(lint_notebook(ROOT / "book" / "instructor" / lesson("01").with_suffix(".md").name, folder)) == 1


def test_a_recording_that_no_lesson_mentions_passes(folder: Path) -> None:
    save_recording(replace(H200, experiment="traffic"), folder)
    assert [line for path in LESSONS for line in unread(cells_of(path), folder)] == []


def test_a_recording_made_anew_names_every_place_that_quotes_it(folder: Path) -> None:
    old = load_recording(folder / "quantization-cpu.json")
    save_recording(replace(old, recorded_on="2027-01-31"), folder)
    for path in LESSONS:
        quoting = [cell for cell in cells_of(path) if "quantization-cpu" in declared(cell)]
        problems = list(unread(cells_of(path), folder))
        assert len(problems) == len(quoting)
        assert all("quantization-cpu was made again; read it again" in line for line in problems)
        assert bool(problems) == (path.stem[:2] in ("02", "03")), path.name


def test_a_recording_that_is_gone_is_noticed(folder: Path) -> None:
    (folder / "device-cpu.json").unlink()
    (problem,) = unread(cells_of(lesson("01")), folder)
    assert "device-cpu is gone" in problem
    assert problem.endswith(f"then put 'absent' for {digest('device-cpu')!r}")


def test_what_was_read_is_marked_and_nothing_else_is_changed(folder: Path, tmp_path: Path) -> None:
    needs.extra("nbformat", "test")
    save_recording(H200, folder)
    path = Path(shutil.copy(lesson("01"), tmp_path))
    assert mark_read(path, folder) == 1
    assert list(unread(cells_of(path), folder)) == []
    assert mark_read(path, folder) == 0
    before, after = lesson("01").read_text(encoding="utf-8"), path.read_text(encoding="utf-8")
    assert before.replace('"device-h200": "absent"', f'"device-h200": "{digest("device-h200", folder)}"') == after

    page = tmp_path / "page.md"
    page.write_text("Fast.\n\n<!-- recordings: device-cpu 0 device-h200\nabsent -->\n")
    assert len(list(unread_page(page.read_text(), "page.md", folder))) == 2
    assert mark_read(page, folder) == 1
    assert list(unread_page(page.read_text(), "page.md", folder)) == []
    assert page.read_text().startswith("Fast.\n\n<!-- recordings: device-cpu ")


def test_a_page_is_checked_by_its_comment(folder: Path) -> None:
    assert list(unread_page("Nothing quoted.", "page.md")) == []
    (problem,) = unread_page("<!-- recordings: device-cpu -->", "page.md")
    assert problem == "page.md: a comment on recordings has names and digests in turn, got 'device-cpu'"
    (problem,) = unread_page("<!-- recordings: device-cpu absent -->", "page.md")
    assert problem.startswith("page.md, what it says of a recording: device-cpu was made;")


def test_prose_after_a_recording_says_what_it_was_read_beside() -> None:
    show = code('recorded("device", device="cpu")')
    (problem,) = unread([prose("## 1.4 Speed"), show, prose("It is fast.\n\n## 1.5 Next")])
    assert problem.startswith("section '1.4 Speed', 'It is fast.' follows a cell that shows a recording ('recorded(")
    assert f'add to its metadata "costlab": {{"recordings": {{"device-cpu": "{digest("device-cpu")}"}}}}' in problem
    assert list(unread([show, prose("It is fast.", device_cpu=digest("device-cpu")), code("x"), prose("Next.")])) == []
    assert list(unread([show])) == [
        'no Markdown cell follows the last one that shows a recording (\'recorded("device", device="cpu")\')'
    ]


@pytest.mark.parametrize(
    ("sources", "shown"),
    [
        (['recorded("device", device="h200")', "x = 1"], [{"device-h200"}, set()]),
        (['recorded("quantization", "h100")'], [{"quantization-h100"}]),
        (['result = BenchmarkResult.recorded("pruning")', "print(result.rows)"], [{"pruning-cpu"}] * 2),
        (['found = recordings.find_recording("tiers", "cpu")\nfound = 1', "found"], [{"tiers-cpu"}, set()]),
        (["tiers = recorded_tiers()", "tiers"], [{"answers-cpu"}] * 2),
        (["fit = recorded_traffic()", "def f():\n    return fit", "f()"], [{"traffic-azure-2023"}] * 3),
        (
            ['r = X.recorded("combined")\nrows = {}', "for x in r.rows:\n    rows[x] = x", "rows"],
            [{"combined-cpu"}] * 3,
        ),
        (['r = X.recorded("combined")\nrows = []', "rows.append(r)", "rows"], [{"combined-cpu"}] * 3),
        (['r = X.recorded("combined")', "n = 1\nn += r.n", "n"], [{"combined-cpu"}] * 3),
        # A module that is handed a recording shows it, and is no recording itself; a comprehension's name is its own.
        (['r = X.recorded("combined")', "plotting.plot(r)", "plotting.plot(1)"], [{"combined-cpu"}] * 2 + [set()]),
        (["for row in X.recorded('device').rows: pass", "[row for row in (1, 2)]"], [{"device-cpu"}, set()]),
        (['%pip install x\nrecorded("device", device="cpu")'], [{"device-cpu"}]),
        (['if 1:\n    !ls\nrecorded(name, device="cpu")', "not python at all"], [set(), set()]),
    ],
)
def test_cells_that_show_a_recording_are_found(sources: list[str], shown: list[set[str]]) -> None:
    assert shown_recordings([code(source) for source in sources]) == shown


def test_a_digest_is_of_what_a_recording_says_and_not_of_its_spaces(folder: Path) -> None:
    path = folder / "device-cpu.json"
    data = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(data.items())), indent=4))
    assert digest("device-cpu", folder) == digest("device-cpu")
    path.write_text(json.dumps(data | {"recorded_on": "2027-01-31"}))
    assert digest("device-cpu", folder) != digest("device-cpu")
    assert digest("device-nowhere") == ABSENT


def test_the_command_marks_what_it_is_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text("<!-- recordings: device-cpu 0 -->")
    assert main([str(page)]) == 0
    assert f"{page}: 1 places marked as read" in capsys.readouterr().out
    assert main([]) == 1
    assert "Prose that quotes recordings" in capsys.readouterr().out
