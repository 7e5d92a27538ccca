def greedy(logits):
    return torch.max(logits, dim=-1).indices


def scale_temperature(logits, temperature):
    if not temperature > 0:
        raise ValueError("temperature")
    return logits * (1 / temperature)


def keep_top_k(logits, top_k):
    if top_k < 1:
        raise ValueError("top_k")
    k = min(top_k, logits.shape[-1])
    kth = logits.sort(dim=-1, descending=True).values[..., k - 1 : k]
    return torch.where(logits >= kth, logits, torch.full_like(logits, -math.inf))


def keep_top_p(logits, top_p):
    if top_p <= 0 or top_p > 1:
        raise ValueError("top_p")
    if top_p == 1.0:
        return logits + 0
    p = logits.softmax(-1)
    ordered = p.sort(dim=-1, descending=True).values
    size = (ordered.cumsum(-1) < top_p).sum(-1, keepdim=True).clamp(max=logits.shape[-1] - 1)
    return logits.masked_fill(p < ordered.gather(-1, size), -math.inf)


def sample(logits, generator=None):
    cdf = logits.double().softmax(-1).cumsum(-1)
    u = torch.rand(*logits.shape[:-1], 1, generator=generator, dtype=torch.float64) * cdf[..., -1:]
    return (cdf <= u).sum(-1)
