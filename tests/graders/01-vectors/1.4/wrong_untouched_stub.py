# As it was handed out.
class ScalarQuantizer:
    """Affine 8-bit codes per dimension: x ≈ minimum + code · step.

    Attributes
    ----------
    minimum : (dim,) float32, smallest training value of each dimension; None before training
    step : (dim,) float32, (max − min) / 255 of each dimension; exactly 0 for one that never changes. None before training
    """

    def __init__(self):
        self.minimum = None
        self.step = None

    def train(self, x):
        """Learn each dimension's range from x (n, dim) floats, n >= 1; returns self. A second call starts afresh."""
        # YOUR CODE HERE
        raise NotImplementedError()

    def encode(self, x):
        """x (n, dim) floats -> (n, dim) uint8: the nearest mark of each number; outside the trained range, the mark at its end.

        ValueError: not trained yet, or not dim columns.
        """
        # YOUR CODE HERE
        raise NotImplementedError()

    def decode(self, codes):
        """codes (n, dim) uint8 -> (n, dim) float32. ValueError: not trained yet."""
        # YOUR CODE HERE
        raise NotImplementedError()
