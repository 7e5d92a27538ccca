# Clips the values to the range instead of the codes; divides where the step is not zero.
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
        x = np.asarray(x)
        self.minimum = np.min(x, axis=0).astype(np.float32)
        self.maximum = np.max(x, axis=0).astype(np.float32)
        self.step = (np.ptp(x, axis=0) / 255).astype(np.float32)
        return self

    def encode(self, x):
        """x (n, dim) floats -> (n, dim) uint8: the nearest mark of each number; outside the trained range, the mark at its end.

        ValueError: not trained yet, or not dim columns.
        """
        if self.minimum is None:
            raise ValueError("not trained")
        x = np.asarray(x, dtype=np.float32)
        if x.shape[1:] != self.minimum.shape:
            raise ValueError("dimensions")
        above = np.clip(x, self.minimum, self.maximum) - self.minimum
        marks = np.divide(above, self.step, out=np.zeros_like(above), where=self.step != 0)
        return np.round(marks).clip(max=255).astype(np.uint8)

    def decode(self, codes):
        """codes (n, dim) uint8 -> (n, dim) float32. ValueError: not trained yet."""
        if self.minimum is None:
            raise ValueError("not trained yet: call train(x) first")
        return self.minimum + np.asarray(codes, dtype=np.float32) * self.step
