"""Make ``costlab/lessons/exercises.toml`` from the solution notebooks: ``python -m tools.exercises``.

A solution notebook's cells call ``solve(...)`` with the answer, with the wrong answers that readers typically give and
a hint for each, and with texts for the reader. The file made holds digests of the answers, and what is told to whoever
is right sealed with the answer.
"""

import json
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from costlab.lessons.exercises import cover, digests_of, seal
from costlab.lessons.properties import find_property

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "costlab" / "lessons" / "exercises.toml"
SOLUTIONS = ROOT / "notebooks" / "solutions"


def solutions_travel(course: Path = ROOT / "book" / "course.toml") -> bool:
    """Whether the course's settings let worked solutions travel with the package."""
    return tomllib.loads(course.read_text(encoding="utf-8"))["solutions"]["travel"] is True


class Exercises:
    """Collects what solution notebooks say."""

    def __init__(self) -> None:
        self.solved: dict[str, dict[str, Any]] = {}
        #: How each exercise is worked out, in the words and the code of its solution notebook.
        self.worked: dict[str, str] = {}
        #: Exercises of the capstone, which is graded.
        self.graded: set[str] = set()

    def solve(
        self,
        exercise: str,
        answer: object,
        *,
        right: str,
        hint: str = "",
        mistakes: Mapping[str, object] | None = None,
        probes: Sequence[Sequence[Any]] | None = None,
    ) -> None:
        """Take down an exercise.

        Parameters
        ----------
        exercise : str
            Its number: ``"1.1"``.
        answer : object
            The solution: a number, a text, a list of these, or a function.
        right : str
            What to tell who got it right: the reason or what follows from it.
        hint : str
            What to tell who got it wrong in a way not foreseen. Left out where a property judges answers.
        mistakes : mapping of str to object, optional
            Hints, each with the wrong answer that calls for it. Where a property judges answers, what its message says
            of that answer.
        probes : sequence of argument lists, optional
            Calls with which a function is tried. Where a property judges functions, the first of them tells whether a
            function is still the untouched one.
        """
        if exercise in self.solved:
            raise ValueError(f"exercise {exercise} is solved twice")
        if bool(hint) == bool(find_property(exercise)):
            raise ValueError(f"exercise {exercise}: give a hint, or a property that says what is wrong, not both")
        row = {"answer": answer, "mistakes": dict(mistakes or {}), "right": right, "hint": hint, "probes": probes}
        self.solved[exercise] = row

    def toml(self, travel: bool | None = None) -> str:
        """The collected exercises as they are shipped.

        Parameters
        ----------
        travel : bool, optional
            Whether worked solutions go with them, by default as ``book/course.toml`` says.
        """
        travel = solutions_travel() if travel is None else travel
        lines = [
            "# Made by `make exercises` from the solution notebooks: digests of answers, and texts sealed with them.",
            "",
        ]
        for exercise, row in sorted(self.solved.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
            probes = [f"probes = {json.dumps(row['probes'])}"] if row["probes"] else []
            sealed = f"right = {json.dumps(seal(exercise, row['answer'], row['right'], row['probes']))}"
            if travel and exercise in self.worked and exercise not in self.graded:
                probes.append(f"worked = {json.dumps(cover(exercise, self.worked[exercise]))}")
            if find_property(exercise):
                lines += [f'["{exercise}"]', *probes, sealed, ""]
                continue
            own = _own_digests(exercise, row["answer"], row["probes"])
            lines += [f'["{exercise}"]', f"digests = {json.dumps(own)}", *probes]
            lines += [sealed, f"hint = {json.dumps(row['hint'])}"]
            seen = [own]
            for hint, wrong in row["mistakes"].items():
                digests = _own_digests(exercise, wrong, row["probes"])
                if digests in seen:
                    same = "a mistake equals the answer" if digests == own else "two mistakes are the same"
                    raise ValueError(f"exercise {exercise}: {same}: {hint}")
                seen.append(digests)
                lines += [
                    f'[["{exercise}".mistakes]]',
                    f"digests = {json.dumps(digests)}",
                    f"hint = {json.dumps(hint)}",
                ]
            lines.append("")
        return "\n".join(lines)


def _own_digests(exercise: str, answer: object, probes: Sequence[Sequence[Any]] | None) -> list[str]:
    return [near[0] for near in digests_of(exercise, answer, probes)]


def collect(folder: Path = SOLUTIONS) -> Exercises:
    """Run the code of every solution notebook and collect its exercises."""
    # Fewer or more threads round differently, and a threshold may fall to the other side of a query.
    from threadpoolctl import threadpool_limits

    exercises = Exercises()
    for path in sorted(folder.glob("*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        namespace: dict[str, Any] = {"solve": exercises.solve}
        said = ""
        for cell in cells:
            if cell["cell_type"] == "markdown":
                said = "".join(cell["source"])
            if cell["cell_type"] == "code" and "no-collect" not in cell["metadata"].get("tags", []):
                source, before = "".join(cell["source"]), set(exercises.solved)
                with threadpool_limits(1):
                    exec(compile(source, path.name, "exec"), namespace)  # our own notebooks
                for exercise in exercises.solved.keys() - before:
                    code = re.split(r"^solve\(", source, maxsplit=1, flags=re.M)[0].strip()
                    exercises.worked[exercise] = f"{said}\n\n{code}".strip()
                    if path.stem.endswith("_capstone"):
                        exercises.graded.add(exercise)
    return exercises


if __name__ == "__main__":
    TARGET.write_text(collect().toml(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
