# torch: cdist, the expanded square, gather and topk.
import torch


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
            raise ValueError("call train(x) first")
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.M * self.codebooks.shape[2]:
            raise ValueError(f"x has shape {x.shape}")
        pieces = torch.from_numpy(x.copy()).view(len(x), self.M, -1).transpose(0, 1)
        return torch.cdist(pieces, torch.from_numpy(self.codebooks), compute_mode="donot_use_mm_for_euclid_dist").argmin(-1).T.to(torch.uint8).numpy()

    def decode(self, codes):
        """codes (n, M) uint8 -> (n, dim) float32: the centroids side by side."""
        codes = np.asarray(codes)
        return self.codebooks[np.arange(self.M), codes].reshape(len(codes), -1)

    def distance_tables(self, queries):
        """queries (nq, dim) -> (nq, M, ksub) float32: squared distance of each query piece to each centroid."""
        pieces = torch.as_tensor(np.asarray(queries, dtype=np.float32).copy()).view(len(queries), self.M, -1).transpose(0, 1)
        books = torch.from_numpy(self.codebooks)
        squares = (pieces**2).sum(-1, keepdim=True) - 2 * pieces @ books.mT + (books**2).sum(-1)[:, None]
        return squares.transpose(0, 1).contiguous().numpy()

    def search(self, queries, codes, k):
        """The k nearest codes of each query, by adding up entries of `self.distance_tables(queries)`.

        Returns (distances (nq, k) float32, ids (nq, k) int64), nearest first; a distance is ‖q − decode(code)‖² up to
        float32 rounding, an id is a row of `codes` (n, M); equal distances in any order. ValueError unless 1 <= k <= n.
        """
        if k < 1 or k > len(codes):
            raise ValueError(f"k must be 1 to {len(codes)}, got {k}")
        tables = torch.from_numpy(np.ascontiguousarray(self.distance_tables(queries)))
        index = torch.from_numpy(np.asarray(codes)).long().T.expand(len(tables), -1, -1)
        best = tables.gather(2, index).sum(1).topk(k, largest=False)
        return best.values.numpy(), best.indices.numpy()
