# One dimension at a time, in float64, rounding by floor(v + 0.5).
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
        x = np.array(x, dtype=float)
        self.minimum, self.step = np.zeros(x.shape[1], np.float32), np.zeros(x.shape[1], np.float32)
        for d in range(x.shape[1]):
            column = x[:, d]
            self.minimum[d] = min(column)
            self.step[d] = (max(column) - min(column)) / 255
        return self

    def encode(self, x):
        """x (n, dim) floats -> (n, dim) uint8: the nearest mark of each number; outside the trained range, the mark at its end.

        ValueError: not trained yet, or not dim columns.
        """
        if self.step is None:
            raise ValueError("train first")
        x = np.asarray(x, dtype=float)
        if x.shape[1] != self.step.size:
            raise ValueError("dimensions")
        codes = np.zeros(x.shape, dtype=np.uint8)
        for d, (low, step) in enumerate(zip(self.minimum.astype(float), self.step.astype(float))):
            if step > 0:
                codes[:, d] = np.minimum(np.maximum(np.floor((x[:, d] - low) / step + 0.5), 0), 255).astype(np.uint8)
        return codes

    def decode(self, codes):
        """codes (n, dim) uint8 -> (n, dim) float32. ValueError: not trained yet."""
        if self.step is None:
            raise ValueError("train first")
        columns = [self.minimum[d] + self.step[d] * codes[:, d].astype(np.float32) for d in range(len(self.step))]
        return np.stack(columns, axis=1).astype(np.float32)
