"""Two block formats of GGUF files, byte by byte: Q8_0 (8.5 bits per weight) and Q4_1 (5 bits per weight).

A block codes 32 neighbouring weights of a row. All numbers in it are little-endian.

    Q8_0, 34 bytes: scale (float16) · 32 codes (int8)                       weight = scale · code
    Q4_1, 20 bytes: scale (float16) · minimum (float16) · 16 bytes          weight = minimum + scale · code

In Q4_1, byte i holds two codes: its low four bits weight i, its high four bits weight i + 16.

Source: the GGUF specification and ``gguf.quants`` of llama.cpp, whose bytes these functions read and write.
"""

from __future__ import annotations

import torch
from torch import Tensor

from aieng.quantization.integer import nearest_codes

BLOCK = 32  # weights per block
Q8_0_BYTES, Q4_1_BYTES = 34, 20


def decode_q8_0(blocks: Tensor) -> Tensor:
    """Weights of Q8_0 blocks.

    Parameters
    ----------
    blocks : Tensor (n_blocks, 34), uint8

    Returns
    -------
    Tensor (n_blocks, 32), float32

    Raises
    ------
    ValueError
        Another number of bytes per block.
    """
    _check(blocks, Q8_0_BYTES)
    scale = _float16(blocks[:, :2])  # (n_blocks, 1)
    return scale * blocks[:, 2:].contiguous().view(torch.int8).float()


def encode_q8_0(weights: Tensor) -> Tensor:
    """Q8_0 blocks of weights: symmetric, the largest magnitude of a block gets code ±127.

    Parameters
    ----------
    weights : Tensor (n_blocks, 32), floating point

    Returns
    -------
    Tensor (n_blocks, 34), uint8

    Raises
    ------
    ValueError
        Blocks of another size.
    """
    _check(weights, BLOCK)
    scale = (weights.float().abs().amax(1, keepdim=True) / 127).half()
    # Divide by the scale as it will be read back, not by the one before rounding to 16 bits.
    step = torch.where(scale > 0, scale.float(), 1.0)
    codes = (weights.float() / step).round().clamp(-127, 127).to(torch.int8)
    return torch.cat([scale.view(torch.uint8), codes.view(torch.uint8)], dim=1)


def decode_q4_1(blocks: Tensor) -> Tensor:
    """Weights of Q4_1 blocks.

    Parameters
    ----------
    blocks : Tensor (n_blocks, 20), uint8

    Returns
    -------
    Tensor (n_blocks, 32), float32

    Raises
    ------
    ValueError
        Another number of bytes per block.
    """
    _check(blocks, Q4_1_BYTES)
    scale, minimum, packed = _float16(blocks[:, :2]), _float16(blocks[:, 2:4]), blocks[:, 4:]
    codes = torch.cat([packed & 15, packed >> 4], dim=1)  # (n_blocks, 32)
    return minimum + scale * codes.float()


def encode_q4_1(weights: Tensor) -> Tensor:
    """Q4_1 blocks of weights: 16 levels, evenly from a block's smallest to its largest weight.

    Parameters
    ----------
    weights : Tensor (n_blocks, 32), floating point

    Returns
    -------
    Tensor (n_blocks, 20), uint8

    Raises
    ------
    ValueError
        Blocks of another size.
    """
    _check(weights, BLOCK)
    weights = weights.float()
    minimum, largest = weights.amin(1, keepdim=True), weights.amax(1, keepdim=True)
    scale, minimum = ((largest - minimum) / 15).half(), minimum.half()
    codes = nearest_codes(weights[:, None], scale.float(), minimum.float(), bits=4)[:, 0]
    packed = codes[:, :16] | (codes[:, 16:] << 4)
    return torch.cat([scale.view(torch.uint8), minimum.view(torch.uint8), packed], dim=1)


def _float16(two_bytes: Tensor) -> Tensor:
    return two_bytes.contiguous().view(torch.float16).float()


def _check(rows: Tensor, width: int) -> None:
    if rows.ndim != 2 or rows.shape[1] != width:
        raise ValueError(f"got shape {tuple(rows.shape)}; expected (n_blocks, {width})")
