"""Build the instructor edition as a site of its own: ``python -m tools.instructor``.

It holds what the public site holds, and beside each lesson its teaching notes and its worked solutions. Its table of
contents and its settings are derived from the public ones, so a page that is new there is new here. When a lesson lacks
its notes or its solutions, nothing is built, and the exit status is 1.
"""

import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tools.check_site import problems

ROOT = Path(__file__).parents[1]
TARGET = ROOT / "_build" / "instructor"
NOTES, SOLUTIONS, OVERVIEW = "book/instructor", "notebooks/solutions", "index"
CAPSTONE, RUBRIC = "12_capstone", "capstone_rubric"

#: What the public site leaves out and this one shows.
SHOWN = (NOTES, SOLUTIONS)


def lessons(root: Path = ROOT) -> list[str]:
    """The names of the lessons that are written, in order."""
    return sorted(path.stem for path in (root / "notebooks").glob("[0-9]*.ipynb"))


def missing(root: Path = ROOT) -> list[str]:
    """Files that the instructor edition needs and that are not there."""
    wanted = [f"{NOTES}/{OVERVIEW}.md"]
    for name in lessons(root):
        wanted += [f"{NOTES}/{name}.md", f"{SOLUTIONS}/{name}.ipynb"]
    if (root / "notebooks" / f"{CAPSTONE}.ipynb").exists():
        wanted.append(f"{NOTES}/{RUBRIC}.md")
    return [name for name in wanted if not (root / name).exists()]


def contents(public: dict[str, Any], root: Path = ROOT) -> dict[str, Any]:
    """The table of contents of the instructor edition.

    Parameters
    ----------
    public : dict
        That of the public site, as ``_toc.yml`` has it.
    root : Path
        Where the notes and solutions lie.

    Returns
    -------
    dict
        The same pages; the public landing page is the first chapter, and under each lesson's notes stand the lesson and
        its solutions. A rubric is a part of its own where there is one.
    """
    made = copy.deepcopy(public)
    landing, made["root"] = made["root"], f"{NOTES}/{OVERVIEW}"
    made["parts"][0]["chapters"].insert(0, {"file": landing})
    for part in made["parts"]:
        part["chapters"] = [_with_notes(chapter) for chapter in part["chapters"]]
    if (root / NOTES / f"{RUBRIC}.md").exists():
        made["parts"].insert(-1, {"caption": "Grading", "chapters": [{"file": f"{NOTES}/{RUBRIC}"}]})
    return made


def _with_notes(chapter: dict[str, Any]) -> dict[str, Any]:
    folder, _, name = chapter["file"].rpartition("/")
    if folder != "notebooks":
        return chapter
    return {"file": f"{NOTES}/{name}", "sections": [chapter, {"file": f"{SOLUTIONS}/{name}"}]}


def settings(public: dict[str, Any], root: Path = ROOT) -> dict[str, Any]:
    """The settings of the instructor edition, from those of the public site."""
    made = copy.deepcopy(public)
    made["title"] += ": instructor edition"
    made["exclude_patterns"] = [pattern for pattern in made["exclude_patterns"] if pattern not in SHOWN]
    # Its pages are for those who teach: nothing invites a reader to open them in a public repository.
    made.pop("launch_buttons", None)
    extensions = made["sphinx"]["local_extensions"]
    made["sphinx"]["local_extensions"] = {name: str((root / path).resolve()) for name, path in extensions.items()}
    made["sphinx"]["config"]["html_theme_options"]["logo"]["text"] = made["title"]
    return made


def build(root: Path = ROOT, target: Path = TARGET) -> int:
    """Build the site; the exit status of the build, or 1 if a page did not come out."""
    target.mkdir(parents=True, exist_ok=True)
    files = {}
    for name, make in {"_toc.yml": contents, "_config.yml": settings}.items():
        files[name] = target / name
        public = yaml.safe_load((root / name).read_text(encoding="utf-8"))
        files[name].write_text(
            yaml.safe_dump(make(public, root), sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
    command = [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", "build", str(root)]
    command += ["--path-output", str(target), "--config", str(files["_config.yml"]), "--toc", str(files["_toc.yml"])]
    command += ["--all", "--warningiserror", "--nitpick", "--keep-going", "--quiet"]
    status = subprocess.run(command, check=False, cwd=root).returncode
    site = target / "_build" / "html"
    found = problems(site, files["_toc.yml"])
    for problem in found:
        print(f"instructor edition: {problem}", file=sys.stderr)
    print(f"the instructor edition: {site}/index.html")
    return status or bool(found)


def main() -> int:
    """Build the edition, or say what is missing for it."""
    absent = missing()
    for name in absent:
        print(f"instructor edition: {name} is missing", file=sys.stderr)
    return 1 if absent else build()


if __name__ == "__main__":
    sys.exit(main())
