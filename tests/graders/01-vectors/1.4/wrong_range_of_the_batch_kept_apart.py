# encode uses the batch's range, and decode the trained one.
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
        x = np.asarray(x, dtype=np.float32)
        self.minimum = x.min(axis=0)
        self.step = (x.max(axis=0) - self.minimum) / np.float32(255)
        return self

    def encode(self, x):
        """x (n, dim) floats -> (n, dim) uint8: the nearest mark of each number; outside the trained range, the mark at its end.

        ValueError: not trained yet, or not dim columns.
        """
        if self.minimum is None:
            raise ValueError("not trained yet: call train(x) first")
        x = np.asarray(x, dtype=np.float32)
        if x.shape[1] != len(self.minimum):
            raise ValueError(f"x has {x.shape[1]} dimensions, trained on {len(self.minimum)}")
        low, step = x.min(axis=0), np.ptp(x, axis=0) / 255
        marks = np.rint((x - low) / np.where(step > 0, step, 1))
        return np.clip(marks, 0, 255).astype(np.uint8)  # cut first: astype would wrap 256 round to 0

    def decode(self, codes):
        """codes (n, dim) uint8 -> (n, dim) float32. ValueError: not trained yet."""
        if self.minimum is None:
            raise ValueError("not trained yet: call train(x) first")
        return self.minimum + np.asarray(codes, dtype=np.float32) * self.step
