# Turns the other way.
def rope_frequencies(head_dim, theta=10000.0):
    if head_dim < 2 or head_dim % 2:
        raise ValueError(f"head_dim is {head_dim}; pairs need an even number of at least 2")
    if theta <= 0:
        raise ValueError(f"theta is {theta}; it must be positive")
    return 1.0 / theta ** (torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)


def apply_rope(x, positions, theta=10000.0, layout="half"):
    if layout not in ("half", "interleaved"):
        raise ValueError(f'layout is {layout!r}; choose "half" or "interleaved"')
    tokens, head_dim = x.shape[-2:]
    if positions.ndim == 0 or positions.shape[-1] != tokens:
        raise ValueError(f"positions has shape {tuple(positions.shape)}, x has {tokens} tokens")
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    angles = positions[..., None].to(wide.dtype) * rope_frequencies(head_dim, theta).to(wide.dtype)
    cos, sin = angles.cos(), angles.sin()  # (..., tokens, head_dim/2)
    half = layout == "half"
    x1, x2 = wide.chunk(2, dim=-1) if half else (wide[..., 0::2], wide[..., 1::2])
    turned = (x1 * cos + x2 * sin, x2 * cos - x1 * sin)
    out = torch.cat(turned, dim=-1) if half else torch.stack(turned, dim=-1).flatten(-2)
    return out.to(x.dtype)
