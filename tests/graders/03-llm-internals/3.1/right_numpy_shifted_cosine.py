# A cosine is a sine a quarter turn on; numpy inside.
import numpy as np


def sinusoidal_positions(n, dim):
    if n < 0 or dim <= 0 or dim % 2 != 0:
        raise ValueError("bad n or dim")
    column = np.arange(dim)
    angle = np.arange(n)[:, None] / np.power(10000.0, (column // 2 * 2) / dim)
    return torch.from_numpy(np.sin(angle + (column % 2) * np.pi / 2).astype(np.float32))


def embed_tokens(ids, token_embeddings, position_embeddings):
    count = ids.size(-1)
    if count > position_embeddings.size(0):
        raise ValueError(f"only {position_embeddings.size(0)} positions")
    if token_embeddings.size(1) != position_embeddings.size(1):
        raise ValueError("different numbers of features")
    return token_embeddings[ids].add(position_embeddings.narrow(0, 0, count))
