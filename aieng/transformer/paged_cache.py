"""A key-value cache in blocks: who owns which block, in what order a sequence's blocks are read, and the memory itself.

Sequences take fixed-size blocks from one pool as they grow, so nothing is reserved for tokens that may never come. Blocks are
counted, so that sequences can share them: those of a common prompt, found by their content, and those of a fork, copied only when
somebody writes.

Source: Kwon et al. 2023, "Efficient Memory Management for Large Language Model Serving with PagedAttention"
(arXiv:2309.06180), sections 4.2 to 4.4.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Sequence

import torch
from torch import Tensor


class BlockAllocator:
    """A pool of blocks, each with its number of holders; full blocks can be found again by what they hold.

    Parameters
    ----------
    num_blocks : int
        Size of the pool; blocks are numbered 0 … num_blocks - 1.
    block_size : int
        Tokens per block.
    """

    def __init__(self, num_blocks: int, block_size: int) -> None:
        if num_blocks < 1 or block_size < 1:
            raise ValueError(f"num_blocks={num_blocks}, block_size={block_size}: both must be at least 1")
        self.num_blocks, self.block_size = num_blocks, block_size
        self._unused = list(range(num_blocks - 1, -1, -1))  # a stack: the block freed last is still warm
        self._holders = [0] * num_blocks
        self._content: dict[int, bytes] = {}  # block -> key of what it holds, for full blocks
        self._with_content: dict[bytes, list[int]] = {}

    @property
    def num_free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._unused)

    def ref_count(self, block: int) -> int:
        """How many tables hold this block; 0 for a free one."""
        return self._holders[self._known(block)]

    def allocate(self) -> int:
        """Take a free block, with one holder. MemoryError when there is none."""
        if not self._unused:
            raise MemoryError(f"all {self.num_blocks} blocks are in use; free a table or make the pool larger")
        block = self._unused.pop()
        self._holders[block] = 1
        return block

    def share(self, block: int) -> None:
        """Add a holder to a block in use. ValueError when it is free."""
        self._holders[self._held(block)] += 1

    def free(self, block: int) -> None:
        """Take a holder away; the last one returns the block to the pool. ValueError when it is free already."""
        self._holders[self._held(block)] -= 1
        if not self._holders[block]:
            self._unused.append(block)
            key = self._content.pop(block, None)
            if key is not None:
                self._with_content[key].remove(block)
                if not self._with_content[key]:
                    del self._with_content[key]

    def publish(self, block: int, key: bytes) -> None:
        """Let `find` find this full block as long as somebody holds it; ``key`` stands for its tokens and all before them."""
        self._content[self._held(block)] = key
        self._with_content.setdefault(key, []).append(block)

    def find(self, key: bytes) -> int | None:
        """A block in use that was published under this key, or None."""
        return self._with_content.get(key, (None,))[0]

    def _known(self, block: int) -> int:
        if not 0 <= block < self.num_blocks:
            raise ValueError(f"block {block} does not exist; the pool has 0 to {self.num_blocks - 1}")
        return block

    def _held(self, block: int) -> int:
        if not self._holders[self._known(block)]:
            raise ValueError(f"block {block} is free; only a block in use can be shared, published or freed")
        return block


class BlockTable:
    """The blocks of one sequence, in order: token i lies in block ``blocks[i // block_size]`` at ``i % block_size``.

    Parameters
    ----------
    allocator : BlockAllocator
    tokens : sequence of int, optional
        What the sequence begins with. Its leading full blocks are shared with tables in use that hold the same tokens from
        the very beginning; ``num_shared`` is the number of tokens in them. MemoryError when the pool is too small; nothing
        is kept then.
    """

    def __init__(self, allocator: BlockAllocator, tokens: Sequence[int] = ()) -> None:
        self.allocator = allocator
        self.blocks: list[int] = []
        self.tokens: list[int] = []
        self.num_shared = 0
        self._key = b""  # of the full blocks so far
        self._share_prefix(tokens)
        try:
            for token in tokens[self.num_shared:]:
                self.append(token)
        except MemoryError:
            self.free()
            raise

    def __len__(self) -> int:
        return len(self.tokens)

    def slot(self, position: int) -> tuple[int, int]:
        """(block, offset in it) of a token. IndexError beyond the sequence."""
        if not 0 <= position < len(self):
            raise IndexError(f"position {position} of a sequence of {len(self)} tokens")
        return self.blocks[position // self.allocator.block_size], position % self.allocator.block_size

    def append(self, token: int) -> tuple[int, int] | None:
        """Make room for one more token.

        Returns
        -------
        (source, target), or None
            Where the last block was shared: this table now holds ``target`` instead, and the caller must copy the memory of
            ``source`` there before writing. MemoryError, with nothing changed, when a block is needed and none is free.
        """
        copied = None
        if len(self) % self.allocator.block_size == 0:
            self.blocks.append(self.allocator.allocate())
        elif self.allocator.ref_count(self.blocks[-1]) > 1:
            source, target = self.blocks[-1], self.allocator.allocate()
            self.allocator.free(source)
            self.blocks[-1] = target
            copied = source, target
        self.tokens.append(token)
        if len(self) % self.allocator.block_size == 0:
            self._key = block_key(self._key, self.tokens[-self.allocator.block_size:])
            self.allocator.publish(self.blocks[-1], self._key)
        return copied

    def fork(self) -> BlockTable:
        """A second sequence with the same tokens that shares every block; no block is taken or copied now."""
        twin = BlockTable(self.allocator)
        twin.blocks, twin.tokens, twin._key = list(self.blocks), list(self.tokens), self._key
        twin.num_shared = len(self)
        for block in self.blocks:
            self.allocator.share(block)
        return twin

    def free(self) -> None:
        """Give every block back; the table is empty afterwards."""
        for block in reversed(self.blocks):
            self.allocator.free(block)
        self.blocks, self.tokens, self.num_shared, self._key = [], [], 0, b""

    def _share_prefix(self, tokens: Sequence[int]) -> None:
        size = self.allocator.block_size
        for start in range(0, len(tokens) - size + 1, size):
            piece = list(tokens[start : start + size])
            key = block_key(self._key, piece)
            block = self.allocator.find(key)
            if block is None:
                return
            self.allocator.share(block)
            self.blocks.append(block)
            self.tokens += piece
            self._key, self.num_shared = key, start + size


def block_key(previous: bytes, tokens: Sequence[int]) -> bytes:
    """A digest of a full block's tokens and, through ``previous``, of all tokens before them.

    A key of the block's own tokens would not do: keys and values depend on everything that came before. A cryptographic digest,
    since requests come from strangers, and two contents with the same key would read each other's memory.
    """
    return hashlib.sha256(previous + array("q", tokens).tobytes()).digest()


class PagedKVCache:
    """Keys and values of all layers in one pool of blocks.

    keys, values : Tensor (num_layers, num_blocks, num_key_value_heads, block_size, head_dim)
    """

    def __init__(
        self, num_layers: int, num_blocks: int, block_size: int, num_key_value_heads: int, head_dim: int,
        dtype: torch.dtype = torch.float32, device: torch.device | str | None = None,
    ) -> None:
        shape = num_layers, num_blocks, num_key_value_heads, block_size, head_dim
        if min(shape) < 1:
            raise ValueError(f"layers, blocks, heads, block_size, head_dim = {shape}: all must be at least 1")
        self.keys = torch.zeros(shape, dtype=dtype, device=device)
        self.values = torch.zeros(shape, dtype=dtype, device=device)

    @property
    def nbytes(self) -> int:
        """Bytes of the pool."""
        return self.keys.nbytes + self.values.nbytes

    def copy(self, source: int, target: int) -> None:
        """Copy a block in every layer: the write of copy-on-write."""
        self.keys[:, target] = self.keys[:, source]
        self.values[:, target] = self.values[:, source]

    def write(self, layer: int, blocks: Tensor, offsets: Tensor, k: Tensor, v: Tensor) -> None:
        """Store k and v (tokens, num_key_value_heads, head_dim) in the slots (blocks, offsets), each (tokens,) int64."""
        self.keys[layer][blocks, :, offsets] = k
        self.values[layer][blocks, :, offsets] = v

    def read(self, layer: int, blocks: Tensor, length: int) -> tuple[Tensor, Tensor]:
        """Keys and values of one sequence, contiguous: (num_key_value_heads, length, head_dim) each."""
        return gather(self.keys[layer], blocks)[:, :length], gather(self.values[layer], blocks)[:, :length]


def gather(pool: Tensor, blocks: Tensor) -> Tensor:
    """Lay the blocks of one sequence side by side: (num_blocks, heads, block_size, dim) to (heads, tokens, dim)."""
    return pool[blocks].transpose(0, 1).flatten(1, 2)
