# x · cos + rotate_half(x) · sin, as in transformers.
def rope_frequencies(head_dim, theta=10000.0):
    if head_dim % 2 == 1 or head_dim < 2:
        raise ValueError("odd head_dim")
    if not theta > 0:
        raise ValueError("theta must be positive")
    return torch.tensor([theta ** (-2 * i / head_dim) for i in range(head_dim // 2)])


def rotate_half(x, layout):
    if layout == "half":
        a, b = torch.chunk(x, 2, dim=-1)
        return torch.cat((-b, a), dim=-1)
    out = torch.empty_like(x)
    out[..., 0::2], out[..., 1::2] = -x[..., 1::2], x[..., 0::2]
    return out


def apply_rope(x, positions, theta=10000.0, layout="half"):
    if layout not in {"half", "interleaved"}:
        raise ValueError(f"unknown layout {layout}")
    frequencies = rope_frequencies(x.shape[-1], theta)
    if positions.shape[-1] != x.shape[-2]:
        raise ValueError("positions do not fit")
    wide = x.float() if x.dtype in (torch.float16, torch.bfloat16) else x
    angle = positions.unsqueeze(-1) * frequencies.to(wide.dtype)
    angle = torch.cat((angle, angle), -1) if layout == "half" else angle.repeat_interleave(2, dim=-1)
    return (wide * angle.cos() + rotate_half(wide, layout) * angle.sin()).to(x.dtype)
