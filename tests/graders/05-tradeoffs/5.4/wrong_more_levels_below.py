# Eight below and seven above.
def nf4_levels():
    """NF4's code book: 16 float32 numbers, ascending from -1 to 1; number 7 is exactly 0."""
    end = 1 - (1 / 30 + 1 / 32) / 2
    above = torch.special.ndtri(torch.linspace(0.5, end, 8, dtype=torch.float64))
    below = -torch.special.ndtri(torch.linspace(0.5, end, 9, dtype=torch.float64)).flip(0)
    levels = torch.cat([below[:-1], above])  # 7 below, 0, 8 above
    return (levels / levels.abs().max()).float()


def quantize_nf4(x, block_size=64):
    """Nearest level of each number, after dividing its block by the block's largest magnitude.

    Parameters
    ----------
    x : Tensor, any shape, floating point, a multiple of block_size numbers, taken row by row
    block_size : int

    Returns
    -------
    codes : Tensor (blocks, block_size), uint8, 0 … 15
    absmax : Tensor (blocks,), float32
        x ≈ absmax * levels[codes]. A block of zeros: absmax 0, codes 7.

    Raises
    ------
    ValueError: block_size does not divide the number of elements.
    """
    if block_size < 1 or x.numel() % block_size:
        raise ValueError(f"{x.numel()} numbers do not divide into blocks of {block_size}")
    blocks = x.reshape(-1, block_size).float()
    absmax = blocks.abs().amax(1)
    scaled = blocks / torch.where(absmax > 0, absmax, 1.0)[:, None]
    codes = (scaled[..., None] - nf4_levels()).abs().argmin(-1)
    return codes.to(torch.uint8), absmax


def double_quantize(absmax, block_size=256):
    """The blocks' scales in 8 bits: absmax codes, -127 … 127, of what is left after subtracting their mean.

    Parameters
    ----------
    absmax : Tensor (n,), float32, n > 0
    block_size : int, numbers that share a scale; the last piece may be shorter

    Returns
    -------
    codes : Tensor (n,), int8
    scale : Tensor (ceil(n / block_size),), float32; 1 where a piece's numbers all equal the mean
    mean : Tensor (), float32
        absmax ≈ mean + scale of the piece * codes.
    """
    mean = absmax.float().mean()
    codes, scales = [], []
    for part in (absmax.float() - mean).split(block_size):
        largest = part.abs().amax()
        scale = torch.where(largest > 0, largest / 127, 1.0)
        codes.append((part / scale).round().clamp(-127, 127).to(torch.int8))
        scales.append(scale)
    return torch.cat(codes), torch.stack(scales), mean


class LoRALinear(nn.Module):
    """y = base(x) + alpha / rank · (x Aᵀ) Bᵀ, with the base frozen and A, B trained.

    Parameters
    ----------
    base : nn.Module with in_features, out_features and weight (out_features, in_features), such as nn.Linear
        Frozen here: its parameters, if any, get requires_grad False.
    rank : int, 1 to min(in_features, out_features). ValueError otherwise.
    alpha : float
    seed : int, of lora_A's random start; the global generator of torch is left alone

    Attributes
    ----------
    lora_A : nn.Parameter (rank, in_features), float32, random
    lora_B : nn.Parameter (out_features, rank), float32, zeros
    """

    def __init__(self, base, rank=8, alpha=16.0, seed=0):
        super().__init__()
        if not 1 <= rank <= min(base.in_features, base.out_features):
            raise ValueError(f"rank={rank}; this layer allows 1 to {min(base.in_features, base.out_features)}")
        self.base = base.requires_grad_(False)
        self.scaling = alpha / rank
        start = torch.rand(rank, base.in_features, generator=torch.Generator().manual_seed(seed)) * 2 - 1
        self.lora_A = nn.Parameter(start / math.sqrt(base.in_features))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x):
        """(..., in_features) to (..., out_features)."""
        return self.base(x) + self.scaling * (x @ self.lora_A.mT) @ self.lora_B.mT

    def merged_weight(self):
        """weight + alpha / rank · B A (out_features, in_features): one plain layer with it computes the same."""
        return self.base.weight + self.scaling * self.lora_B @ self.lora_A
