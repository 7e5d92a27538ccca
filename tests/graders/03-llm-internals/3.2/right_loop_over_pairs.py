# One pair after the other.
def rope_frequencies(head_dim, theta=10000.0):
    if head_dim < 2 or head_dim % 2 != 0:
        raise ValueError("head_dim must be even")
    if theta <= 0:
        raise ValueError("theta must be above 0")
    return torch.exp(-math.log(theta) * torch.arange(0, head_dim, 2, dtype=torch.float64) / head_dim).float()


def apply_rope(x, positions, theta=10000.0, layout="half"):
    if layout != "half" and layout != "interleaved":
        raise ValueError("layout is half or interleaved")
    if positions.shape[-1] != x.shape[-2]:
        raise ValueError("as many positions as tokens, please")
    dim = x.shape[-1]
    out = x.double().clone()
    for i, frequency in enumerate(rope_frequencies(dim, theta).tolist()):
        a, b = (i, i + dim // 2) if layout == "half" else (2 * i, 2 * i + 1)
        angle = positions.double() * frequency
        out[..., a] = x[..., a].double() * torch.cos(angle) - x[..., b].double() * torch.sin(angle)
        out[..., b] = x[..., a].double() * torch.sin(angle) + x[..., b].double() * torch.cos(angle)
    return out.to(x.dtype)
