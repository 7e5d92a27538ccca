# Divides in place.
def fake_quantize(x, scale, bits=8):
    """Numbers as they come back from symmetric codes, with a straight-through gradient.

    Parameters
    ----------
    x : Tensor, floating point
    scale : Tensor that broadcasts to x, or float; above 0; a constant, no gradient flows into it
    bits : int, 2 to 8; codes run from -(2^(bits-1) - 1) to 2^(bits-1) - 1

    Returns
    -------
    Tensor, shape and dtype of x: scale times the nearest allowed code
        Gradient with respect to x: 1 up to the outermost level, 0 from half a step beyond it on; in between, either is right.

    Raises
    ------
    ValueError: bits outside 2 … 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}; allowed are 2 to 8")
    highest = 2 ** (bits - 1) - 1
    scale = torch.as_tensor(scale, dtype=x.dtype).detach()
    inside = (x.data.div_(scale) + 0 * x).clamp(-highest, highest)  # its gradient stops outside
    codes = inside + (inside.round() - inside).detach()  # value of the rounded one, gradient of `inside`
    return codes * scale
