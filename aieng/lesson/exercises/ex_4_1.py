"""4.1 A paged key-value cache: visible properties and hints."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

from aieng.lesson.checking import CheckFailed, expect, expect_raises, hints, prop

hints(
    "4.1",
    "The allocator needs two things: which blocks are free (a list used as a stack) and how many tables hold each block. The table "
    "needs its blocks in order and its number of tokens; everything else follows by division with `block_size`.",
    "append has three cases. The last block is full (or there is none): allocate. It has room but somebody else holds it too: "
    "allocate a new one, give up your hold on the old one, report (old, new). It has room and is yours alone: nothing to do. For "
    "prefixes: the key of a full block is made of its tokens *and the key before it*; publish it when the block becomes full, look "
    "it up when a table starts, forget it when the last holder frees the block.",
    "allocate: nothing free → MemoryError; pop a block, holders 1. share: not held → ValueError; holders + 1. free: not held → "
    "ValueError; holders − 1; at 0: forget its key, push it back.\n"
    "BlockTable: for each full block of the tokens: make its key, find it; none → stop; share it. Then append the rest; on "
    "MemoryError free everything taken and raise again.\n"
    "append: the case above first (it may raise, so nothing is changed before), then the token; if that filled the block: publish.\n"
    "fork: a new table with copies of the lists; share every block. free: free every block, then empty the lists.",
)


def blocks_of(table: Any) -> list[int]:
    """The table's blocks as plain numbers."""
    return [int(b) for b in table.blocks]


def filled(table: Any, tokens: Iterable[int]) -> Any:
    """The table with these tokens appended."""
    for token in tokens:
        table.append(token)
    return table


@prop("4.1", "blocks are taken and given back")
def take_and_give(allocator: Any, table: Any) -> None:
    pool = allocator(3, 4)
    for name in ("allocate", "share", "free", "publish", "find", "ref_count"):
        hidden = getattr(pool, name, None)
        expect(callable(hidden), f"`{name}` should be a method, and on a new pool it is {hidden!r}. An attribute of the same name "
                                 f"(`self.{name} = …`) hides the method: give it another name.")
    expect(pool.num_free == 3, f"A new pool of 3 blocks has num_free = 3; yours is {pool.num_free!r}. Is it a property?")
    taken = [pool.allocate() for _ in range(3)]
    expect(all(isinstance(b, int) and 0 <= b < 3 for b in taken), f"allocate returns a block's number, 0 to 2; yours gave {taken}.")
    expect(len(set(taken)) == 3, f"Three calls of allocate gave {taken}: a block in use was handed out again.")
    expect(pool.num_free == 0, f"All three blocks are taken, yet num_free is {pool.num_free}.")
    expect_raises(MemoryError, pool.allocate, "allocate with no block left should raise MemoryError.")
    pool.free(taken[1])
    expect(pool.num_free == 1 and pool.ref_count(taken[1]) == 0,
           f"After free, num_free should be 1 and the block's ref_count 0; yours are {pool.num_free} and {pool.ref_count(taken[1])}.")
    expect_raises(ValueError, lambda: pool.free(taken[1]), "Freeing a free block should raise ValueError: it would be handed out twice.")
    expect_raises(ValueError, lambda: pool.share(taken[1]), "Sharing a free block should raise ValueError.")
    expect(pool.allocate() == taken[1], "The freed block should be allocated again.")


@prop("4.1", "holders are counted")
def counted(allocator: Any, table: Any) -> None:
    pool = allocator(4, 4)
    block = pool.allocate()
    expect(pool.ref_count(block) == 1, f"A block just allocated has one holder; ref_count is {pool.ref_count(block)}.")
    pool.share(block)
    pool.share(block)
    expect(pool.ref_count(block) == 3, f"allocate and two shares make 3 holders; ref_count is {pool.ref_count(block)}.")
    pool.free(block)
    expect(pool.num_free == 3, "One of three holders freed the block, and it went back to the pool: the other two still read it.")
    pool.free(block)
    pool.free(block)
    expect(pool.num_free == 4, f"The last holder freed the block, so all 4 are free; num_free is {pool.num_free}.")


@prop("4.1", "a block only when one is needed")
def on_demand(allocator: Any, table: Any) -> None:
    pool = allocator(10, 4)
    mine = table(pool)
    expect(len(mine) == 0 and not list(mine.blocks) and pool.num_free == 10, "An empty table has length 0 and holds no block.")
    for n in range(1, 10):
        copied = mine.append(100 + n)
        expect(copied is None, f"Nothing is shared here, so append returns None; yours gave {copied!r} at token {n}.")
        expect(len(mine) == n, f"After {n} tokens len(table) should be {n}; it is {len(mine)}.")
        expect(len(mine.blocks) == -(-n // 4),
               f"{n} tokens in blocks of 4 need {-(-n // 4)} block(s); your table holds {len(mine.blocks)}.")
        expect(pool.num_free == 10 - -(-n // 4), f"After {n} tokens num_free should be {10 - -(-n // 4)}; it is {pool.num_free}.")
    expect(len(table(allocator(10, 4), range(8)).blocks) == 2, "8 tokens fill 2 blocks of 4 exactly; a third would be waste.")


@prop("4.1", "slot finds a token")
def slots(allocator: Any, table: Any) -> None:
    pool = allocator(10, 4)
    kept = pool.allocate()
    mine = filled(table(pool), range(3))
    filled(table(pool), [50, 51, 52, 53, 54])
    filled(mine, range(3, 10))
    for i in range(10):
        got = tuple(mine.slot(i))
        want = (blocks_of(mine)[i // 4], i % 4)
        expect(got == want, f"Token {i} lies in block blocks[{i // 4}] at offset {i % 4}, that is {want}; slot gave {got}.")
    expect(kept not in blocks_of(mine), "Your table uses a block that somebody else allocated.")
    for position in (10, -1):
        expect_raises(IndexError, lambda at=position: mine.slot(at),  # type: ignore[misc]
                      f"slot({position}) of a table with 10 tokens should raise IndexError.")


@prop("4.1", "a fork takes no block")
def forked(allocator: Any, table: Any) -> None:
    pool = allocator(10, 4)
    mine = table(pool, range(6))
    twin = mine.fork()
    expect(pool.num_free == 8, f"6 tokens are 2 blocks, and a fork shares them: num_free should stay 8; it is {pool.num_free}. Copy when "
                               "somebody writes, not now.")
    expect(blocks_of(twin) == blocks_of(mine) and len(twin) == 6, f"The fork reads {blocks_of(twin)} ({len(twin)} tokens), the original "
                                                                  f"{blocks_of(mine)} (6 tokens).")
    counts = [pool.ref_count(b) for b in blocks_of(mine)]
    expect(counts == [2, 2], f"Both blocks have two holders now; their ref_counts are {counts}.")
    mine.free()
    expect(pool.num_free == 8, "The original was freed, and blocks went back to the pool that the fork still reads.")
    twin.free()
    expect(pool.num_free == 10, f"Both are freed; {10 - pool.num_free} block(s) never came back.")


@prop("4.1", "copy on write")
def copy_on_write(allocator: Any, table: Any) -> None:
    pool = allocator(10, 4)
    first = table(pool, range(6))
    second = first.fork()
    full, last = blocks_of(first)
    copied = second.append(60)
    expect(copied is not None, "A table wrote into a block that its fork reads too, and append returned None: the other one's sixth "
                               "token would be followed by a token it never had. Move to a new block when ref_count > 1.")
    expect(tuple(copied) == (last, blocks_of(second)[-1]) and blocks_of(second)[-1] != last,
           f"The writer moves to a new block and reports (old, new) = ({last}, new); you returned {copied!r} with blocks "
           f"{blocks_of(second)}.")
    expect(blocks_of(first) == [full, last], f"The table that did not write keeps its blocks {[full, last]}; it has {blocks_of(first)}.")
    expect(blocks_of(second)[0] == full, "The full block is never written again, so it stays shared; yours was copied too.")
    expect(pool.ref_count(last) == 1, f"The writer left the old block, so it has one holder; ref_count is {pool.ref_count(last)}.")
    expect(pool.num_free == 7, f"Exactly one block was copied: num_free should be 7; it is {pool.num_free}.")
    expect(first.append(70) is None and blocks_of(first) == [full, last],
           "By now the first table is the only holder of its last block: it writes in place, without a copy.")
    even = table(allocator(10, 4), range(8))
    grown = even.fork()
    expect(grown.append(1) is None and len(grown.blocks) == 3,
           "The last block is full, so the next token goes into a fresh one: there is nothing to copy.")


@prop("4.1", "a common beginning is stored once")
def prefix(allocator: Any, table: Any) -> None:
    pool = allocator(30, 4)
    first = table(pool, range(10))
    expect(first.num_shared == 0, f"The first table shares nothing; num_shared is {first.num_shared}.")
    second = table(pool, [*range(8), 90, 91, 92])
    expect(blocks_of(second)[:2] == blocks_of(first)[:2] and second.num_shared == 8,
           f"Both begin with the same 8 tokens, two full blocks: they should share them. Blocks {blocks_of(first)} and "
           f"{blocks_of(second)}, num_shared {second.num_shared}.")
    third = table(pool, range(10))
    expect(blocks_of(third)[2] != blocks_of(first)[2],
           "The third block holds 2 of 4 tokens and will be written: only *full* blocks may be shared by content.")
    fresh = table(pool, [98, 1, 2, 3, 4, 5, 6, 7])
    expect(fresh.num_shared == 0, "A table that begins with 98, 1, 2, 3 shares a block, although no other table begins so.")
    table(pool, [99, 1, 2, 3, 40, 41, 42, 43])
    other = table(pool, [99, 1, 2, 3, 4, 5, 6, 7])
    expect(other.num_shared == 4 and blocks_of(other)[1] not in (blocks_of(first)[1], blocks_of(fresh)[1]),
           "A block with the tokens 4, 5, 6, 7 was shared although what stands before it differs. Keys and values depend on all earlier "
           "tokens: not the block's place but the whole beginning has to be in the key (or the previous block's key).")
    late = table(pool, [4, 5, 6, 7])
    expect(late.num_shared == 0, "The tokens 4, 5, 6, 7 at the *beginning* are not the same block as after 0, 1, 2, 3.")
    written = filled(table(pool), range(40, 48))
    expect(table(pool, range(40, 48)).num_shared == 8,
           "Blocks that append filled can be shared too: publish a block at the moment it becomes full.")
    expect(pool.ref_count(blocks_of(written)[0]) == 2, "A shared block counts each of its tables as a holder.")


@prop("4.1", "freed means forgotten")
def forgotten(allocator: Any, table: Any) -> None:
    pool = allocator(4, 2)
    first = table(pool, [1, 2, 3, 4])
    first.free()
    expect(pool.num_free == 4 and len(first) == 0, f"A freed table is empty and holds nothing; num_free is {pool.num_free} of 4, its "
                                                   f"length {len(first)}.")
    first.free()
    expect(pool.num_free == 4, "Freeing an empty table does nothing.")
    others = [table(pool, [9, 9]), table(pool, [8, 8]), table(pool, [7, 7])]
    again = table(pool, [1, 2])
    expect(again.num_shared == 0 and not {*blocks_of(again)} & {b for o in others for b in blocks_of(o)},
           "A new table with the tokens 1, 2 was given a block that holds other tokens by now: when its last holder frees a block, its "
           "key has to go.")


@prop("4.1", "no memory, no change")
def atomic(allocator: Any, table: Any) -> None:
    pool = allocator(3, 4)
    mine = table(pool, range(8))
    expect_raises(MemoryError, lambda: table(pool, range(50, 60)), "10 tokens need 3 blocks, one is free: MemoryError.")
    expect(pool.num_free == 1, f"The table that did not fit kept {1 - pool.num_free} block(s): give back what you took before you raise.")
    filled(mine, range(4))
    before = blocks_of(mine)
    expect_raises(MemoryError, lambda: mine.append(1), "append without a free block should raise MemoryError.")
    expect(blocks_of(mine) == before and len(mine) == 12,
           f"After the MemoryError the table should be as before ({len(before)} blocks, 12 tokens); it has {len(mine.blocks)} blocks, "
           f"{len(mine)} tokens.")
    tight = allocator(1, 4)
    one = table(tight, [1])
    two = one.fork()
    expect_raises(MemoryError, lambda: two.append(2), "Copy on write without a free block should raise MemoryError.")
    expect(tight.ref_count(0) == 2 and len(two) == 1 and blocks_of(two) == [0],
           "A copy on write that found no block gave up the old one all the same: allocate first, then free.")


@prop("4.1", "nobody reads somebody else's tokens")
def random_walk(allocator: Any, table: Any) -> None:
    for seed in range(6):
        problem = walk(allocator, table, random.Random(seed), num_blocks=10, block_size=seed % 3 + 1, moves=60)
        if problem:
            raise CheckFailed(f"After a random mix of starts, appends, forks and frees (blocks of {seed % 3 + 1}): {problem}")


def walk(allocator: Any, table: Any, rng: random.Random, num_blocks: int, block_size: int, moves: int) -> str:
    """Random operations on a pool with a simulated memory beside it; says what went wrong, or nothing."""
    pool = allocator(num_blocks, block_size)
    tables: list[tuple[Any, list[int]]] = []
    memory: dict[tuple[int, int], int] = {}

    def write(mine: Any, tokens: list[int], start: int) -> None:
        for i in range(start, len(tokens)):
            block, offset = mine.slot(i)
            memory[int(block), int(offset)] = tokens[i]

    for _ in range(moves):
        act, free_before = rng.random(), pool.num_free
        try:
            if act < 0.3 or not tables:
                tokens = [rng.randint(0, 1) for _ in range(rng.randint(0, 9))]
                mine = table(pool, tokens)
                write(mine, tokens, mine.num_shared)
                tables.append((mine, tokens))
            elif act < 0.7:
                mine, tokens = rng.choice(tables)
                token = rng.randint(0, 1)
                copied = mine.append(token)
                if copied is not None:
                    source, target = (int(b) for b in copied)
                    memory.update({(target, i): memory[source, i] for i in range(block_size) if (source, i) in memory})
                tokens.append(token)
                write(mine, tokens, len(tokens) - 1)
            elif act < 0.85:
                mine, tokens = rng.choice(tables)
                tables.append((mine.fork(), list(tokens)))
            else:
                tables.pop(rng.randrange(len(tables)))[0].free()
        except MemoryError:
            if pool.num_free != free_before:
                return "a MemoryError left another number of free blocks behind than before."
            if tables:
                tables.pop(rng.randrange(len(tables)))[0].free()
        for mine, tokens in tables:
            read = [memory.get((int(b), int(o))) for b, o in map(mine.slot, range(len(tokens)))]
            if read != tokens:
                return f"a table that holds the tokens {tokens} reads {read} from memory."
        held = [b for mine, _ in tables for b in blocks_of(mine)]
        if pool.num_free != num_blocks - len(set(held)):
            return f"{len(set(held))} different blocks are in tables, yet {num_blocks - pool.num_free} of {num_blocks} are missing."
        if any(pool.ref_count(b) != held.count(b) for b in range(num_blocks)):
            return "a block's ref_count is not the number of tables that hold it."
        if any(len(mine.blocks) != -(-len(tokens) // block_size) for mine, tokens in tables):
            return "a table holds more or fewer blocks than its tokens need."
    return ""
