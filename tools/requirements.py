"""What the project's extras ask for, and what pip would install for it."""

import json
import subprocess
import tempfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]


def required(extras: Iterable[str]) -> list[str]:
    """The requirements of the package and of these extras, sorted, with the extras among them resolved."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found, left, seen = set(project["dependencies"]), set(extras), set[str]()
    while left:
        seen.add(extra := left.pop())
        for line in project["optional-dependencies"][extra]:
            need = Requirement(line)
            if need.name == project["name"]:
                left |= need.extras - seen
            else:
                found.add(line)
    return sorted(found)


def pip_report(python: str | Path, words: Sequence[str]) -> list[dict[str, Any]]:
    """What ``pip install`` with these words would install; nothing is."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*command, "--report", str(path), *words], check=True)
        told: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))["install"]
        return told
