# The step is the largest magnitude over 128.
def quantize_absmax(x, dim=None, bits=8):
    """Symmetric codes: the largest magnitude gets the largest code, 2^(bits-1) - 1, and 0 stays 0.

    Parameters
    ----------
    x : Tensor, any shape, floating point, not empty
    dim : int, optional
        Axis along which numbers share a scale; None: one scale for the whole tensor.
    bits : int, 2 to 8; codes run from -(2^(bits-1) - 1) to 2^(bits-1) - 1

    Returns
    -------
    codes : Tensor int8, shape of x, each the nearest to x / scale
    scale : Tensor float32, shape of x with 1 in place of `dim`, or () for None; 1 where all numbers are 0

    Raises
    ------
    ValueError: bits outside 2 … 8.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}; allowed are 2 to 8")
    highest = 2 ** (bits - 1) - 1
    x = x.float()
    largest = x.abs().amax() if dim is None else x.abs().amax(dim, keepdim=True)
    scale = torch.where(largest > 0, largest / (highest + 1), 1.0)
    return (x / scale).round().clamp(-highest, highest).to(torch.int8), scale


def quantize_affine(x, dim=None):
    """Affine 8-bit codes: the range of x, widened to contain 0, on 0 … 255.

    Parameters
    ----------
    x, dim : as in quantize_absmax

    Returns
    -------
    codes : Tensor uint8, shape of x
    scale : Tensor float32, zero_point : Tensor int32, the code of 0.0
        Shape of x with 1 in place of `dim`, or (). x ≈ scale * (codes - zero_point). Where all numbers are 0: scale 1, zero_point 0.
    """
    x = x.float()
    low, high = (x.amin(), x.amax()) if dim is None else (x.amin(dim, keepdim=True), x.amax(dim, keepdim=True))
    low, high = low.clamp(max=0.0), high.clamp(min=0.0)
    scale = torch.where(high > low, (high - low) / 255, 1.0)
    zero_point = (-low / scale).round()
    codes = ((x / scale).round() + zero_point).clamp(0, 255)
    return codes.to(torch.uint8), scale, zero_point.to(torch.int32)


def int8_matmul(x, weight_codes, weight_scale):
    """x Wᵀ with both sides as 8-bit integers: x is quantized here (absmax, one scale per row), sums are 32-bit integers.

    Parameters
    ----------
    x : Tensor (..., in), floating point
    weight_codes : Tensor (out, in), int8
    weight_scale : Tensor (out, 1), or () for one scale, float32

    Returns
    -------
    Tensor (..., out), float32

    Raises
    ------
    ValueError: x and the weight have different numbers of inputs.
    """
    if x.shape[-1] != weight_codes.shape[-1]:
        raise ValueError(f"x has {x.shape[-1]} inputs a row, the weight {weight_codes.shape[-1]}")
    codes, scale = quantize_absmax(x, dim=-1)
    sums = codes.to(torch.int32) @ weight_codes.to(torch.int32).mT  # (..., out); products of bytes do not fit into bytes
    return sums.float() * scale * weight_scale.reshape(-1)
