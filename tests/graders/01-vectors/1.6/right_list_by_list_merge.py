# Goes through the probed lists in turn and merges each into the best so far; a dict holds the lists.
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
        self.lists = {}

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
        x = self._checked(x)
        if self.centroids is None:
            raise ValueError("not trained")
        lists = assign(x, self.centroids)
        order = np.argsort(lists, kind="stable")
        cells, starts = np.unique(lists[order], return_index=True)
        for cell, members in zip(cells.tolist(), np.split(order, starts[1:])):
            vectors, ids = self.lists.setdefault(cell, ([], []))
            vectors.append(x[members])
            ids.append(members + self.ntotal)
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

        distances = np.full((len(queries), k), np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), -1, dtype=np.int64)
        gaps = np.stack([np.square(self.centroids - q).sum(axis=1) for q in queries])
        for row, cells in enumerate(np.argsort(gaps, axis=1)[:, :nprobe].tolist()):
            for cell in cells:
                for vectors, names in zip(*self.lists.get(cell, ([], []))):
                    squares = np.append(distances[row], np.square(vectors - queries[row]).sum(axis=1))
                    names = np.append(ids[row], names)
                    best = np.argsort(squares, kind="stable")[:k]
                    distances[row], ids[row] = squares[best], names[best]
        return distances, ids


    def _checked(self, x):
        x = np.asarray(x, dtype=np.float32)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError("another dim")
        return x
