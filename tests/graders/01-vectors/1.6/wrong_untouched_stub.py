# Nothing written.
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
        raise NotImplementedError

    def train(self, x):
        """Place the centroids by k-means on x (n, dim) floats; adds nothing; returns self. ValueError: n < nlist."""
        raise NotImplementedError

    def add(self, x):
        """Put x (n, dim) floats into the lists of their nearest centroids; ids are numbered on: 0, 1, 2, … in the order of adding.

        The centroids stay. ValueError: not trained yet, or another dim.
        """
        raise NotImplementedError

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
        raise NotImplementedError
