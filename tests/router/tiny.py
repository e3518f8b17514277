"""Real models, small enough to be made while the tests run: a language model without any training, and classifiers."""

from __future__ import annotations

import string
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from costlab.cache.semantic import Embedder

TEXTS = ("reset my password", "password forgotten", "cancel my plan", "please end the plan", "new password", "end plan")
LABELS = ("password", "password", "cancel", "cancel", "password", "cancel")


def language_model(seed: int = 0) -> tuple[Any, Any]:
    """A Llama of 2 layers with random weights, and a tokenizer with a token for each printable character."""
    import tokenizers
    import torch
    import transformers

    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *string.printable])}
    characters = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    characters.pre_tokenizer = tokenizers.pre_tokenizers.Split("", "isolated")
    characters.decoder = tokenizers.decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=characters, unk_token="<unk>", bos_token="<s>", eos_token="</s>", pad_token="</s>"
    )
    tokenizer.chat_template = "<s>{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}assistant: "
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=4096,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
    )
    return transformers.LlamaForCausalLM(config).eval(), tokenizer


def text_classifier() -> Any:
    """TF-IDF and logistic regression, fitted on six sentences."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, LABELS)


class LetterEmbedder:
    """Vectors of the letters in a text: enough to tell six sentences apart, and quick."""

    name, dimensions = "letters", 26

    def embed(self, texts: Sequence[str]) -> Any:
        counts = np.array([[text.lower().count(letter) for letter in string.ascii_lowercase] for text in texts])
        lengths = np.linalg.norm(counts, axis=1, keepdims=True)
        return (counts / np.where(lengths, lengths, 1)).astype(np.float32)


def vector_classifier(embedder: Embedder | None = None) -> Any:
    """Logistic regression on vectors, by default those of the letters."""
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression().fit((embedder or LetterEmbedder()).embed(TEXTS), LABELS)


class Slow:
    """Anything, with a method that takes longer: it computes, as far as the event loop can tell."""

    def __init__(self, inner: Any, method: str, seconds: float) -> None:
        self._inner, self._method, self._seconds = inner, method, seconds

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if name != self._method:
            return found

        def slowly(*args: Any, **kwargs: Any) -> Any:
            time.sleep(self._seconds)
            return found(*args, **kwargs)

        return slowly
