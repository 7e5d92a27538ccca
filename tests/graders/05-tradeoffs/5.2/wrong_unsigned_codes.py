# Q8_0 codes read without their sign.
def quantize_groups(x, bits=4, group_size=32):
    """Affine codes with a scale and a minimum for every `group_size` neighbours along the last axis.

    Parameters
    ----------
    x : Tensor (..., n), floating point
    bits : int, 1 to 8: 2^bits levels, from each group's smallest to its largest number
    group_size : int, divides n

    Returns
    -------
    codes : Tensor (..., n), uint8, the nearest level of each number
    scale, minimum : Tensor (..., n // group_size), float32; a group of equal numbers has scale 0

    Raises
    ------
    ValueError: bits outside 1 … 8, or group_size does not divide n.
    """
    if not 1 <= bits <= 8 or group_size < 1 or x.shape[-1] % group_size:
        raise ValueError(f"bits={bits}, group_size={group_size} for rows of {x.shape[-1]}: need 1 to 8 bits and a divisor of the row")
    groups = x.float().unflatten(-1, (-1, group_size))  # (..., groups, group_size)
    minimum = groups.amin(-1)
    scale = (groups.amax(-1) - minimum) / (2**bits - 1)
    step = torch.where(scale > 0, scale, 1.0)
    codes = ((groups - minimum[..., None]) / step[..., None]).round().clamp(0, 2**bits - 1)
    return codes.to(torch.uint8).flatten(-2), scale, minimum


def decode_q8_0(blocks):
    """Q8_0 blocks (n_blocks, 34) uint8 to weights (n_blocks, 32) float32. ValueError: another number of bytes."""
    if blocks.ndim != 2 or blocks.shape[1] != 34:
        raise ValueError(f"blocks have shape {tuple(blocks.shape)}; expected (n_blocks, 34)")
    scale = blocks[:, :2].contiguous().view(torch.float16).float()  # (n_blocks, 1)
    return scale * blocks[:, 2:].float()


def encode_q8_0(weights):
    """Weights (n_blocks, 32) floating point to Q8_0 blocks (n_blocks, 34) uint8: absmax, largest code 127.

    ValueError: blocks of another size.
    """
    if weights.ndim != 2 or weights.shape[1] != 32:
        raise ValueError(f"weights have shape {tuple(weights.shape)}; expected (n_blocks, 32)")
    weights = weights.float()
    scale = (weights.abs().amax(1, keepdim=True) / 127).half()
    step = torch.where(scale > 0, scale.float(), 1.0)  # divide by what a reader will find
    codes = (weights / step).round().clamp(-127, 127).to(torch.int8)
    return torch.cat([scale.view(torch.uint8), codes.view(torch.uint8)], dim=1)


def decode_q4_1(blocks):
    """Q4_1 blocks (n_blocks, 20) uint8 to weights (n_blocks, 32) float32. ValueError: another number of bytes."""
    if blocks.ndim != 2 or blocks.shape[1] != 20:
        raise ValueError(f"blocks have shape {tuple(blocks.shape)}; expected (n_blocks, 20)")
    scale = blocks[:, :2].contiguous().view(torch.float16).float()
    minimum = blocks[:, 2:4].contiguous().view(torch.float16).float()
    packed = blocks[:, 4:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)  # (n_blocks, 32)
    return minimum + scale * codes.float()


def encode_q4_1(weights):
    """Weights (n_blocks, 32) floating point to Q4_1 blocks (n_blocks, 20) uint8: 16 levels from smallest to largest.

    ValueError: blocks of another size.
    """
    if weights.ndim != 2 or weights.shape[1] != 32:
        raise ValueError(f"weights have shape {tuple(weights.shape)}; expected (n_blocks, 32)")
    weights = weights.float()
    minimum, largest = weights.amin(1, keepdim=True), weights.amax(1, keepdim=True)
    scale, minimum = ((largest - minimum) / 15).half(), minimum.half()
    step = torch.where(scale > 0, scale.float(), 1.0)
    codes = ((weights - minimum.float()) / step).round().clamp(0, 15).to(torch.uint8)
    packed = codes[:, :16] | (codes[:, 16:] << 4)
    return torch.cat([scale.view(torch.uint8), minimum.view(torch.uint8), packed], dim=1)
