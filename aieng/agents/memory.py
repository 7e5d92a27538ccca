"""Long-term memory: notes that are found again by their meaning, also after a restart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import numpy as np

from aieng.vectors.storage import load_arrays, save_arrays


class Memory:
    """Texts in a vector index.

    Parameters
    ----------
    encode : callable, list of n texts to (n, dim) unit vectors
    index : an empty index of section 01 with ``add(x)`` and ``search(queries, k)`` to (similarities, ids), both (n, k), best first

    Attributes
    ----------
    texts : list of str, in the order in which they came; a text's place is its id in the index
    """

    def __init__(self, encode: Callable[[list[str]], np.ndarray], index: Any) -> None:
        self.encode, self.index = encode, index
        self.texts: list[str] = []
        self._vectors: list[np.ndarray] = []

    def add(self, text: str) -> int:
        """Remember a text and return its id; one that is known already is not stored twice. ValueError for an empty one."""
        if not text.strip():
            raise ValueError("nothing to remember: the text is empty")
        if text not in self.texts:
            self._put([text], np.asarray(self.encode([text])))
        return self.texts.index(text)

    def search(self, query: str, k: int = 3, min_score: float = 0.3) -> list[tuple[str, float]]:
        """Up to k texts that score at least `min_score`, as (text, score), best first."""
        if not self.texts:
            return []
        scores, ids = self.index.search(np.asarray(self.encode([query])), min(k, len(self.texts)))
        return [(self.texts[i], float(score)) for score, i in zip(scores[0], ids[0]) if i >= 0 and score >= min_score]

    def save(self, path: str | Path) -> None:
        """Write texts and vectors to one file: the old one or the whole new one, also when the machine stops half way."""
        vectors = np.stack(self._vectors) if self._vectors else np.zeros((0, 0), dtype=np.float32)
        save_arrays(path, "Memory", {"vectors": vectors}, {"texts": self.texts})

    @classmethod
    def load(cls, path: str | Path, encode: Callable[[list[str]], np.ndarray], index: Any) -> Self:
        """Read what `save` wrote into an empty index; nothing is embedded anew."""
        arrays, meta = load_arrays(path, "Memory")
        memory = cls(encode, index)
        if meta["texts"]:
            memory._put(meta["texts"], arrays["vectors"])
        return memory

    def _put(self, texts: list[str], vectors: np.ndarray) -> None:
        self.index.add(vectors)
        self.texts += texts
        self._vectors += list(vectors)
