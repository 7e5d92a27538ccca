def greedy(logits):
    return torch.argmax(logits, -1)


def scale_temperature(logits, temperature):
    if temperature <= 0:
        raise ValueError(temperature)
    return logits.div(temperature)


def keep_top_k(logits, top_k):
    if top_k < 1:
        raise ValueError(top_k)
    out = logits.clone().contiguous()
    for row in out.view(-1, out.shape[-1]):
        if top_k < len(row):
            row[row < row.topk(top_k).values[-1]] = -math.inf
    return out


def keep_top_p(logits, top_p):
    if not 0 < top_p <= 1:
        raise ValueError(top_p)
    out = logits.clone().contiguous()
    if top_p == 1:
        return out
    for row in out.view(-1, out.shape[-1]):
        p = row.softmax(0)
        mass, kept = 0.0, []
        for i in p.argsort(descending=True).tolist():
            if mass >= top_p:
                break
            kept.append(i)
            mass += float(p[i])
        gone = torch.ones_like(row, dtype=torch.bool)
        gone[kept] = False
        row[gone] = -math.inf
    return out


def sample(logits, generator=None):
    # Gumbel-max: the largest of logit + Gumbel noise is a draw from softmax.
    noise = torch.rand(logits.shape, generator=generator, dtype=torch.float64).clamp(min=1e-300)
    return (logits.double() - (-noise.log()).log()).argmax(-1)
