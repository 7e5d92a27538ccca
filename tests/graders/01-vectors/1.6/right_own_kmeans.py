# Its own k-means (Lloyd, in numpy, empty centroids drawn anew) and its own assignment.
from aieng.vectors.kmeans import assign, kmeans


class IVFIndex:
    """Vectors in `nlist` lists, each around a centroid; a search looks only through the `nprobe` lists nearest to the query (squared L2).

    Parameters
    ----------
    dim : int, numbers of a vector
    nlist : int, number of lists
    seed : int, of k-means

    Attributes
    ----------
    centroids : (nlist, dim) float32, None before training
    ntotal : int, number of vectors added so far
    """

    def __init__(self, dim, nlist, seed=0):
        self.dim, self.nlist, self.seed = dim, nlist, seed
        self.centroids = None
        self.ntotal = 0
        self.vectors = [np.empty((0, dim), dtype=np.float32) for _ in range(nlist)]
        self.ids = [np.empty(0, dtype=np.int64) for _ in range(nlist)]

    def train(self, x):
        """Place the centroids by k-means on x (n, dim) floats; adds nothing; returns self. ValueError: n < nlist."""
        x = self._checked(x)
        if len(x) < self.nlist:
            raise ValueError("too few rows")
        rng = np.random.default_rng(self.seed)
        centroids = x[rng.choice(len(x), self.nlist, replace=False)]
        for _ in range(30):
            lists = self._nearest(x, centroids)
            for i in range(self.nlist):
                members = x[lists == i]
                centroids[i] = members.mean(axis=0) if len(members) else x[rng.integers(len(x))]
        self.centroids = centroids
        return self

    def add(self, x):
        """Put x (n, dim) floats into the lists of their nearest centroids; ids are numbered on: 0, 1, 2, … in the order of adding.

        The centroids stay. ValueError: not trained yet, or another dim.
        """
        x = self._checked(x)
        if self.centroids is None:
            raise ValueError("not trained")
        lists = self._nearest(x, self.centroids)
        for i in range(self.nlist):
            members = np.flatnonzero(lists == i)
            self.vectors[i] = np.concatenate([self.vectors[i], x[members]])
            self.ids[i] = np.concatenate([self.ids[i], members + self.ntotal])
        self.ntotal += len(x)

    def search(self, queries, k, nprobe=1):
        """The k nearest vectors in the `nprobe` lists whose centroids are nearest to each query.

        Parameters
        ----------
        queries : (n_queries, dim) floats
        k : int, at least 1; may be more than the lists hold
        nprobe : int, 1 to nlist; with nlist the answer is exact

        Returns
        -------
        distances : (n_queries, k) floats, squared, nearest first; inf where the probed lists held fewer than k vectors
        ids : (n_queries, k) integers; -1 in those places

        Raises
        ------
        ValueError: nothing trained or added yet, another dim, k < 1, nprobe out of range.

        What a search reads and allocates depends on the lists it looks into, not on `ntotal`.
        """
        queries = self._checked(queries)
        if self.ntotal == 0:
            raise ValueError("empty")
        if k < 1 or not 1 <= nprobe <= self.nlist:
            raise ValueError("k or nprobe out of range")

        found = [self._one(query, k, nprobe) for query in queries]
        return np.stack([d for d, _ in found]), np.stack([i for _, i in found])

    def _one(self, query, k, nprobe):
        cells = np.argsort(np.linalg.norm(self.centroids - query, axis=1))[:nprobe]
        ids = np.concatenate([self.ids[i] for i in cells] + [np.full(k, -1)])
        squares = np.concatenate([np.square(self.vectors[i] - query).sum(1) for i in cells] + [np.full(k, np.inf)])
        best = np.argsort(squares)[:k]
        return squares[best], ids[best]

    def _nearest(self, x, centroids):
        mean = centroids.mean(axis=0)
        c = (centroids - mean).astype(np.float64)
        return np.argmin((c**2).sum(axis=1) - 2 * (x - mean) @ c.T, axis=1)


    def _checked(self, x):
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError("another dim")
        return x
