"""An instructor's fork: every link, command and setup cell names it after one step."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import needs
from tools.rename import main, rename, repository

needs.extra("nbformat", "test")

from tools.student import write  # noqa: E402 - after the check for optional packages

ROOT = Path(__file__).parents[1]
URL = "https://github.com/some-school/ai-costs"


@pytest.fixture(scope="module")
def fork(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows of this checkout, as a repository."""
    copy = tmp_path_factory.mktemp("fork")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    subprocess.run(["git", "add", "--all", "--force"], cwd=copy, check=True)
    rename(copy, URL)
    return copy


def test_a_fork_is_named_everywhere(fork: Path) -> None:
    old = repository(ROOT)
    found = subprocess.run(["git", "grep", "-lF", f"/{old}"], cwd=fork, capture_output=True, text=True)
    assert (found.stdout, found.returncode) == ("", 1)
    config = (fork / "_config.yml").read_text(encoding="utf-8")
    assert f"url: {URL}\n" in config  # Colab's and Binder's links are made of it
    assert f"git+{URL}" in (fork / "README.md").read_text(encoding="utf-8")


def test_a_forks_lessons_keep_every_rule(fork: Path) -> None:
    lessons = sorted(str(path) for path in (fork / "notebooks").glob("*.ipynb"))
    command = [sys.executable, "-m", "tools.notebook_lint"]
    environment = {**os.environ, "PYTHONPATH": str(fork)}
    setup = subprocess.run([*command, "--setup"], cwd=fork, env=environment, check=True, capture_output=True, text=True)
    assert f"git+{URL}@v" in setup.stdout
    lint = subprocess.run([*command, *lessons], cwd=fork, env=environment, capture_output=True, text=True)
    assert lint.returncode == 0, lint.stdout


def test_a_forks_student_edition_is_that_of_its_lessons(fork: Path, tmp_path: Path) -> None:
    for path in write(tmp_path, fork / "notebooks"):
        assert (fork / "notebooks" / "student" / path.name).read_bytes() == path.read_bytes(), path.name


def test_a_fork_can_be_renamed_again_and_back(fork: Path) -> None:
    changed = rename(fork, "https://github.com/a/b.git")
    assert len(changed) > 10
    assert repository(fork) == "a/b"
    assert sorted(rename(fork, f"{URL}/")) == sorted(changed)
    assert rename(fork, URL) == []


@pytest.mark.parametrize(
    "url",
    ["", "some-school/ai-costs", "https://gitlab.com/a/b", "https://github.com/a", "https://github.com/a/b/tree/main"],
)
def test_what_is_no_repository_on_github_is_refused(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([url]) == 2
    assert capsys.readouterr().err == f"rename: the address must be https://github.com/OWNER/NAME, got {url!r}\n"
