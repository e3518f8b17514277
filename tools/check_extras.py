"""The wheel in a clean environment, without extras and with each: ``python -m tools.check_extras [EXTRA ...]``.

For each extra a virtual environment is made that holds the wheel, the extra and what these need, at the tested
versions; then the command and the import are tried, and one thing for which the extra is there. Without arguments all
are checked; ``none`` names the package alone. The heavy ones, which bring torch, a browser's driver or a site builder,
take minutes and gigabytes; torch comes first, from where pip finds it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tools.extra_programs import EXTRAS

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"

#: Their environments take longer than a test should.
HEAVY: Final = ("lessons", "compression", "models", "embedders", "router", "spark", "book", "lab", "test")
#: Those that want torch.
WITH_TORCH: Final = ("lessons", "compression", "models", "embedders", "lab", "test")


@dataclass(frozen=True, slots=True)
class Checked:
    """An extra that works.

    Attributes
    ----------
    extra : str
        Its name; ``none`` for the package alone.
    version : str
        What ``costlab --version`` prints.
    packages : int
        Distributions in the environment.
    megabytes : float
        Size of the environment.
    install_s, work_s : float
        Seconds for the installation, and for the work.
    """

    extra: str
    version: str
    packages: int
    megabytes: float
    install_s: float
    work_s: float


def check(extra: str, wheel: Path) -> Checked:
    """Make the environment and try it.

    Parameters
    ----------
    extra : str
        Its name; empty for the package alone.
    wheel : Path
        The built wheel.

    Raises
    ------
    SystemExit
        If something does not work; with what was printed.
    """
    with tempfile.TemporaryDirectory(prefix="costlab-extra-") as name:
        folder = Path(name)
        began_s = time.monotonic()
        # Without a pip of its own, and without compiling what nobody imports: half of the time.
        _run([sys.executable, "-m", "venv", "--without-pip", str(folder / "venv")], folder)
        python = str(folder / "venv" / "bin" / "python")
        pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
        install = [*pip, "install", "--quiet", "--no-compile", "--constraint", str(CONSTRAINTS)]
        if extra in WITH_TORCH:
            _run([*install, "torch"], folder)
        _run([*install, f"{wheel}[{extra}]" if extra else str(wheel)], folder)
        installed_s = time.monotonic()
        empty = folder / "empty"
        empty.mkdir()
        version = _run([str(folder / "venv" / "bin" / "costlab"), "--version"], empty).strip()
        where = _run([python, "-c", "import costlab; print(costlab.__file__)"], empty)
        if not where.startswith(name):
            raise SystemExit(f"{extra or 'none'}: costlab comes from {where.strip()}, not from the wheel")
        program = f"REPOSITORY = {str(ROOT)!r}\n" + textwrap.dedent(EXTRAS[extra])
        _run([python, "-W", "ignore", "-c", program], empty)
        packages = json.loads(_run([*pip, "list", "--format", "json"], empty))
        size = sum(path.lstat().st_size for path in (folder / "venv").rglob("*") if path.is_file())
        return Checked(
            extra=extra or "none",
            version=version,
            packages=len(packages),
            megabytes=round(size / 1e6, 1),
            install_s=round(installed_s - began_s, 1),
            work_s=round(time.monotonic() - installed_s, 1),
        )


def _run(command: Sequence[str], folder: Path) -> str:
    # Nothing of this checkout or of the caller's environment may help.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {"HOME": str(folder), "XDG_CACHE_HOME": str(folder / "cache"), "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)[:300]}\nended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def build(folder: Path) -> Path:
    """The wheel, built from the source archive."""
    command = [sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (wheel,) = folder.glob("*.whl")
    return wheel


def main() -> None:
    """Check the extras that are named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("extra", nargs="*", choices=["none", *filter(None, EXTRAS), []], help="by default all")
    parser.add_argument("--wheel", type=Path, help="a wheel that is built already")
    parser.add_argument("--json", action="store_true", help="print one list of JSON objects")
    asked = parser.parse_args()
    wanted = ["" if name == "none" else name for name in asked.extra] or list(EXTRAS)
    failed, found = [], []
    with tempfile.TemporaryDirectory() as name:
        wheel = (asked.wheel or build(Path(name))).resolve()
        for extra in wanted:
            try:
                one = check(extra, wheel)
            except SystemExit as error:
                print(f"{extra or 'none'}: {error}", file=sys.stderr)
                failed.append(extra or "none")
                continue
            found.append(one)
            if not asked.json:
                print(
                    f"{one.extra:<12} works: {one.packages:>3} packages, {one.megabytes:>7,.0f} MB, "
                    f"installed in {one.install_s:g} s, tried in {one.work_s:g} s",
                    flush=True,
                )
    if asked.json:
        print(json.dumps([asdict(one) for one in found]))
    if failed:
        raise SystemExit(f"these do not work: {', '.join(failed)}")


if __name__ == "__main__":
    main()
