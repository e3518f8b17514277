"""Test with the oldest torch, torchao and transformers: ``python -m tools.oldest [--python python3.12] [TEST ...]``.

``pyproject.toml`` says which releases of the three are enough. An environment is made with just those, and with the
tested versions of everything else; then the tests of what stands on them run in it: compression, experiments and the
GPU kit. The suite itself runs with the newest, so that both ends are held. Takes gigabytes, and a quarter of an hour.
"""

import argparse
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

#: What decides whether the code runs; the others only have to be there.
LIBRARIES = ("torch", "torchao", "transformers")

#: What they choose the release of.
FREE = (*LIBRARIES, "huggingface-hub")

#: What runs in the environment by default.
TESTS = ("tests/compression", "tests/experiments", "tests/test_gpu_kit.py")


def floors() -> dict[str, str]:
    """The oldest release of each library that the extra ``models`` takes."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = (one.split(">=") for one in project["optional-dependencies"]["models"])
    return {name: oldest for name, oldest in wanted if name in LIBRARIES}


def models() -> list[str]:
    """What the Makefile installs of packages that carry a model."""
    lines = (ROOT / "Makefile").read_text(encoding="utf-8").splitlines()
    (line,) = (line for line in lines if line.startswith("MODELS = "))
    return line.removeprefix("MODELS = ").split()


def constraints() -> list[str]:
    """The tested versions, with the oldest of the three."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    others = [line for line in lines if not line.startswith("#") and line.split("==")[0] not in FREE]
    return [*others, *(f"{name}=={oldest}" for name, oldest in floors().items())]


def main() -> int:
    """Make the environment and run the tests; their exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.oldest", description="Test with the oldest libraries.")
    parser.add_argument("tests", nargs="*", default=list(TESTS))
    parser.add_argument("--python", default=sys.executable, help="the Python of the environment")
    asked = parser.parse_args()
    print(", ".join(f"{name} {oldest}" for name, oldest in floors().items()), flush=True)
    with tempfile.TemporaryDirectory(prefix="costlab-oldest-") as name:
        folder = Path(name)
        pins = folder / "constraints.txt"
        pins.write_text("\n".join(constraints()) + "\n", encoding="utf-8")
        subprocess.run([asked.python, "-m", "venv", str(folder / "venv")], check=True)
        python = str(folder / "venv" / "bin" / "python")
        install = [python, "-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
        packages = [f"{ROOT}[compression,models,plots,router,semantic]", "anyio", "hypothesis", "pytest"]
        subprocess.run([*install, "--constraint", str(pins), f"torch=={floors()['torch']}"], check=True)
        subprocess.run([*install, "--constraint", str(pins), *packages], check=True)
        subprocess.run([*install, *models()], check=True)
        command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *asked.tests]
        return subprocess.run(command, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
