def cross_entropy(logits, targets, ignore_index=-100):
    if logits.shape[:-1] != targets.shape:
        raise ValueError("shapes differ")
    mask = (targets != ignore_index)
    if (targets[mask] < 0).any() or (targets[mask] >= logits.shape[-1]).any():
        raise ValueError("target out of range")
    log_p = torch.log_softmax(logits, -1)
    safe = torch.where(mask, targets, torch.zeros_like(targets))
    picked = torch.gather(log_p, -1, safe.unsqueeze(-1)).squeeze(-1)
    return -(picked * mask).sum() / mask.sum()


def perplexity(logits, targets, ignore_index=-100):
    with torch.no_grad():
        return cross_entropy(logits, targets, ignore_index).exp().item()


def bigram_probabilities(ids, vocab_size, smoothing=1.0):
    if smoothing < 0:
        raise ValueError("smoothing")
    one_hot = torch.nn.functional.one_hot(ids, vocab_size).float()
    table = one_hot[:-1].T @ one_hot[1:] + smoothing
    table = table + (table.sum(-1, keepdim=True) == 0)
    return table / table.sum(-1, keepdim=True)
