# Takes a scale of 0 for none.
def softmax(scores, dim=-1):
    highest = scores.amax(dim, keepdim=True)
    exponentials = torch.exp(scores - highest.masked_fill(highest == -math.inf, 0.0))
    total = exponentials.sum(dim, keepdim=True)
    return exponentials / total.masked_fill(total == 0.0, 1.0)


def scaled_dot_product_attention(q, k, v, mask=None, scale=None):
    if q.shape[-1] != k.shape[-1] or k.shape[-2] != v.shape[-2]:
        raise ValueError(f"q {tuple(q.shape)}, k {tuple(k.shape)}, v {tuple(v.shape)} do not fit")
    scale = 1.0 / math.sqrt(q.shape[-1]) if not scale else scale
    scores = (q * scale) @ k.mT  # (..., queries, keys)
    if mask is not None:
        scores = scores.masked_fill(~mask, -math.inf) if mask.dtype == torch.bool else scores + mask
    return softmax(scores) @ v
