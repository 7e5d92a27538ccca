def cross_entropy(logits, targets, ignore_index=-100):
    if logits.shape[:-1] != targets.shape:
        raise ValueError("shapes differ")
    valid = (targets == ignore_index) | ((targets >= 0) & (targets < logits.shape[-1]))
    if not valid.all():
        raise ValueError("target out of range")
    return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1), ignore_index=ignore_index)


def perplexity(logits, targets, ignore_index=-100):
    return math.exp(cross_entropy(logits, targets, ignore_index).item())


def bigram_probabilities(ids, vocab_size, smoothing=1.0):
    if smoothing < 0:
        raise ValueError("smoothing")
    pairs = ids[:-1] * vocab_size + ids[1:]
    table = torch.bincount(pairs, minlength=vocab_size**2).reshape(vocab_size, vocab_size).double() + smoothing
    sums = table.sum(1, keepdim=True)
    return torch.where(sums == 0, 1.0 / vocab_size, table / sums.clamp(min=1e-300))
