"""The mutation tests' own machinery; they themselves run weekly, and by ``make mutants``."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tools.mutants.__main__ import equivalents, interval
from tools.mutants.changes import changes_of, walk
from tools.mutants.groups import GROUPS, ROOT

EXAMPLE = '''"""Words."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import math

LIMIT: float = 1.5


def cost(hours, used=None, *, rate=2):
    """What 3 hours cost."""
    if not 0 <= hours < LIMIT:
        raise ValueError(f"{hours} is above {LIMIT + 1}")
    check(hours)
    total = max(1, hours * rate)
    total += used or 0.0
    return "about " + str(round(total))
'''


@pytest.fixture
def example(tmp_path: Path) -> Path:
    path = tmp_path / "example.py"
    path.write_text(EXAMPLE, encoding="utf-8")
    return path


def test_slips_of_a_formula_are_made_and_words_left_alone(example: Path) -> None:
    found = [(change.function, change.what) for change in changes_of(example, "example.py")]
    assert found == [
        ("<module>", "1.5 → 0.75"),
        ("<module>", "1.5 → 3.0"),
        ("cost", "2 → 1"),
        ("cost", "2 → 3"),
        ("cost", "not 0 <= hours < LIMIT → (0 <= hours < LIMIT)"),
        ("cost", "not 0 <= hours < LIMIT → False"),
        ("cost", "not 0 <= hours < LIMIT → True"),
        ("cost", "0 → 1"),
        ("cost", "0 <= hours < LIMIT → 0 < hours < LIMIT"),
        ("cost", "0 <= hours < LIMIT → 0 <= hours <= LIMIT"),
        ("cost", "check(hours) → pass"),
        ("cost", "max(1, hours * rate) → (1)"),
        ("cost", "max(1, hours * rate) → (hours * rate)"),
        ("cost", "max(1, hours * rate) → min(1, hours * rate)"),
        ("cost", "1 → 0"),
        ("cost", "1 → 2"),
        ("cost", "hours * rate → ((hours) / (rate))"),
        ("cost", "hours * rate → (hours)"),
        ("cost", "hours * rate → (rate)"),
        ("cost", "total += used or 0.0 → pass"),
        ("cost", "total += used or 0.0 → total -= used or 0.0"),
        ("cost", "total += used or 0.0 → total = used or 0.0"),
        ("cost", "used or 0.0 → (0.0)"),
        ("cost", "used or 0.0 → (used)"),
        ("cost", "0.0 → 1.0"),
        ("cost", "round(total) → (total)"),
    ]


def test_a_change_is_known_by_its_words_wherever_its_function_stands(example: Path) -> None:
    before = [change.name for change in changes_of(example, "example.py")]
    example.write_text("# moved\n\n" + EXAMPLE, encoding="utf-8")
    assert [change.name for change in changes_of(example, "example.py")] == before
    assert len(set(before)) == len(before)


@pytest.mark.parametrize("name", GROUPS)
def test_every_change_of_the_core_has_a_name_of_its_own(name: str) -> None:
    for module in GROUPS[name].modules():
        source, changes = (ROOT / module).read_bytes(), changes_of(ROOT / module, module)
        assert changes
        assert len({change.name for change in changes}) == len(changes)
        assert all(change.apply(source) != source for change in changes)


@pytest.mark.slow
def test_every_change_of_the_core_compiles() -> None:
    for change in (change for group in GROUPS.values() for change in walk(ROOT, group.modules())):
        compile(change.apply((ROOT / change.module).read_bytes()), change.name, "exec")


def test_what_is_listed_as_equivalent_is_a_change_and_has_a_reason() -> None:
    known = {change.name for group in GROUPS.values() for change in walk(ROOT, group.modules())}
    listed = equivalents()
    assert [name for name in listed if name not in known] == []
    assert all(len(reason) > 20 for reason in listed.values())


def test_every_group_has_tests() -> None:
    for group in GROUPS.values():
        assert all((ROOT / name).exists() for name in (*group.tests, *group.modules()))


def test_every_group_is_tried_weekly() -> None:
    weekly = (ROOT / ".github" / "workflows" / "weekly.yml").read_text(encoding="utf-8")
    assert f"group: [{', '.join(GROUPS)}]" in weekly


# Newcombe (1998), Statistics in Medicine 17, table I, method 3: Wilson's score interval.
@pytest.mark.parametrize(
    ("hits", "tries", "low", "high"), [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611)]
)
def test_the_interval_of_a_sample_is_wilsons(hits: int, tries: int, low: float, high: float) -> None:
    assert interval(hits, tries) == pytest.approx((low, high), abs=5e-5)


@pytest.mark.slow
def test_a_change_is_in_force_where_it_is_tried(tmp_path: Path) -> None:
    needs.extra("coverage", "test")

    def run(only: str) -> str:
        command = [sys.executable, "-m", "tools.mutants", "calculator", "--only", only, "--folder", str(tmp_path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stdout

    assert "1 killed, 0 timeout, 0 survived" in run("checkpoint_interval_s: 9 → 10")
    assert "tests take" not in run("checkpoint_interval_s: 9 → 10")  # the verdict was kept
    # A part of the machines that is never read: it cannot be noticed.
    assert "0 killed, 0 timeout" in run("cheapest_machines: -1 → (1)")
