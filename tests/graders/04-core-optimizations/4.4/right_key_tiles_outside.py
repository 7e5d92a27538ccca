def online_softmax(highest, total, weighted, scores, values):
    new_highest = torch.maximum(highest, scores.amax(dim=-1))
    shift = torch.where(new_highest == -math.inf, 0.0, new_highest)
    exponentials = torch.exp(scores - shift[..., None])
    rescale = torch.exp(highest - shift)
    return new_highest, total * rescale + exponentials.sum(dim=-1), weighted * rescale[..., None] + exponentials @ values


def flash_attention_forward(q, k, v, block_m=256, block_n=512, causal=False):
    """The loop order of the first paper: keys outside, running state of every query kept."""
    queries, keys = q.shape[-2], k.shape[-2]
    if v.shape[-2] != keys:
        raise ValueError("keys and values")
    if min(block_m, block_n) < 1:
        raise ValueError("blocks")
    if causal and keys < queries:
        raise ValueError("queries")
    highest = torch.full_like(q[..., 0], -math.inf)
    total = torch.zeros_like(highest)
    weighted = torch.zeros(*q.shape[:-1], v.shape[-1], dtype=q.dtype)
    for n in range(0, keys, block_n):
        kn, vn = k[..., n : n + block_n, :], v[..., n : n + block_n, :]
        for m in range(0, queries, block_m):
            scores = torch.einsum("bhid,bhjd->bhij", q[..., m : m + block_m, :], kn) * q.shape[-1] ** -0.5
            if causal:
                i = torch.arange(scores.shape[-2])[:, None] + m + keys - queries
                j = torch.arange(scores.shape[-1])[None] + n
                scores = torch.where(j <= i, scores, torch.tensor(-math.inf, dtype=scores.dtype))
            r = slice(m, m + block_m)
            highest[..., r], total[..., r], weighted[..., r, :] = online_softmax(highest[..., r], total[..., r], weighted[..., r, :], scores, vn)
    return weighted / total.unsqueeze(-1), highest + total.log()


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
