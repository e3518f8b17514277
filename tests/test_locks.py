"""The locks of what the published site is built with and of what is tested with, by hash."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tools.locks import LOCKS, SOURCES, UNLOCKED, head, lock, models, wanted

ROOT = Path(__file__).parents[1]
FEWEST = {"book": 100, "test": 200}

each_lock = pytest.mark.parametrize("extra", LOCKS)


def pins(text: str) -> dict[str, str]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return dict(line.split(" ")[0].split("==", 1) for line in lines)


@each_lock
def test_every_line_is_a_version_with_its_hash(extra: str) -> None:
    before, _, lines = LOCKS[extra].read_text(encoding="utf-8").partition(head(extra))
    assert before == ""
    assert all(re.fullmatch(r"[a-z0-9-]+==[\w.+!]+ --hash=sha256:[0-9a-f]{64}", line) for line in lines.splitlines())
    assert lines.splitlines() == sorted(set(lines.splitlines()))
    assert len(pins(lines)) == len(lines.splitlines()) > FEWEST[extra]


@each_lock
def test_the_lock_has_the_tested_versions_of_all_that_is_asked_for(extra: str) -> None:
    """Else: python -m tools.locks."""
    locked = pins(LOCKS[extra].read_text(encoding="utf-8"))
    tested = pins((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    tested = {str(canonicalize_name(name)): version for name, version in tested.items()}
    assert len(locked.keys() & tested.keys()) > FEWEST[extra]  # pip freeze leaves out what every environment has
    assert {name: version for name, version in locked.items() if tested.get(name, version) != version} == {}
    for need in map(Requirement, wanted(extra)):
        if need.name in UNLOCKED:
            continue
        assert need.specifier.contains(locked[canonicalize_name(need.name)]), need


def test_the_lock_of_the_tests_has_what_an_editable_install_builds_with() -> None:
    """Where nothing is fetched for the build, what the backend asks for only when it is asked has to be there."""
    backend = pytest.importorskip("hatchling.build")
    locked = pins(LOCKS["test"].read_text(encoding="utf-8"))
    needs = [Requirement(need) for need in backend.get_requires_for_build_editable()]
    assert needs
    assert all(need.specifier.contains(locked[canonicalize_name(need.name)]) for need in needs)


def test_the_lock_of_the_tests_has_the_packaged_models() -> None:
    locked = LOCKS["test"].read_text(encoding="utf-8")
    assert len(models()) == 3
    assert all(f"\n{model} --hash=" in locked for model in models())


def test_the_lock_is_what_pip_reports() -> None:
    item = {
        "metadata": {"name": "Jupyter_Book", "version": "1.0"},
        "download_info": {"url": "file:///x.whl", "archive_info": {"hashes": {"sha256": "0" * 64}}},
    }
    told = f"{head('book')}jupyter-book==1.0 --hash=sha256:{'0' * 64}\n"
    assert lock("book", [item]) == lock("book", [item, item]) == told


def test_workflows_install_from_the_locks_and_everything_else_is_made_without() -> None:
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text(encoding="utf-8")
    assert "run: make book LOCKED=1\n" in text
    assert "run: bash .ci/run\n        env:\n          LOCKED: 1\n" in text
    assert "LOCKED" not in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert (
        f"HASHED = --no-deps --require-hashes --only-binary :all: --no-binary {','.join(SOURCES)} --requirement\n"
        in makefile
    )
    for path in LOCKS.values():
        assert f"\t$(if $(LOCKED),$(LOCKED_PIP) $(HASHED) {path.relative_to(ROOT)}" in makefile


def test_the_locks_are_written_on_the_platform_that_they_are_for() -> None:
    code = "import platform, tools.locks as t; platform.machine = lambda: 'arm64'; t.main()"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert "this must be CPython 3.11 on Linux for x86-64" in done.stderr
