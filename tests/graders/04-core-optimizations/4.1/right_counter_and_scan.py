from collections import Counter


class BlockAllocator:
    """Holders in a Counter; a free block is the smallest number that nobody holds; contents are searched one by one."""

    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        self.count, self.content = Counter(), {}

    @property
    def num_free(self):
        return self.num_blocks - len(+self.count)

    def ref_count(self, block):
        return self.count[block]

    def allocate(self):
        for block in range(self.num_blocks):
            if not self.count[block]:
                self.count[block] = 1
                return block
        raise MemoryError

    def share(self, block):
        if not self.count[block]:
            raise ValueError(block)
        self.count[block] += 1

    def free(self, block):
        if not self.count[block]:
            raise ValueError(block)
        self.count[block] -= 1
        if not self.count[block]:
            self.content.pop(block, None)

    def publish(self, block, key):
        self.content[block] = key

    def find(self, key):
        return next((b for b, k in self.content.items() if k == key), None)


class BlockTable:
    def __init__(self, allocator, tokens=()):
        self.allocator, self.blocks, self.history = allocator, [], []
        size = allocator.block_size
        while len(tokens) - len(self.history) >= size:
            beginning = list(tokens[:len(self.history) + size])
            found = allocator.find(beginning)
            if found is None:
                break
            allocator.share(found)
            self.blocks.append(found)
            self.history = beginning
        self.num_shared = len(self.history)
        missing = -(-(len(tokens) - self.num_shared) // size)
        if missing > allocator.num_free:
            self.free()
            raise MemoryError
        for i in range(self.num_shared, len(tokens)):
            self.append(tokens[i])

    def __len__(self):
        return len(self.history)

    def slot(self, position):
        if position < 0 or position >= len(self.history):
            raise IndexError(position)
        number, offset = divmod(position, self.allocator.block_size)
        return self.blocks[number], offset

    def append(self, token):
        room = len(self.blocks) * self.allocator.block_size - len(self.history)
        moved = None
        if room == 0:
            self.blocks = self.blocks + [self.allocator.allocate()]
        elif self.allocator.ref_count(self.blocks[-1]) != 1:
            fresh = self.allocator.allocate()
            moved = [self.blocks[-1], fresh]
            self.blocks = self.blocks[:-1] + [fresh]
            self.allocator.free(moved[0])
        self.history = self.history + [token]
        if len(self.blocks) * self.allocator.block_size == len(self.history):
            self.allocator.publish(self.blocks[-1], self.history)
        return moved

    def fork(self):
        other = BlockTable(self.allocator, ())
        other.blocks, other.history, other.num_shared = self.blocks[:], self.history[:], len(self.history)
        for b in other.blocks:
            self.allocator.share(b)
        return other

    def free(self):
        while self.blocks:
            self.allocator.free(self.blocks.pop())
        self.history, self.num_shared = [], 0
