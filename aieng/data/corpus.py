"""Real text for the course: passages with metadata, and single words, both embedded by MiniLM.

The files lie in the checkout's ``assets/`` folder; ``assets/make_corpus.py`` made them from WordNet 3.0 (licence in
``assets/LICENSES.md``). Titles and texts are WordNet's. The prices are invented.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ASSETS = Path(__file__).resolve().parents[2] / "assets"


@dataclass(frozen=True)
class Passage:
    """One short text with its metadata: a row of the document store."""

    id: int  # its row in the embeddings
    title: str  # unique, "Sundress"
    text: str  # "Sundress: a light loose sleeveless summer dress ...", what was embedded
    category: str  # "clothing", "food", "animal", ...
    price: float | None  # euros, invented; None for what no shop sells


@dataclass(frozen=True)
class Corpus:
    """Passages and their embeddings; row i belongs to the passage with id i."""

    passages: list[Passage]
    embeddings: NDArray[np.float32]  # (n, 384), rows of length 1

    def __len__(self) -> int:
        return len(self.passages)

    @property
    def texts(self) -> list[str]:
        """The passages' texts, in row order."""
        return [passage.text for passage in self.passages]

    @property
    def categories(self) -> dict[str, int]:
        """Category to its number of passages, largest first."""
        return dict(Counter(passage.category for passage in self.passages).most_common())


def load_corpus() -> Corpus:
    """Load the passages and their embeddings (some milliseconds; no model is needed).

    Raises
    ------
    FileNotFoundError
        The assets folder is not beside the package.
    ValueError
        Passages and embeddings do not belong together.
    """
    lines = gzip.decompress(_asset("corpus.jsonl.gz").read_bytes()).decode("utf-8").splitlines()
    passages = [Passage(**json.loads(line)) for line in lines]
    embeddings = _unit_rows(np.load(_asset("corpus_embeddings.npy"), allow_pickle=False))
    if len(passages) != len(embeddings) or any(passage.id != row for row, passage in enumerate(passages)):
        raise ValueError(
            f"{len(passages)} passages and {len(embeddings)} embeddings in {ASSETS} do not fit together: "
            "restore both with `git checkout assets`, or run assets/make_corpus.py"
        )
    return Corpus(passages, embeddings)


def load_vocabulary() -> dict[str, NDArray[np.float32]]:
    """Load about 3,000 common English words, lower case, each with its embedding (384,), float32, of length 1.

    Raises
    ------
    FileNotFoundError
        The assets folder is not beside the package.
    """
    with np.load(_asset("vocabulary.npz"), allow_pickle=False) as archive:
        words, embeddings = archive["words"], _unit_rows(archive["embeddings"])
    return {str(word): row for word, row in zip(words, embeddings, strict=True)}


def _asset(name: str) -> Path:
    path = ASSETS / name
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} not found: the course's data lie in the checkout. Install it from there (make lab, or "
            "pip install -e .), and restore a deleted file with `git checkout assets`."
        )
    return path


def _unit_rows(half: NDArray[np.float16]) -> NDArray[np.float32]:
    """Half-precision rows to float32 rows of length 1: rounding to 16 bits moved the lengths by up to 1e-3."""
    x = half.astype(np.float32)
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)
