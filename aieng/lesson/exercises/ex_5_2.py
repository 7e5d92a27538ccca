"""5.2 Groups of four bits, and GGUF's blocks: visible properties and hints."""

from __future__ import annotations

from functools import partial
from typing import Any

import gguf
import torch
from torch import Tensor

from aieng.lesson.checking import expect, expect_close, expect_raises, hints, prop, untouched
from aieng.lesson.exercises._tensors import expect_tensor, expect_tuple, normal

hints(
    "5.2",
    "quantize_groups: `x.unflatten(-1, (-1, group_size))` gives each group an axis of its own; minimum and maximum over that axis are "
    "all you "
    "need. Two bytes become a float16 by `.contiguous().view(torch.float16)`, without copying a single bit.",
    "Q4_1: `packed & 15` are the low four bits, `packed >> 4` the high ones; the 16 low codes come first, then the 16 high ones. To "
    "encode, "
    "round scale and minimum to float16 first, and divide by what a reader will find there, not by the number before rounding.",
    "groups: scale = (max - min) / (2^bits - 1); codes = round((x - min) / (scale, or 1)); clamp; uint8.\n"
    "decode: scale, (minimum,) codes out of the bytes; minimum + scale · codes in float32.\n"
    "encode: scale (and minimum) per block, .half(); codes with these; cat of scale.view(uint8), minimum.view(uint8), "
    "low | high << 4.",
)

Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_1


def _weights(seed: int, blocks: int) -> Tensor:
    """Blocks of very different size, not around 0."""
    sizes = torch.logspace(-3, 1, blocks)[:, None]
    return (normal(seed, blocks, 32) + 0.3) * sizes


def _read(blocks: Tensor, kind: Any) -> Tensor:
    """What the gguf package reads out of the bytes."""
    return torch.from_numpy(gguf.dequantize(blocks.numpy(), kind))


@prop("5.2", "groups: shapes and dtypes")
def shapes(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    codes, scale, minimum = expect_tuple(groups(normal(1, 2, 3, 24), 4, 8), "codes, scale, minimum")
    expect_tensor(codes, "codes", (2, 3, 24), torch.uint8, "One code per number, in the places of the numbers.")
    expect_tensor(scale, "scale", (2, 3, 3), torch.float32, "24 numbers a row in groups of 8: three scales a row.")
    expect_tensor(minimum, "minimum", (2, 3, 3), torch.float32)


@prop("5.2", "groups: the example by hand")
def by_hand(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    x = torch.tensor([[-1.0, 0.5, -0.7, 0.21, 10.0, 40.0, 22.0, 13.0]])
    codes, scale, minimum = groups(x, 4, 4)
    expect(not torch.allclose(scale, torch.tensor([[1.5 / 16, 30 / 16]])), "You divided by 16; sixteen levels have 15 gaps between them.")
    expect_close(minimum, [[-1.0, 10.0]], "The smallest of (-1, 0.5, -0.7, 0.21) is -1, that of (10, 40, 22, 13) is 10.")
    expect_close(scale, [[0.1, 2.0]], "(0.5 + 1) / 15 = 0.1 and (40 - 10) / 15 = 2.")
    expect(codes.tolist() == [[0, 15, 3, 12, 0, 15, 6, 2]] or codes.tolist() == [[0, 15, 3, 12, 0, 15, 6, 1]],
           f"The codes are [0, 15, 3, 12, 0, 15, 6, 2] (or 1 at the end, a tie); yours: {codes[0].tolist()}. Do you round, and "
           f"subtract the "
           "group's minimum?")


@prop("5.2", "groups: nothing moves by more than half a step")
def half_a_step(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    x = normal(2, 6, 96) * torch.logspace(-2, 1, 96) + 0.5
    for bits, size in ((4, 32), (3, 96), (8, 12), (1, 8)):
        with untouched(x=x):
            codes, scale, minimum = groups(x, bits, size)
        expect(int(codes.max()) <= 2**bits - 1, f"With {bits} bits the largest code is {2**bits - 1}; yours goes to {int(codes.max())}.")
        low = x.unflatten(-1, (-1, size)).amin(-1)
        expect_close(minimum, low, f"groups of {size}: the minimum of each *neighbouring* {size} numbers of a row.", rtol=1e-5, atol=1e-6)
        back = minimum[..., None] + scale[..., None] * codes.unflatten(-1, (-1, size)).float()
        moved = (back - x.unflatten(-1, (-1, size))).abs() / scale[..., None]
        expect(float(moved.max()) < 0.51, f"{bits} bits, groups of {size}: a number moved by {float(moved.max()):.3g} steps; half a step "
                                          f"is the "
               "most. Rounded to the nearest level of its own group?")
    codes, scale, minimum = groups(torch.full((1, 8), 0.7), 4, 8)
    expect(bool(torch.isfinite(scale).all()) and float(minimum[0, 0]) == float(torch.tensor(0.7)) and float(scale[0, 0]) == 0,
           "A group of equal numbers has scale 0 and that number as its minimum.")


@prop("5.2", "Q8_0: read 34 bytes")
def read_q8(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    block = torch.zeros(1, 34, dtype=torch.uint8)
    block[0, :2] = torch.tensor([0.5], dtype=torch.float16).view(torch.uint8)
    block[0, 2:5] = torch.tensor([10, 255, 128], dtype=torch.uint8)
    got = expect_tensor(d8(block), "decode_q8_0", (1, 32), torch.float32, "32 weights a block.")
    expect(float(got[0, 1]) != 127.5, "The byte 255 gave 127.5: the codes are *signed*, so 255 is -1. View them as int8.")
    expect(got[0, :3].tolist() == [5.0, -0.5, -64.0], f"Scale 0.5, codes 10, -1, -128: 5, -0.5, -64. Yours: {got[0, :3].tolist()}.")
    blocks = torch.from_numpy(gguf.quantize(_weights(3, 20).numpy(), Q8))
    with untouched(blocks=blocks):
        got = d8(blocks)
    expect_close(got, _read(blocks, Q8), "Not what the gguf package reads.", rtol=0, atol=0)


@prop("5.2", "Q4_1: read 20 bytes")
def read_q4(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    block = torch.zeros(1, 20, dtype=torch.uint8)
    block[0, :4] = torch.tensor([0.5, -1.0], dtype=torch.float16).view(torch.uint8)
    block[0, 4] = 0x3A  # codes 10 (low half) and 3 (high half)
    got = expect_tensor(d4(block), "decode_q4_1", (1, 32), torch.float32, "32 weights a block, two in each byte.")
    expect(float(got[0, 0]) != -9.5, "You read the minimum where the scale is: the scale comes first, then the minimum.")
    expect(not (got[0, 0] == 0.5 and got[0, 16] == 4), "You took the high half of the byte first: the low four bits are weights 0 to 15.")
    expect(float(got[0, 1]) != 0.5 and float(got[0, 1]) != 4.0,
           "You put the two codes of a byte side by side. The low halves of all 16 bytes are weights 0 … 15, the high halves weights 16 "
           "… 31.")
    expect(float(got[0, 0]) != 5.0, "Byte 0x3A gave 5 for its low half: the minimum, -1, was left out.")
    expect(float(got[0, 0]) == 4.0 and float(got[0, 16]) == 0.5,
           f"Scale 0.5, minimum -1, byte 0x3A: weight 0 is -1 + 0.5 · 10 = 4, weight 16 is -1 + 0.5 · 3 = 0.5. Yours: "
           f"{float(got[0, 0]):.4g} and "
           f"{float(got[0, 16]):.4g}.")
    blocks = torch.from_numpy(gguf.quantize(_weights(4, 20).numpy(), Q4))
    with untouched(blocks=blocks):
        got = d4(blocks)
    expect_close(got, _read(blocks, Q4), "Not what the gguf package reads. Is everything float32 before you multiply?", rtol=0, atol=0)


def _compare(encode: Any, kind: Any, size: int, name: str) -> None:
    x = _weights(5, 60)
    with untouched(weights=x):
        mine = expect_tensor(encode(x), name, (60, size), torch.uint8, "Bytes, as they stand in the file.")
    ours, theirs = _read(mine, kind), torch.from_numpy(gguf.dequantize(gguf.quantize(x.numpy(), kind), kind))
    error, reference = ((ours - x) ** 2).sum(1), ((theirs - x) ** 2).sum(1)
    expect(bool(torch.isfinite(ours).all()), f"The gguf package reads nan or infinity out of {name}'s bytes.")
    share = float((error.sqrt() / x.norm(dim=1)).max())
    expect(share < 0.5, f"Read by the gguf package, a block of {name} is off by {share:.0%} of its length: is the order of the bytes "
                        f"right (scale, "
                        + ("minimum, " if size == 20 else "") + "codes; low halves first)?")
    expect(float(error.sum()) <= 1.02 * float(reference.sum()),
           f"{name}: your squared error is {float(error.sum() / reference.sum()):.3g} times that of the gguf package. Do you round to the "
           f"nearest "
           "code, and use all of them?")


@prop("5.2", "Q8_0: write it, and let gguf read it")
def write_q8(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    _compare(e8, Q8, 34, "encode_q8_0")
    expect(not e8(torch.zeros(1, 32)).any(), "A block of zeros is 34 zero bytes: scale 0, codes 0. Do you divide by a scale of 0?")


@prop("5.2", "Q4_1: write it, and let gguf read it")
def write_q4(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    _compare(e4, Q4, 20, "encode_q4_1")
    back = _read(e4(torch.full((1, 32), 0.5)), Q4)
    expect(bool((back == 0.5).all()), f"A block of nothing but 0.5 should come back as 0.5; it gave {float(back[0, 0]):.4g}.")


@prop("5.2", "blocks that are already of this form come back unchanged")
def fixed_point(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    for decode, encode, kind, name in ((d8, e8, Q8, "Q8_0"), (d4, e4, Q4, "Q4_1")):
        once = torch.from_numpy(gguf.dequantize(gguf.quantize(_weights(6, 30).numpy(), kind), kind))
        again = decode(encode(once))
        expect_close(again, once, f"Weights that were {name} once are already on a block's levels: encoding them again should lose next "
                                  f"to nothing.",
                     rtol=3e-3, atol=3e-3 * float(once.abs().max()))


@prop("5.2", "errors that say so")
def errors(groups: Any, d8: Any, e8: Any, d4: Any, e4: Any) -> None:
    expect_raises(ValueError, lambda: groups(torch.ones(2, 10), 4, 4), "10 numbers in groups of 4 should raise ValueError.")
    expect_raises(ValueError, lambda: groups(torch.ones(2, 8), 9, 4), "bits=9 should raise ValueError: a code is one byte at most.")
    for call, width in ((d8, 34), (d4, 20)):
        expect_raises(ValueError, partial(call, torch.zeros(2, width + 1, dtype=torch.uint8)),
                      f"Blocks of {width + 1} bytes should raise ValueError: this format has {width}.")
    for call in (e8, e4):
        expect_raises(ValueError, partial(call, torch.zeros(2, 64)), "Blocks of 64 weights should raise ValueError.")
