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
        # YOUR CODE HERE
        raise NotImplementedError()

    def encode(self, x):
        """x (n, dim) -> (n, M) uint8: per piece, the nearest centroid. ValueError: not trained, or another dimension."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def decode(self, codes):
        """codes (n, M) uint8 -> (n, dim) float32: the centroids side by side."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def distance_tables(self, queries):
        """queries (nq, dim) -> (nq, M, ksub) float32: squared distance of each query piece to each centroid."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def search(self, queries, codes, k):
        """The k nearest codes of each query, by adding up entries of `self.distance_tables(queries)`.

        Returns (distances (nq, k) float32, ids (nq, k) int64), nearest first; a distance is ‖q − decode(code)‖² up to
        float32 rounding, an id is a row of `codes` (n, M); equal distances in any order. ValueError unless 1 <= k <= n.
        """
        # YOUR CODE HERE
        raise NotImplementedError()
