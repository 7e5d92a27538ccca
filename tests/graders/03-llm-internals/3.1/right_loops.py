# Number by number.
def sinusoidal_positions(n, dim):
    if n < 0 or dim < 2 or dim % 2 == 1:
        raise ValueError("n must be at least 0, dim even and at least 2")
    table = torch.zeros(n, dim)
    for p in range(n):
        for i in range(dim // 2):
            angle = p / 10000 ** (2 * i / dim)
            table[p, 2 * i] = math.sin(angle)
            table[p, 2 * i + 1] = math.cos(angle)
    return table


def embed_tokens(ids, token_embeddings, position_embeddings):
    if ids.shape[-1] > position_embeddings.shape[0] or token_embeddings.shape[1] != position_embeddings.shape[1]:
        raise ValueError("too many tokens, or tables of different width")
    x = torch.index_select(token_embeddings, 0, ids.flatten()).reshape(*ids.shape, -1).clone()
    for p in range(ids.shape[-1]):
        x[..., p, :] += position_embeddings[p]
    return x
