"""The block pool and its tables under random operations, and the attention that reads them."""

from __future__ import annotations

import math
import random

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from torch.nn.functional import scaled_dot_product_attention

from aieng.transformer.paged_attention import paged_attention
from aieng.transformer.paged_cache import BlockAllocator, BlockTable, PagedKVCache


def check_everything(allocator: BlockAllocator, tables: list[BlockTable], memory: dict[int, list[int]]) -> None:
    """No leak, no double use, counts right, no more than block_size - 1 slots unused in a table, contents intact."""
    held = [block for table in tables for block in table.blocks]
    for block in range(allocator.num_blocks):
        assert allocator.ref_count(block) == held.count(block)
    assert allocator.num_free == allocator.num_blocks - len(set(held))
    for table in tables:
        assert len(set(table.blocks)) == len(table.blocks)
        assert 0 <= len(table.blocks) * allocator.block_size - len(table) < allocator.block_size
        for i, token in enumerate(table.tokens):
            block, offset = table.slot(i)
            assert memory[block][offset] == token


def store(table: BlockTable, token: int, memory: dict[int, list[int]]) -> tuple[int, int] | None:
    """Append to a table and write the token into a simulated memory, as a cache would."""
    copied = table.append(token)
    if copied:
        memory[copied[1]] = list(memory[copied[0]])
    block, offset = table.slot(len(table) - 1)
    assert table.allocator.ref_count(block) == 1
    memory.setdefault(block, [-1] * table.allocator.block_size)[offset] = token
    return copied


class Pool(RuleBasedStateMachine):
    """Starts, appends, forks and frees in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.allocator = BlockAllocator(12, 3)
        self.tables: list[BlockTable] = []
        self.memory: dict[int, list[int]] = {}

    @rule(tokens=st.lists(st.integers(0, 1), max_size=10))
    def start(self, tokens):
        free = self.allocator.num_free
        try:
            table = BlockTable(self.allocator, tokens)
        except MemoryError:
            assert self.allocator.num_free == free
            return
        assert table.num_shared % 3 == 0 and free - self.allocator.num_free == -(-(len(tokens) - table.num_shared) // 3)
        for i in range(table.num_shared, len(tokens)):
            block, offset = table.slot(i)
            self.memory.setdefault(block, [-1] * 3)[offset] = tokens[i]
        self.tables.append(table)

    @precondition(lambda self: self.tables)
    @rule(data=st.data(), token=st.integers(0, 1))
    def append(self, data, token):
        table = data.draw(st.sampled_from(self.tables))
        before = list(table.blocks), list(table.tokens)
        try:
            store(table, token, self.memory)
        except MemoryError:
            assert (table.blocks, table.tokens) == before and not self.allocator.num_free

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def fork(self, data):
        free = self.allocator.num_free
        self.tables.append(data.draw(st.sampled_from(self.tables)).fork())
        assert self.allocator.num_free == free

    @precondition(lambda self: self.tables)
    @rule(data=st.data())
    def free(self, data):
        self.tables.pop(data.draw(st.integers(0, len(self.tables) - 1))).free()

    @invariant()
    def holds(self):
        check_everything(self.allocator, self.tables, self.memory)


TestPool = Pool.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_ten_thousand_random_sequences_leave_the_pool_as_it_was():
    rng = random.Random(0)
    sequences = 0
    while sequences < 10_000:
        allocator, tables, memory = BlockAllocator(rng.randint(4, 24), rng.choice((1, 2, 4, 16))), [], {}
        for _ in range(60):
            act = rng.random()
            try:
                if act < 0.35 or not tables:
                    tokens = [rng.randint(0, 1) for _ in range(rng.randint(0, 20))]
                    tables.append(BlockTable(allocator, tokens))
                    for i in range(tables[-1].num_shared, len(tokens)):
                        block, offset = tables[-1].slot(i)
                        memory.setdefault(block, [-1] * allocator.block_size)[offset] = tokens[i]
                    sequences += 1
                elif act < 0.75:
                    store(rng.choice(tables), rng.randint(0, 1), memory)
                elif act < 0.85:
                    tables.append(rng.choice(tables).fork())
                    sequences += 1
                else:
                    tables.pop(rng.randrange(len(tables))).free()
            except MemoryError:
                if tables:
                    tables.pop(rng.randrange(len(tables))).free()
        check_everything(allocator, tables, memory)
        for table in tables:
            table.free()
        assert allocator.num_free == allocator.num_blocks


def test_a_common_prefix_is_shared_in_full_blocks_only():
    allocator = BlockAllocator(20, 4)
    first = BlockTable(allocator, range(10))
    second = BlockTable(allocator, range(10))
    assert second.num_shared == 8 and second.blocks[:2] == first.blocks[:2] and second.blocks[2] != first.blocks[2]
    assert BlockTable(allocator, [9, *range(1, 10)]).num_shared == 0, "an equal second block after another first one is another block"
    assert BlockTable(allocator, [4, 5, 6, 7]).num_shared == 0


def test_what_append_fills_is_found_and_what_is_freed_is_not():
    allocator = BlockAllocator(20, 4)
    table = BlockTable(allocator)
    for token in range(8):
        table.append(token)
    assert BlockTable(allocator, range(8)).num_shared == 8
    twin = table.fork()
    table.free()
    assert BlockTable(allocator, range(8)).num_shared == 8
    twin.free()
    everything = [allocator.allocate() for _ in range(allocator.num_free)]
    for block in everything:
        allocator.free(block)


def test_forgotten_once_the_last_holder_is_gone():
    allocator = BlockAllocator(8, 2)
    table = BlockTable(allocator, [1, 2, 3, 4])
    table.free()
    assert BlockTable(allocator, [1, 2, 3, 4]).num_shared == 0


def test_only_the_first_writer_after_a_fork_copies():
    allocator = BlockAllocator(8, 4)
    first = BlockTable(allocator, [1, 2, 3, 4, 5])
    second = first.fork()
    last = first.blocks[-1]
    assert first.append(6) == (last, first.blocks[-1]) and first.blocks[-1] != last
    assert second.append(7) is None and second.blocks[-1] == last
    assert first.blocks[0] == second.blocks[0]


@pytest.mark.parametrize("call", [
    lambda a: a.free(0), lambda a: a.share(0), lambda a: a.free(99), lambda a: a.ref_count(-1), lambda a: BlockAllocator(0, 4),
    lambda a: BlockAllocator(4, 0), lambda a: a.publish(1, b"")])
def test_refuses(call):
    with pytest.raises(ValueError):
        call(BlockAllocator(4, 4))


def test_slot_beyond_the_sequence():
    table = BlockTable(BlockAllocator(4, 4), [1, 2])
    for position in (2, -1):
        with pytest.raises(IndexError):
            table.slot(position)


# --- attention over blocks -------------------------------------------------------------------------------------------


def ragged(lengths, heads=6, kv_heads=3, dim=8, block_size=4, dtype=torch.float32, seed=0):
    """Random keys and values, contiguous per sequence and in shuffled blocks whose unused slots are NaN."""
    generator = torch.Generator().manual_seed(seed)
    contiguous = [torch.randn(2, kv_heads, n, dim, generator=generator, dtype=dtype) for n in lengths]
    needed = [-(-n // block_size) for n in lengths]
    order = torch.randperm(sum(needed) + 3, generator=generator)
    pool = torch.full((2, len(order), kv_heads, block_size, dim), math.nan, dtype=dtype)
    tables, taken = torch.full((len(lengths), max(needed) + 1), -1), 0
    for i, kv in enumerate(contiguous):
        blocks = order[taken : taken + needed[i]]
        tables[i, : needed[i]], taken = blocks, taken + needed[i]
        for j in range(lengths[i]):
            pool[:, blocks[j // block_size], :, j % block_size] = kv[:, :, j]
    q = torch.randn(len(lengths), heads, dim, generator=generator, dtype=dtype)
    want = torch.stack([scaled_dot_product_attention(q[i].unflatten(0, (kv_heads, -1)), *kv).flatten(0, 1) if lengths[i]
                        else torch.zeros_like(q[i]) for i, kv in enumerate(contiguous)])
    return q, pool[0], pool[1], tables, torch.tensor(lengths), want


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("heads", "kv_heads", "block_size"), [(6, 3, 4), (4, 4, 1), (8, 1, 16)])
def test_equals_attention_over_a_contiguous_cache(dtype, heads, kv_heads, block_size):
    *inputs, want = ragged([1, 4, 5, 16, 37, 0], heads, kv_heads, block_size=block_size, dtype=dtype)
    torch.testing.assert_close(paged_attention(*inputs), want, atol=1e-5, rtol=1e-5)


def test_large_scores_do_not_overflow():
    q, keys, values, tables, lengths, _ = ragged([21, 9])
    assert paged_attention(1000 * q, keys, values, tables, lengths).isfinite().all()


@pytest.mark.parametrize("change", [
    {"q": torch.zeros(2, 4, 8)}, {"tables": torch.full((2, 6), 99)}, {"tables": torch.full((2, 6), -1)},
    {"tables": torch.zeros(2, 1).long()}])
def test_paged_attention_refuses(change):
    q, keys, values, tables, lengths, _ = ragged([21, 9])
    with pytest.raises(ValueError):
        paged_attention(change.get("q", q), keys, values, change.get("tables", tables), lengths)


def test_cache_writes_reads_and_copies():
    allocator, cache = BlockAllocator(6, 4), PagedKVCache(2, 6, 4, 3, 8)
    assert cache.nbytes == 2 * 2 * 6 * 4 * 3 * 8 * 4
    table = BlockTable(allocator, range(6))
    k, v = torch.randn(6, 3, 8), torch.randn(6, 3, 8)
    blocks, offsets = (torch.tensor(x) for x in zip(*(table.slot(i) for i in range(6))))
    cache.write(1, blocks, offsets, k, v)
    twin = table.fork()
    cache.copy(*twin.append(6))
    for t in (table, twin):
        keys, values = cache.read(1, torch.tensor(t.blocks), 6)
        assert torch.equal(keys, k.transpose(0, 1)) and torch.equal(values, v.transpose(0, 1))
    assert not cache.read(0, torch.tensor(table.blocks), 6)[0].any()


def test_many_long_sequences_are_shared_among_threads(monkeypatch):
    monkeypatch.setattr("aieng.transformer.paged_attention._WORTH_THREADS", 1)
    *inputs, want = ragged([40, 1, 0, 33, 7, 90, 2], heads=6, kv_heads=3)
    threads = torch.get_num_threads()
    try:
        for count in (2, 3, 8):
            torch.set_num_threads(count)
            torch.testing.assert_close(paged_attention(*inputs), want, atol=1e-5, rtol=1e-5)
    finally:
        torch.set_num_threads(threads)
