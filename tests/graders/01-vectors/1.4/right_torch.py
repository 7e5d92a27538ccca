# torch: aminmax, round, clamp.
import torch


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
        low, high = torch.aminmax(torch.as_tensor(np.ascontiguousarray(x)).float(), dim=0)
        self.minimum, self.step = low.numpy(), ((high - low) / 255).numpy()
        return self

    def encode(self, x):
        """x (n, dim) floats -> (n, dim) uint8: the nearest mark of each number; outside the trained range, the mark at its end.

        ValueError: not trained yet, or not dim columns.
        """
        if self.minimum is None or np.shape(x)[1] != self.minimum.shape[0]:
            raise ValueError("not trained, or another dimension")
        data = torch.as_tensor(np.ascontiguousarray(x)).float() - torch.as_tensor(self.minimum)
        step = torch.as_tensor(self.step)
        marks = torch.where(step > 0, data / step.masked_fill(step == 0, 1.0), torch.zeros(()))
        return marks.round().clamp(0, 255).to(torch.uint8).numpy()

    def decode(self, codes):
        """codes (n, dim) uint8 -> (n, dim) float32. ValueError: not trained yet."""
        if self.minimum is None:
            raise ValueError("not trained")
        return (torch.as_tensor(self.minimum) + torch.as_tensor(np.asarray(codes)).float() * torch.as_tensor(self.step)).numpy()
