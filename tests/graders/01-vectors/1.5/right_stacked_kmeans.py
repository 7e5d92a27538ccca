# The reference: k-means and assign per piece, one table look-up per piece.
class ProductQuantizer:
    """Vectors as `M` catalogue numbers of `nbits` bits (Jégou, Douze and Schmid 2011).

    Parameters
    ----------
    M : int, number of pieces; piece m of a vector is its numbers m*dsub to (m+1)*dsub, dsub = dim // M
    nbits : int, 1 to 8; each piece has a codebook of ksub = 2**nbits centroids
    n_iter, seed : for k-means (`kmeans(x, k, n_iter, seed)` and `assign(x, centroids)` are imported for you)

    Attributes
    ----------
    codebooks : (M, ksub, dsub) float32, None before training. All other methods work from this array alone, so that
        codebooks from elsewhere can be put in.
    """

    def __init__(self, M, nbits=8, n_iter=25, seed=0):
        self.M, self.nbits, self.n_iter, self.seed = M, nbits, n_iter, seed
        self.ksub = 2**nbits
        self.codebooks = None

    def train(self, x):
        """Learn the codebooks from x (n, dim), n >= ksub; returns self. ValueError where M does not divide dim."""
        x = np.asarray(x, dtype=np.float32)
        if x.shape[1] % self.M:
            raise ValueError(f"{self.M} pieces do not divide {x.shape[1]} dimensions evenly")
        pieces = x.reshape(len(x), self.M, -1)  # (n, M, dsub)
        self.codebooks = np.stack(
            [kmeans(np.ascontiguousarray(pieces[:, m]), self.ksub, self.n_iter, self.seed + m) for m in range(self.M)]
        )
        return self

    def encode(self, x):
        """x (n, dim) -> (n, M) uint8: per piece, the nearest centroid. ValueError: not trained, or another dimension."""
        if self.codebooks is None:
            raise ValueError("the quantizer has no codebooks yet: call train(x) first")
        x = np.asarray(x, dtype=np.float32)
        if x.shape[1] != self.M * self.codebooks.shape[2]:
            raise ValueError(f"x has {x.shape[1]} dimensions, trained on {self.M * self.codebooks.shape[2]}")
        pieces = x.reshape(len(x), self.M, -1)
        codes = [assign(np.ascontiguousarray(pieces[:, m]), self.codebooks[m]) for m in range(self.M)]
        return np.stack(codes, axis=1).astype(np.uint8)

    def decode(self, codes):
        """codes (n, M) uint8 -> (n, dim) float32: the centroids side by side."""
        codes = np.asarray(codes)
        return self.codebooks[np.arange(self.M), codes].reshape(len(codes), -1)

    def distance_tables(self, queries):
        """queries (nq, dim) -> (nq, M, ksub) float32: squared distance of each query piece to each centroid."""
        pieces = np.asarray(queries, dtype=np.float32).reshape(len(queries), self.M, 1, -1)
        return ((pieces - self.codebooks) ** 2).sum(axis=-1)

    def search(self, queries, codes, k):
        """The k nearest codes of each query, by adding up entries of `self.distance_tables(queries)`.

        Returns (distances (nq, k) float32, ids (nq, k) int64), nearest first; a distance is ‖q − decode(code)‖² up to
        float32 rounding, an id is a row of `codes` (n, M); equal distances in any order. ValueError unless 1 <= k <= n.
        """
        if not 1 <= k <= len(codes):
            raise ValueError(f"k = {k} of {len(codes)} codes; choose 1 to {len(codes)}")
        tables = self.distance_tables(queries)
        distances = np.zeros((len(tables), len(codes)), dtype=np.float32)
        for m in range(self.M):
            distances += tables[:, m][:, codes[:, m]]  # (nq, n): one look-up per query and code
        nearest = np.argpartition(distances, k - 1, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distances, nearest, axis=1), axis=1)
        ids = np.take_along_axis(nearest, order, axis=1)
        return np.take_along_axis(distances, ids, axis=1), ids.astype(np.int64)
