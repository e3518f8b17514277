"""The language model of the tests, made once: random weights, and real in everything else."""

from typing import Any

import pytest

from tests import needs
from tests.router import tiny


@pytest.fixture(scope="session")
def llama() -> tuple[Any, Any]:
    """A model and its tokenizer; no test changes either."""
    needs.extra("torch", "models")
    needs.extra("transformers", "router")
    return tiny.language_model()
