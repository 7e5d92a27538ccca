# All rows in one array, sorted by list, with the bounds of each list.
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
        self.rows = np.empty((0, dim), dtype=np.float32)
        self.row_ids = np.empty(0, dtype=int)
        self.bounds = np.zeros(nlist + 1, dtype=int)

    def train(self, x):
        """Place the centroids by k-means on x (n, dim) floats; adds nothing; returns self. ValueError: n < nlist."""
        x = self._checked(x)
        if len(x) < self.nlist:
            raise ValueError("too few rows")
        self.centroids = kmeans(x, self.nlist, seed=self.seed)
        return self

    def add(self, x):
        """Put x (n, dim) floats into the lists of their nearest centroids; ids are numbered on: 0, 1, 2, … in the order of adding.

        The centroids stay. ValueError: not trained yet, or another dim.
        """
        if self.centroids is None:
            raise ValueError("not trained")
        x = self._checked(x)
        old = np.repeat(np.arange(self.nlist), np.diff(self.bounds))
        lists = np.concatenate([old, assign(x, self.centroids)])
        order = np.argsort(lists, kind="stable")
        self.rows = np.concatenate([self.rows, x])[order]
        self.row_ids = np.concatenate([self.row_ids, np.arange(self.ntotal, self.ntotal + len(x))])[order]
        self.bounds = np.searchsorted(lists[order], np.arange(self.nlist + 1))
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

        to_centroids = (queries**2).sum(1)[:, None] - 2 * queries @ self.centroids.T + (self.centroids**2).sum(1)
        probes = np.argpartition(to_centroids, nprobe - 1, axis=1)[:, :nprobe]
        distances, ids = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1)
        for q in range(len(queries)):
            pieces = [slice(self.bounds[i], self.bounds[i + 1]) for i in probes[q]]
            squares = np.concatenate([np.square(self.rows[piece] - queries[q]).sum(axis=1) for piece in pieces])
            names = np.concatenate([self.row_ids[piece] for piece in pieces])
            best = np.argsort(squares)[:k]
            distances[q, : best.size] = squares[best]
            ids[q, : best.size] = names[best]
        return distances, ids


    def _checked(self, x):
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError("another dim")
        return x
