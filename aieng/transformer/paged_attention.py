"""Attention of one new token per sequence over keys and values that lie in blocks, wherever those are.

Source: Kwon et al. 2023 (arXiv:2309.06180), section 4.1 and equation 4; the running softmax over blocks is FlashAttention's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from aieng.transformer.attention import scaled_dot_product_attention
from aieng.transformer.openmp import floats, ints, team
from aieng.transformer.paged_cache import gather

_WORTH_THREADS = 2_000_000  # products per call; below, waking the others takes longer than they save


def paged_attention(q: Tensor, key_cache: Tensor, value_cache: Tensor, block_tables: Tensor, context_lens: Tensor) -> Tensor:
    """Each sequence's newest query over all of its cached tokens (a decode step).

    Parameters
    ----------
    q : Tensor (batch, num_heads, head_dim)
    key_cache, value_cache : Tensor (num_blocks, num_key_value_heads, block_size, head_dim)
        The pool. num_heads is a multiple of num_key_value_heads; query head h reads key-value head
        h // (num_heads // num_key_value_heads).
    block_tables : Tensor (batch, max_blocks) int64
        Row i: the blocks of sequence i in order. What stands after the blocks that its length needs (often -1) is not read.
    context_lens : Tensor (batch,) int64
        Tokens of each sequence, the newest included. 0 gives zeros.

    Returns
    -------
    Tensor (batch, num_heads, head_dim)
        Scaled by 1/√head_dim. Slots beyond a sequence's length are never read: they may hold anything, NaN included.

    Raises
    ------
    ValueError
        Heads that do not divide, a table too short for its length, or a block number outside the pool.
    """
    num_blocks, num_key_value_heads, block_size, _ = key_cache.shape
    if q.shape[1] % num_key_value_heads:
        raise ValueError(f"{q.shape[1]} query heads cannot share {num_key_value_heads} key-value heads evenly")
    tables, lengths = block_tables.cpu().numpy(), context_lens.cpu().numpy()
    most, lowest, highest = _extremes(tables, lengths, block_size)
    if most > tables.shape[1]:
        raise ValueError(f"a sequence of {lengths.max()} tokens needs {most} blocks of {block_size}; its row of block_tables "
                         f"has {tables.shape[1]}")
    if lowest <= highest and not 0 <= lowest <= highest < num_blocks:
        raise ValueError(f"block_tables names blocks {lowest} to {highest}; the pool has 0 to {num_blocks - 1}")
    if q.device.type == "cpu" and {q.dtype, key_cache.dtype, value_cache.dtype} == {torch.float32}:
        output = np.zeros(tuple(q.shape), dtype=np.float32)
        _in_parallel(q.detach().contiguous().numpy(), key_cache.numpy(), value_cache.numpy(), tables, lengths, output)
        return torch.from_numpy(output)
    return _gathered(q, key_cache, value_cache, block_tables, lengths)


@numba.njit(cache=True)
def _extremes(tables: NDArray[np.int64], lengths: NDArray[np.int64], block_size: int) -> tuple[int, int, int]:
    """The most blocks that a sequence needs, and the lowest and highest number among those that stand in the tables and are needed."""
    most, lowest, highest = 0, 1, 0
    for i in range(len(lengths)):
        needed = (lengths[i] + block_size - 1) // block_size
        most = max(most, needed)
        for block in tables[i, : min(needed, tables.shape[1])]:
            if lowest > highest:
                lowest = highest = block
            lowest, highest = min(lowest, block), max(highest, block)
    return most, lowest, highest


def _in_parallel(
    q: NDArray[np.float32], keys: NDArray[np.float32], values: NDArray[np.float32], tables: NDArray[np.int64],
    lengths: NDArray[np.int64], output: NDArray[np.float32],
) -> None:
    """Share the sequences among torch's threads, in parts with about as many tokens each."""
    threads = min(torch.get_num_threads(), len(q))
    start = _compiled_team() if threads > 1 and int(lengths.sum()) * q.shape[1] * q.shape[2] >= _WORTH_THREADS else None
    if start is None:
        _decode(q, keys, values, tables, lengths, output)
        return
    keys, values = np.ascontiguousarray(keys), np.ascontiguousarray(values)
    tables, lengths = np.ascontiguousarray(tables, dtype=np.int64), np.ascontiguousarray(lengths, dtype=np.int64)
    inner = np.searchsorted(np.cumsum(lengths), np.linspace(0, lengths.sum(), threads + 1)[1:-1]) + 1
    ends = np.array([0, *inner, len(q)], dtype=np.int64)
    arrays = ends, q, keys, values, tables, lengths, output
    start(np.array([threads, *q.shape, *keys.shape[:3], tables.shape[1], *(a.ctypes.data for a in arrays)], dtype=np.int64), threads)


@cache
def _compiled_team() -> Callable[[NDArray[np.int64], int], None] | None:
    return team(_part)


@numba.njit(nogil=True)
def _part(number: int, arguments: NDArray[np.int64]) -> None:
    """One thread's sequences; the arguments are what `_in_parallel` puts there."""
    threads, batch, num_heads, head_dim = arguments[0], arguments[1], arguments[2], arguments[3]
    num_blocks, shared, block_size, columns = arguments[4], arguments[5], arguments[6], arguments[7]
    ends = numba.carray(ints(arguments[8]), threads + 1)
    q = numba.carray(floats(arguments[9]), (batch, num_heads, head_dim))
    keys = numba.carray(floats(arguments[10]), (num_blocks, shared, block_size, head_dim))
    values = numba.carray(floats(arguments[11]), (num_blocks, shared, block_size, head_dim))
    tables = numba.carray(ints(arguments[12]), (batch, columns))
    lengths = numba.carray(ints(arguments[13]), batch)
    output = numba.carray(floats(arguments[14]), (batch, num_heads, head_dim))
    first, last = ends[number], ends[number + 1]
    if first < last:
        _decode(q[first:last], keys, values, tables[first:last], lengths[first:last], output[first:last])


@numba.njit(cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True)
def _decode(
    q: NDArray[np.float32], keys: NDArray[np.float32], values: NDArray[np.float32], tables: NDArray[np.int64],
    lengths: NDArray[np.int64], output: NDArray[np.float32],
) -> None:
    """Read every block once, where it lies. The running maximum and sum of a row are FlashAttention's, a block being a tile."""
    batch, num_heads, head_dim = q.shape
    block_size, group = keys.shape[2], num_heads // keys.shape[1]
    scale = np.float32(1 / math.sqrt(head_dim))
    scores = np.empty(block_size, dtype=np.float32)
    highest, total = np.empty(num_heads, dtype=np.float32), np.empty(num_heads, dtype=np.float32)
    for sequence in range(batch):
        highest[:], total[:] = -np.inf, 0
        for start in range(0, lengths[sequence], block_size):
            block = tables[sequence, start // block_size]
            filled = min(block_size, lengths[sequence] - start)
            for head in range(num_heads):
                key, value = keys[block, head // group], values[block, head // group]
                query, weighted = q[sequence, head], output[sequence, head]
                top = highest[head]
                for t in range(filled):
                    score = np.float32(0)
                    for i in range(head_dim):
                        score += query[i] * key[t, i]
                    scores[t] = score * scale
                    top = max(top, scores[t])
                if top > highest[head]:
                    rescale = np.exp(highest[head] - top)
                    highest[head], total[head] = top, total[head] * rescale
                    for i in range(head_dim):
                        weighted[i] *= rescale
                for t in range(filled):
                    weight = np.exp(scores[t] - top)
                    total[head] += weight
                    for i in range(head_dim):
                        weighted[i] += weight * value[t, i]
        if lengths[sequence]:
            for head in range(num_heads):
                for i in range(head_dim):
                    output[sequence, head, i] /= total[head]


def _gathered(q: Tensor, key_cache: Tensor, value_cache: Tensor, block_tables: Tensor, lengths: NDArray[np.int64]) -> Tensor:
    """The same in torch, for other dtypes and devices: each sequence's blocks are laid side by side first, one copy more."""
    output = torch.zeros_like(q)
    group = q.shape[1] // key_cache.shape[1]
    for i, length in enumerate(lengths.tolist()):
        if length:
            blocks = -(-length // key_cache.shape[2])
            k, v = (gather(pool, block_tables[i, :blocks])[:, :length] for pool in (key_cache, value_cache))
            query = q[i].unflatten(0, (-1, group))  # (num_key_value_heads, group, head_dim)
            output[i] = scaled_dot_product_attention(query, k, v).flatten(0, 1)
    return output
