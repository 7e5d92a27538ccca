# Pairs as complex numbers.
def rope_frequencies(head_dim, theta=10000.0):
    if head_dim % 2 or head_dim <= 0 or theta <= 0:
        raise ValueError(f"head_dim {head_dim} must be even and positive, theta {theta} positive")
    return torch.pow(torch.tensor(theta, dtype=torch.float64), -torch.arange(0, head_dim, 2).double() / head_dim)


def apply_rope(x, positions, theta=10000.0, layout="half"):
    if layout not in ["half", "interleaved"]:
        raise ValueError(layout)
    if positions.shape[-1:] != x.shape[-2:-1]:
        raise ValueError("one position per token")
    turn = positions.double().unsqueeze(-1) * rope_frequencies(x.shape[-1], theta)
    turn = torch.polar(torch.ones_like(turn), turn)
    wide = x.double()
    if layout == "interleaved":
        z = torch.view_as_complex(wide.reshape(*x.shape[:-1], -1, 2).contiguous()) * turn
        return torch.view_as_real(z).reshape(x.shape).to(x.dtype)
    half = x.shape[-1] // 2
    z = torch.complex(wide[..., :half].contiguous(), wide[..., half:].contiguous()) * turn
    return torch.cat((z.real, z.imag), dim=-1).to(x.dtype)
