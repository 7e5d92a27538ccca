# Plain loops, with a k-means of its own and tables flattened to one row.
class ProductQuantizer:
    """Catalogue numbers per piece."""

    def __init__(self, M, nbits=8, n_iter=25, seed=0):
        self.M, self.nbits, self.n_iter, self.seed = M, nbits, n_iter, seed
        self.ksub = 2**nbits
        self.codebooks = None

    def _lloyd(self, x, rng):
        centers = x[rng.permutation(len(x))[: self.ksub]].copy()
        for _ in range(self.n_iter):
            owner = self._closest(x, centers)
            for j in range(self.ksub):
                mine = x[owner == j]
                centers[j] = mine.mean(axis=0) if len(mine) else x[rng.integers(len(x))]
        return centers

    @staticmethod
    def _closest(x, centers):
        return ((x[:, None, :] - centers[None]) ** 2).sum(axis=2).argmin(axis=1)

    def train(self, x):
        x = np.asarray(x, dtype=np.float32)
        n, dim = x.shape
        if dim % self.M != 0:
            raise ValueError(f"dim {dim} is not a multiple of M {self.M}")
        if n < self.ksub:
            raise ValueError(f"{n} rows are too few for {self.ksub} centroids")
        rng = np.random.default_rng(self.seed)
        width = dim // self.M
        self.codebooks = np.empty((self.M, self.ksub, width), dtype=np.float32)
        for m in range(self.M):
            self.codebooks[m] = self._lloyd(x[:, m * width : (m + 1) * width], rng)
        return self

    def encode(self, x):
        if self.codebooks is None:
            raise ValueError("train first")
        width = self.codebooks.shape[-1]
        x = np.asarray(x, dtype=np.float32)
        if x.shape[1] != width * self.M:
            raise ValueError(f"expected {width * self.M} columns, got {x.shape[1]}")
        codes = np.zeros((len(x), self.M), dtype=np.uint8)
        for m in range(self.M):
            codes[:, m] = self._closest(x[:, m * width : (m + 1) * width], self.codebooks[m])
        return codes

    def decode(self, codes):
        return np.concatenate([self.codebooks[m][codes[:, m]] for m in range(self.M)], axis=1)

    def distance_tables(self, queries):
        queries = np.asarray(queries, dtype=np.float32)
        width = self.codebooks.shape[-1]
        out = np.empty((len(queries), self.M, self.ksub), dtype=np.float32)
        for i, query in enumerate(queries):
            for m in range(self.M):
                out[i, m] = ((query[m * width : (m + 1) * width] - self.codebooks[m]) ** 2).sum(axis=1)
        return out

    def search(self, queries, codes, k):
        if not 0 < k <= len(codes):
            raise ValueError(f"k = {k}, but there are {len(codes)} codes")
        offsets = codes.astype(np.int64) + np.arange(self.M) * self.ksub
        found, where = [], []
        for table in self.distance_tables(queries):
            distance = table.ravel()[offsets].sum(axis=1)
            best = np.argsort(distance)[:k]
            found.append(distance[best])
            where.append(best)
        return np.array(found, dtype=np.float32), np.array(where, dtype=np.int64)
