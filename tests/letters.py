"""An embedder that costs nothing, for tests of what is done with vectors and not of how good they are."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["Letters"]


class Letters:
    """How often each letter occurs."""

    name = "letters"
    dimensions = 26

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        counts = [[1 + text.lower().count(chr(97 + k)) for k in range(26)] for text in texts]
        rows = np.array(counts).reshape(-1, self.dimensions)
        return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), dtype=np.float32)
