class BlockAllocator:
    def __init__(self, num_blocks, block_size):
        self.num_blocks, self.block_size = num_blocks, block_size
        raise NotImplementedError()


class BlockTable:
    def __init__(self, allocator, tokens=()):
        raise NotImplementedError()
