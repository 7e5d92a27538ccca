"""NF4: sixteen levels at the quantiles of a normal distribution, a scale per block, and the scales themselves quantized.

Source: Dettmers et al. 2023, "QLoRA: Efficient Finetuning of Quantized LLMs" (arXiv:2305.14314), section 3 and appendix E.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from aieng.quantization.integer import quantize_absmax

# Half a quantile step from either end, averaged over the side with 8 levels and the side with 7: the outermost levels stay finite.
_TAIL = 1 - (1 / 30 + 1 / 32) / 2


def nf4_levels() -> Tensor:
    """The code book: 16 numbers from -1 to 1, 0 among them, closer together where normal weights are many.

    Eight levels from 0 upwards are normal quantiles at evenly spaced probabilities, eight downwards likewise; both halves contain
    0, so one side has eight numbers besides it and the other seven.

    Returns
    -------
    Tensor (16,), float32, ascending
    """
    above = torch.special.ndtri(torch.linspace(0.5, _TAIL, 9, dtype=torch.float64))
    below = torch.special.ndtri(torch.linspace(1 - _TAIL, 0.5, 8, dtype=torch.float64))
    levels = torch.cat([below, above[1:]])
    return (levels / levels.abs().max()).float()


def quantize_nf4(x: Tensor, block_size: int = 64) -> tuple[Tensor, Tensor]:
    """Nearest level of each number, after dividing its block by the block's largest magnitude.

    Parameters
    ----------
    x : Tensor, any shape, floating point; its number of elements is a multiple of block_size
        Taken in memory order, block after block.
    block_size : int

    Returns
    -------
    codes : Tensor (blocks, block_size), uint8, 0 … 15
    absmax : Tensor (blocks,), float32
        ``x ≈ absmax * levels[codes]``. A block of zeros has absmax 0 and codes of the level 0.

    Raises
    ------
    ValueError
        block_size does not divide the number of elements.
    """
    if block_size < 1 or x.numel() % block_size:
        raise ValueError(f"{x.numel()} numbers do not divide into blocks of {block_size}")
    blocks = x.reshape(-1, block_size).float()
    absmax = blocks.abs().amax(1)
    scaled = blocks / torch.where(absmax > 0, absmax, 1.0)[:, None]
    levels = nf4_levels()
    # Between two levels the middle decides: 15 boundaries, and the code is how many of them lie below.
    codes = torch.bucketize(scaled, (levels[1:] + levels[:-1]) / 2)
    return codes.to(torch.uint8), absmax


def dequantize_nf4(codes: Tensor, absmax: Tensor) -> Tensor:
    """Back to float32 (blocks, block_size)."""
    return nf4_levels()[codes.long()] * absmax[:, None]


def double_quantize(absmax: Tensor, block_size: int = 256) -> tuple[Tensor, Tensor, Tensor]:
    """The blocks' scales in 8 bits: subtract their mean, then absmax codes with a scale for every `block_size` of them.

    All scales are positive and of similar size: without the mean, half the codes would never be used.

    Parameters
    ----------
    absmax : Tensor (n,), float32
    block_size : int
        The last block may be shorter.

    Returns
    -------
    codes : Tensor (n,), int8
    scale : Tensor (ceil(n / block_size),), float32
    mean : Tensor (), float32
        ``absmax ≈ mean + scale of the block * codes``.

    Raises
    ------
    ValueError
        absmax is not (n,) with n > 0, or block_size < 1.
    """
    if absmax.ndim != 1 or not len(absmax) or block_size < 1:
        raise ValueError(f"absmax has shape {tuple(absmax.shape)} and block_size is {block_size}; expected (n,), n > 0, and at least 1")
    mean = absmax.float().mean()
    parts = [quantize_absmax(part) for part in (absmax.float() - mean).split(block_size)]
    return torch.cat([codes for codes, _ in parts]), torch.stack([scale for _, scale in parts]), mean


def double_dequantize(codes: Tensor, scale: Tensor, mean: Tensor, block_size: int = 256) -> Tensor:
    """Back to float32 (n,)."""
    return mean + scale.repeat_interleave(block_size)[: len(codes)] * codes.float()


@dataclass(frozen=True)
class NF4Weight:
    """A weight kept as NF4: two codes a byte (the first in the high half, as bitsandbytes packs them) and 8-bit scales.

    packed : Tensor (numbers / 2,), uint8
    absmax_codes, absmax_scale, absmax_mean : the result of `double_quantize`
    shape : of the weight
    """

    packed: Tensor
    absmax_codes: Tensor
    absmax_scale: Tensor
    absmax_mean: Tensor
    shape: tuple[int, ...]
    block_size: int = 64

    @classmethod
    def from_float(cls, weight: Tensor, block_size: int = 64) -> Self:
        """Quantize a weight; its number of elements is a multiple of block_size, which is even."""
        codes, absmax = quantize_nf4(weight, block_size)
        flat = codes.flatten()
        return cls((flat[::2] << 4) | flat[1::2], *double_quantize(absmax), tuple(weight.shape), block_size)

    def dequantize(self) -> Tensor:
        """The weight in float32."""
        codes = torch.stack([self.packed >> 4, self.packed & 15], dim=1).view(-1, self.block_size)
        absmax = double_dequantize(self.absmax_codes, self.absmax_scale, self.absmax_mean)
        return dequantize_nf4(codes, absmax).view(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of everything that is stored: about 4.127 bits per weight at block size 64."""
        return sum(t.nbytes for t in (self.packed, self.absmax_codes, self.absmax_scale, self.absmax_mean))
