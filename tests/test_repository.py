"""What the repository says twice must agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import costlab
from costlab.errors import install_line

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ADDRESS = PROJECT["urls"]["Repository"]


def tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in done.stdout.split("\0") if name]


def test_every_mention_of_the_repository_is_the_one_in_pyproject() -> None:
    found = 0
    for path in tracked():
        if path.suffix in (".png", ".ico") or not path.exists():
            continue
        for owner in re.findall(r"github\.com/([\w.-]+/costlab)\b", path.read_text(encoding="utf-8")):
            assert ADDRESS.endswith(owner), path
            found += 1
    assert found > 3


def test_errors_and_pages_name_the_same_way_to_install_it_from_the_repository() -> None:
    """It is on no index, so the name alone would bring nothing, or what somebody else puts there."""
    line = install_line("usage")
    assert line == f'pip install "costlab[usage] @ git+{ADDRESS}"'
    for page in ("README.md", "book/how-to-run.md"):
        assert line in (ROOT / page).read_text(encoding="utf-8")
    for path in tracked():
        if path.suffix in (".py", ".md", ".ipynb", ".toml", ".yml") and path.exists() and path.parts[-2] != "tests":
            text = path.read_text(encoding="utf-8")
            assert not re.search(r"pip install (-\S+ )*[\"']?costlab(\[[\w,]+\])?[\"'` ]*$", text, re.M), path


def test_conda_environment_agrees_with_the_project() -> None:
    text = (ROOT / "environment.yml").read_text()
    (python,) = re.findall(r"- python=(\d+)\.(\d+)", text)
    least = re.fullmatch(r">=(\d+)\.(\d+)", PROJECT["requires-python"])
    assert least is not None
    assert tuple(map(int, python)) >= tuple(map(int, least.groups()))
    assert "- --constraint constraints.txt" in text
    (extra,) = re.findall(r"- --editable \.\[(\w+)\]", text)
    assert any("costlab[lessons]" in need for need in PROJECT["optional-dependencies"][extra])
    # Nothing else is asked for, so the versions can come from nowhere but the project and its constraints.
    assert len(re.findall(r"^ +- ", text, re.M)) == 6


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert f"\nversion: {costlab.__version__}\n" in citation
    assert f"\nrepository-code: {ADDRESS}\n" in citation
    # Colab and Binder open a lesson at the tag that its setup cell installs.
    assert f"\n  branch: v{costlab.__version__}\n" in (ROOT / "_config.yml").read_text()


def test_readme_begins_with_the_two_commands() -> None:
    head = (ROOT / "README.md").read_text()[:700]
    assert head.index("make book") < head.index("make test")


def test_ci_calls_the_test_command_of_the_readme() -> None:
    assert "make test" in (ROOT / ".ci" / "run").read_text().splitlines()[-1]


@pytest.mark.parametrize(
    "target",
    [
        "help",
        "setup",
        "book",
        "student",
        "instructor",
        "colab",
        "serve",
        "test",
        "lint",
        "lab",
        "bench",
        "lesson",
        "clean",
    ],
)
def test_make_targets_exist_and_say_what_they_do(target: str) -> None:
    assert re.search(rf"^{target}:.*## \w", (ROOT / "Makefile").read_text(), re.M)
