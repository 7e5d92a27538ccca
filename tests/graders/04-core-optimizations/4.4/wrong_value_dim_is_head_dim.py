def online_softmax(highest, total, weighted, scores, values):
    new_highest = torch.maximum(highest, scores.amax(dim=-1))
    shift = torch.where(new_highest == -math.inf, 0.0, new_highest)
    exponentials = torch.exp(scores - shift[..., None])
    rescale = torch.exp(highest - shift)
    return new_highest, total * rescale + exponentials.sum(dim=-1), weighted * rescale[..., None] + exponentials @ values


def flash_attention_forward(q, k, v, block_m=256, block_n=512, causal=False):
    queries, keys = q.shape[-2], k.shape[-2]
    if v.shape[-2] != keys or block_m < 1 or block_n < 1 or (causal and queries > keys):
        raise ValueError("arguments that do not fit")
    output = torch.empty_like(q)
    lse = q.new_empty(q.shape[:-1])
    for m in range(0, queries, block_m):
        tile = q[..., m : m + block_m, :] / math.sqrt(q.shape[-1])
        places = torch.arange(m, m + tile.shape[-2])[:, None] + keys - queries
        highest = tile.new_full(tile.shape[:-1], -math.inf)
        total, weighted = torch.zeros_like(highest), torch.zeros_like(output[..., m : m + block_m, :])
        for n in range(0, int(places[-1]) + 1 if causal else keys, block_n):
            scores = tile @ k[..., n : n + block_n, :].mT
            if causal:
                scores = scores.masked_fill(torch.arange(n, n + scores.shape[-1]) > places, -math.inf)
            highest, total, weighted = online_softmax(highest, total, weighted, scores, v[..., n : n + block_n, :])
        output[..., m : m + block_m, :] = weighted / total[..., None]
        lse[..., m : m + block_m] = highest + torch.log(total)
    return output, lse


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
