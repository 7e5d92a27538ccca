"""GGUF blocks against the gguf package: decoding bit for bit, encoding with no larger an error."""

import gguf
import numpy as np
import pytest
import torch

from aieng.quantization.gguf_blocks import decode_q4_1, decode_q8_0, encode_q4_1, encode_q8_0

KINDS = [
    (decode_q8_0, encode_q8_0, gguf.GGMLQuantizationType.Q8_0, 34),
    (decode_q4_1, encode_q4_1, gguf.GGMLQuantizationType.Q4_1, 20),
]


def weights(seed, n=500):
    rng = np.random.default_rng(seed)
    return (rng.standard_normal((n, 32)) * rng.lognormal(size=(n, 1)) * 0.05).astype(np.float32)


@pytest.mark.parametrize(("decode", "encode", "kind", "size"), KINDS)
def test_decoding_is_that_of_gguf_bit_for_bit(decode, encode, kind, size):
    blocks = np.random.default_rng(3).integers(0, 256, (400, size), dtype=np.uint8)
    blocks[:, :4].view(np.float16)[:] = np.random.default_rng(4).standard_normal((400, 2)).astype(np.float16)
    if size == 34:
        blocks[:, 2:] = np.random.default_rng(5).integers(0, 256, (400, 32), dtype=np.uint8)
    want = gguf.dequantize(blocks, kind)
    np.testing.assert_array_equal(decode(torch.from_numpy(blocks)).numpy(), want)


@pytest.mark.parametrize(("decode", "encode", "kind", "size"), KINDS)
def test_encoding_errs_no_more_than_gguf(decode, encode, kind, size):
    x = weights(6)
    mine = encode(torch.from_numpy(x))
    assert mine.shape == (500, size) and mine.dtype == torch.uint8
    theirs = gguf.dequantize(gguf.quantize(x, kind), kind)
    ours = gguf.dequantize(mine.numpy(), kind)  # read by their code: the layout is theirs
    assert ((ours - x) ** 2).sum() <= ((theirs - x) ** 2).sum() * (1 + 1e-6)


@pytest.mark.parametrize(("decode", "encode", "kind", "size"), KINDS)
def test_constant_blocks_and_zeros(decode, encode, kind, size):
    x = torch.stack([torch.zeros(32), torch.full((32,), 0.5), torch.full((32,), -2.0)])
    assert torch.allclose(decode(encode(x)), x, rtol=1e-3)


@pytest.mark.parametrize(("decode", "encode", "kind", "size"), KINDS)
def test_refusals(decode, encode, kind, size):
    with pytest.raises(ValueError, match="expected"):
        decode(torch.zeros(2, size + 1, dtype=torch.uint8))
    with pytest.raises(ValueError, match="expected"):
        encode(torch.zeros(2, 31))
