"""The recipes at the head of the API reference: each runs and prints what it says."""

import contextlib
import io
import re
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "book" / "api.md").read_text(encoding="utf-8")
RECIPES = dict(re.findall(r"^### (.*?)\n.*?^```python\n(.*?)^```", PAGE, re.M | re.S))


def test_the_page_begins_with_a_recipe_for_each_task() -> None:
    assert PAGE.index("## Recipes") < PAGE.index("## Reference") < PAGE.index("automodule")
    assert list(RECIPES) == [
        "Price a request",
        "Price a bill",
        "Plan a fleet",
        "Cap a budget",
        "Route a request",
        "Cache answers",
    ]


@pytest.mark.parametrize("task", RECIPES)
def test_a_recipe_prints_what_its_comments_say(task: str) -> None:
    code = RECIPES[task]
    said = re.findall(r"^# (.*)$", code, re.M)
    assert said
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(code, f"{task} in book/api.md", "exec"), {})
    assert printed.getvalue().splitlines() == said


def test_no_line_of_a_recipe_is_wider_than_the_page() -> None:
    assert [line for code in RECIPES.values() for line in code.splitlines() if len(line) > 76] == []
