def greedy(logits):
    return logits.argmax(dim=-1)


def scale_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    return logits / temperature


def keep_top_k(logits, top_k):
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}; it must be 1 or more")
    threshold = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values[..., -1:]
    return logits.masked_fill(logits < threshold, -math.inf)


def keep_top_p(logits, top_p):
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p is {top_p}; it must be above 0 and at most 1")
    if top_p == 1:
        return logits.clone()
    likeliest, order = logits.softmax(dim=-1).sort(dim=-1, descending=True)
    before = likeliest.cumsum(dim=-1) - likeliest  # the mass before a token, not with it
    outside = before >= top_p  # back to the tokens' own places
    return logits.masked_fill(outside, -math.inf)


def sample(logits, generator=None):
    rows = logits.softmax(dim=-1).reshape(-1, logits.shape[-1])
    return torch.multinomial(rows, 1, generator=generator).reshape(logits.shape[:-1])
