def cross_entropy(logits, targets, ignore_index=-100):
    if logits.shape[:-1] != targets.shape:
        raise ValueError(f"logits {tuple(logits.shape)} need targets of shape {tuple(logits.shape[:-1])}, got {tuple(targets.shape)}")
    counts = targets != ignore_index
    rows, wanted = logits[counts], targets[counts]  # (counted, vocab_size), (counted,)
    if ((wanted >= logits.shape[-1])).any():
        raise ValueError(f"targets must lie in 0 … {logits.shape[-1] - 1} or be {ignore_index}")
    highest = rows.amax(dim=-1, keepdim=True)
    log_total = highest.squeeze(-1) + (rows - highest).exp().sum(dim=-1).log()
    return (log_total - rows[torch.arange(len(rows)), wanted]).mean()


def perplexity(logits, targets, ignore_index=-100):
    return float(cross_entropy(logits, targets, ignore_index).exp())


def bigram_probabilities(ids, vocab_size, smoothing=1.0):
    if smoothing < 0:
        raise ValueError(f"smoothing is {smoothing}; it must be 0 or more")
    counts = torch.full((vocab_size, vocab_size), float(smoothing))
    counts.index_put_((ids[:-1], ids[1:]), torch.ones(()), accumulate=True)
    total = counts.sum(dim=-1, keepdim=True)
    counts[total.squeeze(-1) == 0] = 1.0
    return counts / counts.sum(dim=-1, keepdim=True)
