def cross_entropy(logits, targets, ignore_index=-100):
    if tuple(logits.shape[:-1]) != tuple(targets.shape):
        raise ValueError("shapes differ")
    vocab = logits.shape[-1]
    losses = []
    for row, target in zip(logits.reshape(-1, vocab), targets.reshape(-1).tolist()):
        if target == ignore_index:
            continue
        if not 0 <= target < vocab:
            raise ValueError(f"target {target}")
        losses.append(torch.logsumexp(row, 0) - row[target])
    return torch.stack(losses).mean()


def perplexity(logits, targets, ignore_index=-100):
    return float(torch.exp(cross_entropy(logits, targets, ignore_index)))


def bigram_probabilities(ids, vocab_size, smoothing=1.0):
    if smoothing < 0:
        raise ValueError("smoothing")
    table = np.zeros((vocab_size, vocab_size)) + smoothing
    for a, b in zip(ids.tolist(), ids.tolist()[1:]):
        table[a, b] += 1
    for row in table:
        row[:] = row / row.sum() if row.sum() else 1 / vocab_size
    return torch.tensor(table, dtype=torch.float32)
