# Fills even and odd columns of an empty table, in float32 with exp and log; torch's own embedding.
import math

import torch.nn.functional as F


def sinusoidal_positions(n, dim):
    if dim % 2 or dim < 2:
        raise ValueError(f"dim {dim} must be even")
    if n < 0:
        raise ValueError(f"n {n} is negative")
    table = torch.zeros(n, dim)
    position = torch.arange(n, dtype=torch.float32).unsqueeze(1)
    div = torch.exp(torch.arange(0, dim, 2).float() * (-math.log(10000.0) / dim))
    table[:, 0::2] = torch.sin(position * div)
    table[:, 1::2] = torch.cos(position * div)
    return table


def embed_tokens(ids, token_embeddings, position_embeddings):
    n = ids.shape[-1]
    if n > position_embeddings.shape[0]:
        raise ValueError("text longer than the table")
    if token_embeddings.shape[-1] != position_embeddings.shape[-1]:
        raise ValueError("widths differ")
    return F.embedding(ids, token_embeddings) + F.embedding(torch.arange(n), position_embeddings)
