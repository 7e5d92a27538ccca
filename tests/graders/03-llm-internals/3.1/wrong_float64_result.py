# The table is float64.
def sinusoidal_positions(n, dim):
    if n < 0 or dim < 2 or dim % 2:
        raise ValueError(f"n={n}, dim={dim}: n must be at least 0, dim even and at least 2")
    frequencies = 10000.0 ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = torch.outer(torch.arange(n, dtype=torch.float64), frequencies)  # (n, dim/2)
    return torch.stack((angles.sin(), angles.cos()), dim=-1).reshape(n, dim)


def embed_tokens(ids, token_embeddings, position_embeddings):
    tokens = ids.shape[-1]
    if tokens > len(position_embeddings):
        raise ValueError(f"{tokens} tokens, but the table ends after {len(position_embeddings)} positions")
    if token_embeddings.shape[1] != position_embeddings.shape[1]:
        raise ValueError(f"{token_embeddings.shape[1]} and {position_embeddings.shape[1]} features cannot be added")
    return token_embeddings[ids] + position_embeddings[:tokens]
