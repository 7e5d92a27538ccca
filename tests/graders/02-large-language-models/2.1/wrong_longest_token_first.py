def train_bpe(pieces, num_merges):
    if num_merges < 0:
        raise ValueError(f"num_merges is {num_merges}; it must be 0 or more")
    words = Counter(pieces)  # a piece that occurs often is cut only once
    tokens = {word: [word[i : i + 1] for i in range(len(word))] for word in words}
    merges = []
    while len(merges) < num_merges:
        counts = Counter()
        for word, times in words.items():
            for pair in zip(tokens[word], tokens[word][1:]):
                counts[pair] += times
        if not counts:
            break
        best = max(counts, key=counts.get)
        merges.append(best)
        tokens = {word: merge_pair(split, best) for word, split in tokens.items()}
    return merges


def merge_pair(tokens, pair):
    merged, i = [], 0
    while i < len(tokens):
        if tuple(tokens[i : i + 2]) == pair:
            merged.append(pair[0] + pair[1])
            i += 2
        else:
            merged.append(tokens[i])
            i += 1
    return merged


def encode(pieces, merges, vocabulary):
    rank = {pair: i for i, pair in enumerate(merges)}
    ids = []
    for piece in pieces:
        tokens = [piece[i : i + 1] for i in range(len(piece))]
        while True:
            known = [pair for pair in zip(tokens, tokens[1:]) if pair in rank]
            if not known:
                break
            tokens = merge_pair(tokens, max(known, key=lambda p: len(p[0] + p[1])))
        ids += [vocabulary[token] for token in tokens]
    return ids


def decode(ids, vocabulary):
    token_of = {i: token for token, i in vocabulary.items()}
    unknown = [i for i in ids if i not in token_of]
    if unknown:
        raise ValueError(f"the vocabulary has no token with id {unknown[0]}")
    return b"".join(token_of[i] for i in ids).decode("utf-8", errors="replace")
