# default nprobe nlist
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
            raise ValueError(f"{len(x)} vectors for {self.nlist} lists; train on at least as many as lists")
        self.centroids = kmeans(x, self.nlist, seed=self.seed)
        return self

    def add(self, x):
        """Put x (n, dim) floats into the lists of their nearest centroids; ids are numbered on: 0, 1, 2, … in the order of adding.

        The centroids stay. ValueError: not trained yet, or another dim.
        """
        x = self._checked(x)
        if self.centroids is None:
            raise ValueError("train(x) comes before add(x)")
        lists = assign(x, self.centroids)
        ids = self.ntotal + np.arange(len(x))
        for i in np.unique(lists):
            self.vectors[i] = np.concatenate([self.vectors[i], x[lists == i]])
            self.ids[i] = np.concatenate([self.ids[i], ids[lists == i]])
        self.ntotal += len(x)

    def search(self, queries, k, nprobe=None):
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
        nprobe = self.nlist if nprobe is None else nprobe
        if self.ntotal == 0:
            raise ValueError("the index is empty; train(x) and add(x) first")
        if k < 1 or not 1 <= nprobe <= self.nlist:
            raise ValueError(f"k is {k} and nprobe {nprobe}; k is at least 1, nprobe 1 to {self.nlist}")
        distances = np.full((len(queries), k), np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        for row, query in enumerate(queries):
            probed = np.argsort(((self.centroids - query) ** 2).sum(axis=1))[:nprobe]
            candidates = np.concatenate([self.ids[i] for i in probed])
            squares = ((np.concatenate([self.vectors[i] for i in probed]) - query) ** 2).sum(axis=1)
            best = np.argsort(squares)[:k]
            distances[row, : len(best)], ids[row, : len(best)] = squares[best], candidates[best]
        return distances, ids

    def _checked(self, x):
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(f"got shape {x.shape}; this index takes (n, {self.dim})")
        return x
