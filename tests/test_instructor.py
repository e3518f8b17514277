"""The instructor edition: notes that fit their lessons, and a site derived from the public one."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests import needs
from tools.notebook_lint import IGNORED, _prose, exercise_kinds

needs.extra("yaml", "test")

import yaml  # noqa: E402 - after the check for optional packages

from tools import instructor  # noqa: E402

ROOT = Path(__file__).parents[1]
NOTES = ROOT / "book" / "instructor"
LESSONS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
PARTS = ["Time plan", "Predictions", "Questions for discussion", "On Colab", "What usually goes wrong"]
ANSWERS = "Model answers"


def cells(lesson: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(lesson.read_text(encoding="utf-8"))["cells"]
    return found


def prose(lesson: Path) -> str:
    return "\n".join("".join(cell["source"]) for cell in cells(lesson) if cell["cell_type"] == "markdown")


def notes(lesson: Path) -> str:
    return (NOTES / f"{lesson.stem}.md").read_text(encoding="utf-8")


def part(text: str, title: str) -> str:
    return text.split(f"\n## {title}\n")[1].split("\n## ")[0]


def plan(text: str) -> list[tuple[int, str]]:
    """Minutes and name of each row of a time plan."""
    return [(int(minutes), name) for minutes, name in re.findall(r"^\| (\d+) \| ([^|]+) \|", text, re.M)]


def predictions(lesson: Path) -> list[str]:
    """What each `reveal` of a lesson shows: number and unit, or the unit alone where the number is a timing."""
    found = []
    for cell in cells(lesson):
        if cell["cell_type"] == "code" and "reveal(" in "".join(cell["source"]):
            said = "".join("".join(output.get("text", "")) for output in cell["outputs"])
            (shown,) = re.findall(r"^computed: (.*)$", said, re.M)
            timing = IGNORED in cell["metadata"].get("tags", [])
            found.append(shown.split(" ", 1)[1] if timing else shown)
    return found


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_every_lesson_has_notes_with_all_parts(lesson: Path) -> None:
    text = notes(lesson)
    assert re.findall(r"^## (.*)$", text, re.M) == [*PARTS, ANSWERS]
    assert 3 <= len(re.findall(r"^\d\. \*\*.*?\?", part(text, "Questions for discussion"), re.M | re.S)) <= 5
    assert "Without a GPU:" in part(text, "On Colab")
    assert "With a GPU:" in part(text, "On Colab")


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_every_open_question_has_a_model_answer(lesson: Path) -> None:
    opened = [number for number, kind in exercise_kinds(cells(lesson)).items() if kind == "open question"]
    answered = re.findall(r"^\*\*(\d+\.\d+)\*\* +(\S.*?)(?=\n\n|\Z)", part(notes(lesson), ANSWERS), re.M | re.S)
    assert [number for number, _ in answered] == opened
    assert all(len(answer) > 200 for _, answer in answered)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_time_plans_add_up_to_the_lesson_and_leave_no_section_out(lesson: Path) -> None:
    (stated,) = re.findall(r"Allow (\d+) minutes", prose(lesson))
    rows = plan(part(notes(lesson), "Time plan"))
    assert sum(minutes for minutes, _ in rows) == int(stated)
    sections = re.findall(r"^## (\d+\.\d+) ", prose(lesson), re.M)
    assert [section for _, name in rows for section in re.findall(r"^\d+\.\d+", name)] == sections


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_every_prediction_is_prepared(lesson: Path) -> None:
    said = part(notes(lesson), "Predictions")
    assert re.findall(r"^\*\*(.*?)\*\*", said, re.M) == predictions(lesson)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.name)
def test_numbers_of_the_notes_stand_in_the_lesson(lesson: Path) -> None:
    """The lint's rule for a lesson's prose, for its notes as well; only the minutes of the plan are theirs."""
    text = re.sub(r"^\| \d+ \|", "| |", notes(lesson), flags=re.M)
    cell = {"cell_type": "markdown", "metadata": {}, "source": text}
    of_the_lesson = [one for one in cells(lesson) if one["cell_type"] == "code"]
    sections = {
        "cell_type": "markdown",
        "metadata": {},
        "source": "\n".join(re.findall(r"^#+ .*|\*\*(?:Exercise|Open question) .*?\*\* ★\S+ ", prose(lesson), re.M)),
    }
    assert list(_prose([*of_the_lesson, sections, cell], lesson.stem[:2])) == []


def test_a_number_that_is_not_the_lessons_is_found() -> None:
    """The rule above can fail."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": "It saves 4711 dollars."}
    assert "4711" in next(iter(_prose([*cells(LESSONS[0]), cell], "01")))


def test_the_overview_gives_each_lesson_its_time() -> None:
    text = (NOTES / "index.md").read_text(encoding="utf-8")
    rows = {int(number): int(minutes) for number, minutes in re.findall(r"^\| (\d+) · [^|]*\| (\d+) \|", text, re.M)}
    assert sorted(rows) == [int(lesson.stem[:2]) for lesson in LESSONS]
    for lesson in LESSONS:
        assert rows[int(lesson.stem[:2])] == sum(minutes for minutes, _ in plan(part(notes(lesson), "Time plan")))


def test_the_schedules_have_every_lesson() -> None:
    text = (NOTES / "index.md").read_text(encoding="utf-8")
    for title in ("A term", "A workshop of two days"):
        named = re.findall(r"lessons? (\d+)(?: and (\d+))?", part(text, title))
        planned = {int(number) for pair in named for number in pair if number}
        assert planned == {int(lesson.stem[:2]) for lesson in LESSONS}, title


@pytest.fixture
def public() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return found


def files(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node[key] for key in ("root", "file") if key in node]
        return [*own, *(name for value in node.values() for name in files(value))]
    return [name for item in node for name in files(item)] if isinstance(node, list) else []


def test_the_instructors_site_has_the_public_pages_and_more(public: dict[str, Any]) -> None:
    made = files(instructor.contents(public))
    extra = {f"book/instructor/{lesson.stem}" for lesson in LESSONS}
    extra |= {f"notebooks/solutions/{lesson.stem}" for lesson in LESSONS} | {"book/instructor/index"}
    assert set(files(public)) | extra <= set(made)
    assert len(made) == len(set(made))


def test_a_rubric_is_a_page_where_there_is_one(public: dict[str, Any], tmp_path: Path) -> None:
    assert "book/instructor/capstone_rubric" not in files(instructor.contents(public, tmp_path))
    (tmp_path / "book" / "instructor").mkdir(parents=True)
    (tmp_path / "book" / "instructor" / "capstone_rubric.md").write_text("# Rubric\n")
    assert "book/instructor/capstone_rubric" in files(instructor.contents(public, tmp_path))


def test_the_public_site_leaves_out_what_the_instructors_shows() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert set(instructor.SHOWN) <= set(config["exclude_patterns"])
    assert not set(instructor.SHOWN) & set(instructor.settings(config)["exclude_patterns"])
    assert not [
        name for name in files(yaml.safe_load((ROOT / "_toc.yml").read_text())) if name.startswith(instructor.SHOWN)
    ]


def test_nothing_is_missing_and_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert instructor.missing() == []
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "01_x.ipynb").write_text("{}")
    wanted = ["book/instructor/index.md", "book/instructor/01_x.md", "notebooks/solutions/01_x.ipynb"]
    assert instructor.missing(tmp_path) == wanted
    monkeypatch.setattr(instructor, "missing", lambda: wanted)
    assert instructor.main() == 1


def test_the_capstone_needs_its_rubric(tmp_path: Path) -> None:
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "12_capstone.ipynb").write_text("{}")
    assert "book/instructor/capstone_rubric.md" in instructor.missing(tmp_path)


def test_days_of_the_workshop_are_as_long_as_said() -> None:
    text = part((NOTES / "index.md").read_text(encoding="utf-8"), "A workshop of two days")
    (stated,) = re.findall(r"Each day has (\d+) minutes", text)
    rows = re.findall(r"^\| (first|second) \| (\d+) \|", text, re.M)
    days = {day: sum(int(minutes) for one, minutes in rows if one == day) for day, _ in rows}
    assert set(days.values()) == {int(stated)}
