def online_softmax(highest, total, weighted, scores, values):
    new_highest = torch.maximum(highest, scores.amax(dim=-1))
    shift = torch.where(new_highest == -math.inf, 0.0, new_highest)
    exponentials = torch.exp(scores - shift[..., None])
    rescale = torch.exp(highest - shift)
    return new_highest, total * rescale + exponentials.sum(dim=-1), weighted * rescale[..., None] + exponentials @ values


def flash_attention_forward(q, k, v, block_m=256, block_n=512, causal=False):
    import numpy as np
    if v.shape[-2] != k.shape[-2] or block_m < 1 or block_n < 1 or (causal and q.shape[-2] > k.shape[-2]):
        raise ValueError("arguments that do not fit")
    a, b, c = (t.detach().numpy() for t in (q, k, v))
    scores = a @ b.swapaxes(-1, -2) / np.sqrt(a.dtype.type(a.shape[-1]))
    if causal:
        scores = np.where(np.tri(a.shape[-2], b.shape[-2], b.shape[-2] - a.shape[-2], dtype=bool), scores, -np.inf)
    top = scores.max(-1, keepdims=True)
    p = np.exp(scores - top)
    total = p.sum(-1, keepdims=True)
    return torch.from_numpy((p / total) @ c), torch.from_numpy((top + np.log(total))[..., 0])


def flash_attention_backward(d_output, q, k, v, output, lse, block_m=256, block_n=512, causal=False):
    scale, queries, keys = 1 / math.sqrt(q.shape[-1]), q.shape[-2], k.shape[-2]
    dq, dk, dv = torch.zeros_like(q), torch.zeros_like(k), torch.zeros_like(v)
    delta = (d_output * output).sum(dim=-1, keepdim=True)
    for m in range(0, queries, block_m):
        rows = slice(m, min(m + block_m, queries))
        places = torch.arange(rows.start, rows.stop)[:, None] + keys - queries
        for n in range(0, int(places[-1]) + 1 if causal else keys, block_n):
            cols = slice(n, min(n + block_n, keys))
            scores = q[..., rows, :] @ k[..., cols, :].mT * scale
            if causal:
                scores = scores.masked_fill(torch.arange(cols.start, cols.stop) > places, -math.inf)
            weights = torch.exp(scores - lse[..., rows, None])
            dv[..., cols, :] += weights.mT @ d_output[..., rows, :]
            d_scores = weights * (d_output[..., rows, :] @ v[..., cols, :].mT - delta[..., rows, :])
            dq[..., rows, :] += d_scores @ k[..., cols, :] * scale
            dk[..., cols, :] += d_scores.mT @ q[..., rows, :] * scale
    return dq, dk, dv
