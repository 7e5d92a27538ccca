import hashlib


class BlockAllocator:
    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.unused = list(range(num_blocks))
        self.holders = [0] * num_blocks
        self.key_of = {}
        self.blocks_with = {}

    @property
    def num_free(self):
        return len(self.unused)

    def ref_count(self, block):
        return self.holders[block]

    def allocate(self):
        if not self.unused:
            raise MemoryError("no block is free")
        block = self.unused.pop()
        self.holders[block] = 1
        return block

    def share(self, block):
        if self.holders[block] == 0:
            raise ValueError("this block is free")
        self.holders[block] += 1

    def free(self, block):
        if self.holders[block] == 0:
            raise ValueError("this block is free already")
        self.holders[block] -= 1
        if self.holders[block] == 0:
            self.unused.append(block)
            key = self.key_of.pop(block, None)
            if key is not None:
                self.blocks_with[key].remove(block)

    def publish(self, block, key):
        self.key_of[block] = key
        self.blocks_with.setdefault(key, []).append(block)

    def find(self, key):
        found = self.blocks_with.get(key)
        return found[0] if found else None


class BlockTable:
    def __init__(self, allocator, tokens=()):
        self.allocator = allocator
        self.blocks, self.num_shared, self.tokens, self.digests = [], 0, [], [b""]
        size = allocator.block_size
        for end in range(size, len(tokens) + 1, size):
            digest = self.digest(tokens[end - size:end])
            block = allocator.find(digest)
            if block is None:
                break
            allocator.share(block)
            self.blocks.append(block)
            self.tokens = list(tokens[:end])
            self.digests.append(digest)
        self.num_shared = len(self.tokens)
        try:
            for token in tokens[self.num_shared:]:
                self.append(token)
        except MemoryError:
            self.free()
            raise

    def __len__(self):
        return len(self.tokens)

    def slot(self, position):
        if not 0 <= position < len(self.tokens):
            raise IndexError("no such token")
        return self.blocks[position // self.allocator.block_size], position % self.allocator.block_size

    def append(self, token):
        copied = None
        size = self.allocator.block_size
        if len(self.tokens) % size == 0:
            self.blocks.append(self.allocator.allocate())
        elif self.allocator.ref_count(self.blocks[-1]) > 1:
            old, new = self.blocks[-1], self.allocator.allocate()
            self.allocator.free(old)
            self.blocks[-1] = new
            copied = (old, new)
        self.tokens.append(token)
        if len(self.tokens) % size == 0:
            self.digests.append(self.digest(self.tokens[-size:]))
            self.allocator.publish(self.blocks[-1], self.digests[-1])
        return copied

    def fork(self):
        twin = BlockTable(self.allocator)
        twin.blocks, twin.tokens, twin.digests = list(self.blocks), list(self.tokens), list(self.digests)
        for block in self.blocks:
            self.allocator.share(block)
        return twin

    def free(self):
        for block in self.blocks:
            self.allocator.free(block)
        self.blocks, self.tokens, self.num_shared, self.digests = [], [], 0, [b""]

    def digest(self, piece):
        return hashlib.sha256(self.digests[-1] + repr(list(piece)).encode()).digest()
