"""Make ``costlab/lessons/exercises.toml`` from the solution notebooks: ``python -m tools.exercises``.

A solution notebook's cells call ``solve(...)`` with the answer, with the wrong answers that readers typically give and
a hint for each, and with texts for the reader. The file made holds digests of the answers, and what is told to whoever
is right sealed with the answer.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from costlab.lessons.exercises import digests_of, seal

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "costlab" / "lessons" / "exercises.toml"
SOLUTIONS = ROOT / "notebooks" / "solutions"


class Exercises:
    """Collects what solution notebooks say."""

    def __init__(self) -> None:
        self.solved: dict[str, dict[str, Any]] = {}

    def solve(
        self,
        exercise: str,
        answer: object,
        *,
        right: str,
        hint: str,
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
            What to tell who got it wrong in a way not foreseen.
        mistakes : mapping of str to object, optional
            Hints, each with the wrong answer that calls for it.
        probes : sequence of argument lists, optional
            Calls with which a function is tried.
        """
        if exercise in self.solved:
            raise ValueError(f"exercise {exercise} is solved twice")
        row = {"answer": answer, "mistakes": dict(mistakes or {}), "right": right, "hint": hint, "probes": probes}
        self.solved[exercise] = row

    def toml(self) -> str:
        """The collected exercises as they are shipped."""
        lines = [
            "# Made by `make exercises` from the solution notebooks: digests of answers, and texts sealed with them.",
            "",
        ]
        for exercise, row in sorted(self.solved.items(), key=lambda item: [int(part) for part in item[0].split(".")]):
            own = _own_digests(exercise, row["answer"], row["probes"])
            lines += [f'["{exercise}"]', f"digests = {json.dumps(own)}"]
            lines += [f"probes = {json.dumps(row['probes'])}"] if row["probes"] else []
            sealed = seal(exercise, row["answer"], row["right"], row["probes"])
            lines += [f"right = {json.dumps(sealed)}", f"hint = {json.dumps(row['hint'])}"]
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
        for cell in cells:
            if cell["cell_type"] == "code" and "no-collect" not in cell["metadata"].get("tags", []):
                source = "".join(cell["source"])
                with threadpool_limits(1):
                    exec(compile(source, path.name, "exec"), namespace)  # our own notebooks
    return exercises


if __name__ == "__main__":
    TARGET.write_text(collect().toml(), encoding="utf-8")
    print(f"wrote {TARGET.relative_to(ROOT)}")
