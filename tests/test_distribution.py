"""What is published: a source archive and the wheel that is built from it, and what each extra brings."""

import email
import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import costlab
from tests import needs

needs.extra("build", "test")
needs.extra("hatchling", "test")
needs.extra("twine", "test")
needs.extra("check_wheel_contents", "test")

from tools.check_extras import HEAVY  # noqa: E402
from tools.extra_programs import EXTRAS  # noqa: E402

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both; the wheel is built from the source archive."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def source(built: Path) -> Iterator[tarfile.TarFile]:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        yield archive


def tracked(folder: str) -> set[str]:
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", folder],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return {name for name in done.stdout.split("\0") if name and (ROOT / name).exists()}


def test_names_carry_the_version(built: Path) -> None:
    version = costlab.__version__
    assert sorted(path.name for path in built.iterdir()) == [
        f"costlab-{version}-py3-none-any.whl",
        f"costlab-{version}.tar.gz",
    ]


def test_both_are_fit_to_be_published(built: Path) -> None:
    files = [str(path) for path in built.iterdir()]
    wheels = [name for name in files if name.endswith(".whl")]
    for command in (["twine", "check", "--strict", *files], ["check_wheel_contents", *wheels]):
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_source_archive_holds_the_package_and_what_names_it(source: tarfile.TarFile) -> None:
    first = f"costlab-{costlab.__version__}/"
    names = {member.name.removeprefix(first) for member in source.getmembers() if member.isfile()}
    beside = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO", ".gitignore"}
    assert names == tracked("costlab") | beside
    recordings = {name for name in names if name.startswith("costlab/recordings/") and name.endswith(".json")}
    assert recordings == {str(path.relative_to(ROOT)) for path in (ROOT / "costlab" / "recordings").glob("*.json")}
    for member in source.getmembers():
        assert member.mode & 0o444 == 0o444, f"{member.name} cannot be read by everybody"


def test_the_wheel_holds_the_same_package_and_its_licence(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {info.filename for info in archive.infolist()}
        information = f"costlab-{costlab.__version__}.dist-info/"
        assert {name for name in names if not name.startswith(information)} == tracked("costlab")
        for name in tracked("costlab"):
            assert archive.read(name) == (ROOT / name).read_bytes(), name
        assert archive.read(f"{information}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_nothing_in_either_is_a_solution_or_a_notebook(wheel: Path, source: tarfile.TarFile) -> None:
    for name in (*zipfile.ZipFile(wheel).namelist(), *source.getnames()):
        assert "solution" not in name
        assert not name.endswith(".ipynb")


def test_the_wheel_says_what_the_project_says(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"costlab-{costlab.__version__}.dist-info/METADATA").decode()
    said = email.message_from_string(text)
    assert said["Version"] == costlab.__version__
    assert said["License-Expression"] == PROJECT["license"]
    assert said["Requires-Python"] == PROJECT["requires-python"]
    assert set(said.get_all("Provides-Extra", [])) == set(PROJECT["optional-dependencies"])


def test_every_extra_has_something_that_it_must_do() -> None:
    assert EXTRAS.keys() == {"", *PROJECT["optional-dependencies"]}
    assert set(HEAVY) <= EXTRAS.keys()


@pytest.mark.slow
@pytest.mark.parametrize("extra", [name for name in EXTRAS if name not in HEAVY])
def test_a_light_extra_works_in_a_clean_environment(wheel: Path, extra: str) -> None:
    """The heavy ones are checked once a week: `python -m tools.check_extras`."""
    command = [sys.executable, "-m", "tools.check_extras", "--wheel", str(wheel), "--json", extra or "none"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (found,) = json.loads(done.stdout)
    assert found["version"] == f"costlab {costlab.__version__}"
