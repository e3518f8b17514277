"""Point a fork's copy at the fork: ``python -m tools.rename https://github.com/OWNER/NAME``.

Setup cells, Colab and Binder links, install commands, citation and tests name the repository that the package's
metadata names. All of them are changed together; the name of the package stays.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

#: Colab and Binder open repositories of GitHub, so a fork is one.
ADDRESS: Final = re.compile(r"https://github\.com/([A-Za-z0-9][A-Za-z0-9-]*/[A-Za-z0-9_-][A-Za-z0-9._-]*?)(?:\.git)?/?")


def repository(root: Path) -> str:
    """``OWNER/NAME`` as the metadata of the package has it."""
    urls = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["urls"]
    return _name(urls["Repository"])


def rename(root: Path, url: str) -> list[Path]:
    """Name another repository in every file of a checkout; the files that were changed.

    Raises
    ------
    ValueError
        If `url` is no address of a repository on GitHub.
    """
    new, old = _name(url), repository(root)
    # As an address has it, also where dots are escaped, and no longer name that begins alike.
    named = re.compile(rf"(?<=/){re.escape(old)}(?![A-Za-z0-9_-]|\.(?!git)[A-Za-z0-9])")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout
    changed = []
    for path in (root / name for name in listed.split("\0") if name):
        try:
            text = path.read_text(encoding="utf-8")
        except (UnicodeDecodeError, FileNotFoundError):
            continue  # a picture or a model; or a file that was removed
        if (renamed := named.sub(lambda _: new, text)) != text:
            path.write_text(renamed, encoding="utf-8")
            changed.append(path)
    return changed


def _name(url: str) -> str:
    if not (match := ADDRESS.fullmatch(url)):
        raise ValueError(f"the address must be https://github.com/OWNER/NAME, got {url!r}")
    return match[1]


def main(arguments: Sequence[str] | None = None) -> int:
    """Rename in the checkout that this file is in; the status is 2 where the address is none."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    root = Path(__file__).parents[1]
    try:
        (url,) = given or [""]
        old, changed = repository(root), rename(root, url)
    except ValueError as error:
        print(f"rename: {error}", file=sys.stderr)
        return 2
    print(f"{old} is {repository(root)} now, in {len(changed)} files; look at `git diff`, then `make book`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
