def train_bpe(pieces, num_merges):
    raise NotImplementedError


def encode(pieces, merges, vocabulary):
    raise NotImplementedError


def decode(ids, vocabulary):
    raise NotImplementedError
