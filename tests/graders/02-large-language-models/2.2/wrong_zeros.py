def cross_entropy(logits, targets, ignore_index=-100):
    return torch.zeros(())


def perplexity(logits, targets, ignore_index=-100):
    return 1.0


def bigram_probabilities(ids, vocab_size, smoothing=1.0):
    return torch.full((vocab_size, vocab_size), 1 / vocab_size)
