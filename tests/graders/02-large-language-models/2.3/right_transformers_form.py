def greedy(logits):
    return logits.argmax(-1)


def scale_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError(temperature)
    return logits / temperature


def keep_top_k(logits, top_k):
    if top_k <= 0:
        raise ValueError(top_k)
    top_k = min(top_k, logits.size(-1))
    return logits.masked_fill(logits < torch.topk(logits, top_k)[0][..., -1, None], float("-inf"))


def keep_top_p(logits, top_p):
    if not 0.0 < top_p <= 1.0:
        raise ValueError(top_p)
    ascending, order = torch.sort(logits, descending=False)
    cumulative = ascending.softmax(dim=-1).cumsum(dim=-1)
    remove = cumulative <= (1 - top_p)
    remove[..., -1:] = False
    return logits.masked_fill(remove.scatter(-1, order, remove), float("-inf"))


def sample(logits, generator=None):
    flat = torch.softmax(logits, -1).flatten(0, -2) if logits.ndim > 1 else torch.softmax(logits, -1)[None]
    return torch.multinomial(flat, 1, generator=generator).view(logits.shape[:-1])
