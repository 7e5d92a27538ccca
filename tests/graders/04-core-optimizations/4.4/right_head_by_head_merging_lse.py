def online_softmax(highest, total, weighted, scores, values):
    """Two log-sum-exps merged."""
    top = scores.max(dim=-1).values
    safe = torch.nan_to_num(top, neginf=0.0)
    part = torch.exp(scores - safe.unsqueeze(-1))
    new = torch.maximum(highest, top)
    base = torch.nan_to_num(new, neginf=0.0)
    old_factor = torch.where(highest == -math.inf, torch.zeros_like(base), (highest - base).exp())
    new_factor = torch.where(top == -math.inf, torch.zeros_like(base), (top - base).exp())
    mixed = torch.matmul(part, values)
    return new, total * old_factor + part.sum(-1) * new_factor, weighted * old_factor.unsqueeze(-1) + mixed * new_factor.unsqueeze(-1)


def flash_attention_forward(q, k, v, block_m=256, block_n=512, causal=False):
    if k.shape[-2] != v.shape[-2] or block_m <= 0 or block_n <= 0 or (causal and q.shape[-2] > k.shape[-2]):
        raise ValueError("these do not fit")
    outputs, sums = [], []
    gap = k.shape[-2] - q.shape[-2]
    for b in range(q.shape[0]):
        for h in range(q.shape[1]):
            rows, lses = [], []
            for m, tile in zip(range(0, q.shape[-2], block_m), q[b, h].split(block_m)):
                state = (tile.new_full((len(tile),), -math.inf), tile.new_zeros(len(tile)), tile.new_zeros(len(tile), v.shape[-1]))
                for n, keys, values in zip(range(0, k.shape[-2], block_n), k[b, h].split(block_n), v[b, h].split(block_n)):
                    if causal and n > m + len(tile) - 1 + gap:
                        break
                    scores = tile.matmul(keys.t()) / math.sqrt(q.shape[-1])
                    if causal:
                        seen = torch.arange(n, n + len(keys)).unsqueeze(0) <= torch.arange(m, m + len(tile)).unsqueeze(1) + gap
                        scores = scores.masked_fill(~seen, float("-inf"))
                    state = online_softmax(*state, scores, values)
                rows.append(state[2] / state[1].unsqueeze(1))
                lses.append(state[0] + state[1].log())
            outputs.append(torch.cat(rows))
            sums.append(torch.cat(lses))
    shape = q.shape[:2]
    return torch.stack(outputs).unflatten(0, shape), torch.stack(sums).unflatten(0, shape)


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
