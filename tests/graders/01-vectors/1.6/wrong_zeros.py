# Zeros of the right shapes.
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

    def train(self, x):
        """Place the centroids."""
        self.centroids = np.zeros((self.nlist, self.dim), np.float32)
        return self

    def add(self, x):
        """Put x into lists."""
        self.ntotal += len(x)

    def search(self, queries, k, nprobe=1):
        """The k nearest."""
        return np.zeros((len(queries), k)), np.zeros((len(queries), k), int)
