"""What each lesson's setup cell makes Colab fetch: ``python -m tools.setup_bytes [--python python3.12] [LESSON ...]``.

pip itself decides, in an environment that says it holds what ``colab-constraints.txt`` lists, and what Colab's torch
brings: their names and versions alone, without their files. Nothing is installed; the sizes are those of the files in
pip's report. Needs the network.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tools.colab import pins
from tools.notebook_lint import ROOT, setup_extras
from tools.requirements import pip_report, required

#: Colab's torch and its libraries are there, though the list of constraints leaves most of them out.
TORCH = "2.11.0"


def pretend(python: Path, packages: dict[str, str]) -> None:
    """Make an environment say that it holds these versions; their files are not needed to resolve."""
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    folder = Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())
    for name, version in packages.items():
        info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
        (info / "RECORD").write_text("", encoding="utf-8")
        (info / "INSTALLER").write_text("pip\n", encoding="utf-8")


def fetched(python: Path, extras: Sequence[str]) -> dict[str, int]:
    """The bytes of each file that pip would fetch."""
    items = pip_report(python, required(extras))
    return {one["metadata"]["name"]: _size(one["download_info"]["url"]) for one in items}


def _size(url: str) -> int:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return Path(unquote(parts.path)).stat().st_size
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def main(words: Sequence[str] | None = None) -> int:
    """Print a line for each lesson, and one for all extras."""
    parser = argparse.ArgumentParser(prog="python -m tools.setup_bytes", description="What setup cells fetch in Colab.")
    parser.add_argument("lessons", nargs="*", type=Path, default=sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")))
    parser.add_argument("--python", default="python3.12", help="the Python of Colab's runtime")
    asked = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([asked.python, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        pretend(python, {**pins(), "torch": TORCH})
        all_of_them = fetched(python, ["lessons"])
        whole = sum(all_of_them.values())
        print(f"{'all':<28} {whole / 1e6:>8.1f} MB in {len(all_of_them)} files: lessons")
        for lesson in asked.lessons:
            extras = setup_extras(lesson.stem).split(",")
            files = fetched(python, extras)
            size = sum(files.values())
            share = f"1/{whole / size:.0f}" if size else "nothing"
            print(f"{lesson.stem:<28} {size / 1e6:>8.1f} MB in {len(files)} files ({share}): {', '.join(extras)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
