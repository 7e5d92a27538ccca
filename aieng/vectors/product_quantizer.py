"""Product quantization (Jégou, Douze and Schmid 2011, IEEE TPAMI 33(1), sections II and III)."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from aieng.vectors import _adc
from aieng.vectors._threads import Threads
from aieng.vectors._topk import best_first
from aieng.vectors._validation import as_matrix, as_positive_int
from aieng.vectors.kmeans import assign, kmeans
from aieng.vectors.storage import load_arrays, save_arrays

_ROWS_PER_CENTROID = 256  # more training rows than this cost time and hardly move a centroid (faiss draws the line there, too)
_ALONE = 16  # fewer queries than this are scanned one by one; a shared pass costs as much for one lane as for all


class ProductQuantizer:
    """Vectors as M codes of nbits bits: one k-means codebook for each of M consecutive pieces of the vector.

    Parameters
    ----------
    M : number of pieces; must divide the dimension
    nbits : bits of a code, 1 to 8; a codebook has ksub = 2**nbits centroids
    n_iter : rounds of k-means
    seed : of the choice of training rows and starting centroids

    Attributes
    ----------
    codebooks : (M, ksub, dsub) float32, dsub = dim / M; may be set, for example to those of another library
    """

    def __init__(self, M: int, nbits: int = 8, n_iter: int = 25, seed: int = 0) -> None:
        self.M = as_positive_int(M, "M")
        self.nbits = as_positive_int(nbits, "nbits", maximum=8)
        self.n_iter = as_positive_int(n_iter, "n_iter")
        self.seed = seed
        self._codebooks: NDArray[np.float32] | None = None

    @property
    def ksub(self) -> int:
        """Centroids per codebook."""
        return int(2**self.nbits)

    @property
    def dim(self) -> int:
        """Dimensions of a vector."""
        return self.M * self.codebooks.shape[2]

    @property
    def codebooks(self) -> NDArray[np.float32]:
        if self._codebooks is None:
            raise ValueError("this ProductQuantizer is not trained; call train(x) with example vectors first")
        return self._codebooks

    @codebooks.setter
    def codebooks(self, books: Any) -> None:
        array = np.asarray(books)
        if array.ndim != 3 or array.shape[:2] != (self.M, self.ksub):
            raise ValueError(f"codebooks have shape {array.shape}; expected (M={self.M}, ksub={self.ksub}, dsub)")
        self._codebooks = as_matrix(array.reshape(self.M * self.ksub, -1), "codebooks").reshape(array.shape)

    def train(self, x: Any) -> Self:
        """Learn the codebooks from x (n, dim) floats, n >= ksub; of more than 256 · ksub rows a random sample is used.

        Raises
        ------
        ValueError
            M does not divide dim; fewer rows than centroids; NaN or infinity.
        """
        x = as_matrix(x, "x")
        if x.shape[1] % self.M:
            raise ValueError(f"vectors have {x.shape[1]} dimensions, which M={self.M} does not divide; choose an M that does")
        if len(x) > _ROWS_PER_CENTROID * self.ksub:
            rows = np.random.default_rng(self.seed).choice(len(x), _ROWS_PER_CENTROID * self.ksub, replace=False)
            x = x[np.sort(rows)]
        pieces = x.reshape(len(x), self.M, -1)
        self._codebooks = np.stack([kmeans(pieces[:, m], self.ksub, self.n_iter, self.seed + m) for m in range(self.M)])
        return self

    def encode(self, x: Any) -> NDArray[np.uint8]:
        """x (n, dim) floats to codes (n, M) uint8: the nearest centroid of each piece."""
        pieces = as_matrix(x, "x", self.dim).reshape(-1, self.M, self.codebooks.shape[2])
        codes = np.empty((len(pieces), self.M), np.uint8)
        for m, book in enumerate(self.codebooks):
            codes[:, m] = assign(pieces[:, m], book)
        return codes

    def decode(self, codes: Any) -> NDArray[np.float32]:
        """Codes (n, M) uint8 to (n, dim) float32: the centroids that they name, side by side."""
        codes = self._checked(codes)
        return self.codebooks[np.arange(self.M), codes].reshape(len(codes), self.dim)

    def distance_tables(self, queries: Any) -> NDArray[np.float32]:
        """Squared distances of each query's pieces to all centroids: (n_queries, M, ksub) float32."""
        pieces = as_matrix(queries, "queries", self.dim).reshape(-1, self.M, 1, self.codebooks.shape[2])
        tables = np.empty((len(pieces), self.M, self.ksub), np.float32)
        for table, piece in zip(tables, pieces):
            table[:] = ((piece - self.codebooks) ** 2).sum(axis=-1)
        return tables

    def search(self, queries: Any, codes: Any, k: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """The k codes whose decoded vectors are nearest to each query, by table look-up (asymmetric distance, section III.B).

        Parameters
        ----------
        queries : (n_queries, dim) floats; they are not quantized
        codes : (n, M) uint8, as from `encode`
        k : 1 <= k <= n

        Returns
        -------
        distances : (n_queries, k) float32, squared L2 to the decoded vectors, smallest first
        ids : (n_queries, k) int64, rows of `codes`
        """
        queries, codes = as_matrix(queries, "queries", self.dim), self._checked(codes)
        k = as_positive_int(k, "k", maximum=len(codes))
        scores = np.full((len(queries), k), np.inf, np.float32)
        ids = np.full((len(queries), k), -1, np.int64)
        with Threads() as threads:
            threads.share(len(queries), lambda start, stop: self._scan(queries[start:stop], codes, scores[start:stop], ids[start:stop]))
        return best_first(scores, ids)

    def _scan(
        self, queries: NDArray[np.float32], codes: NDArray[np.uint8], scores: NDArray[np.float32], ids: NDArray[np.int64]
    ) -> None:
        """Search in groups of queries that share one pass over the codes; a few queries alone are quicker one by one."""
        tables = np.zeros((-(-self.M // 4) * 4, self.ksub, _adc.LANES), np.float32)
        for first in range(0, len(queries), _adc.LANES):
            group = slice(first, first + _adc.LANES)
            if len(queries[group]) < _ALONE:
                for query, table in zip(range(first, len(queries)), self.distance_tables(queries[group])):
                    _adc.scan_codes_once(codes, table, scores[query], ids[query])
            else:
                _adc.fill_tables(queries[group], self.codebooks, tables)
                _adc.scan_codes(codes, tables, scores[group], ids[group])

    def _checked(self, codes: Any) -> NDArray[np.uint8]:
        codes = np.asarray(codes)
        if codes.ndim != 2 or codes.shape[1] != self.M or codes.dtype != np.uint8:
            raise ValueError(f"codes have shape {codes.shape} and dtype {codes.dtype}; expected (n, {self.M}) uint8")
        if self.nbits < 8 and codes.size and codes.max() >= self.ksub:
            raise ValueError(f"codes hold {codes.max()}; with nbits={self.nbits} the largest is {self.ksub - 1}")
        return np.ascontiguousarray(codes)

    def save(self, path: str | Path) -> None:
        """Write the codebooks to a file, atomically."""
        save_arrays(path, "ProductQuantizer", {"codebooks": self.codebooks}, {"nbits": self.nbits})

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        arrays, meta = load_arrays(path, "ProductQuantizer")
        quantizer = cls(len(arrays["codebooks"]), meta["nbits"])
        quantizer.codebooks = arrays["codebooks"]
        return quantizer
