from collections import defaultdict


def train_bpe(pieces, num_merges):
    if num_merges < 0:
        raise ValueError("num_merges must not be negative")
    table = [bytes([b]) for b in range(256)]
    words = [(list(word), n) for word, n in Counter(pieces).items()]
    counts = defaultdict(int)
    for word, n in words:
        for pair in zip(word, word[1:]):
            counts[pair] += n
    merges = []
    for _ in range(num_merges):
        best = max(counts, key=lambda p: counts[p], default=None)
        if best is None or counts[best] <= 0:
            break
        new = len(table)
        table.append(table[best[0]] + table[best[1]])
        merges.append((table[best[0]], table[best[1]]))
        for word, n in words:
            if not any(pair == best for pair in zip(word, word[1:])):
                continue
            for pair in zip(word, word[1:]):
                counts[pair] -= n
            i = 0
            while i < len(word) - 1:
                if (word[i], word[i + 1]) == best:
                    word[i : i + 2] = [new]
                i += 1
            for pair in zip(word, word[1:]):
                counts[pair] += n
        counts.pop(best)
    return merges


def encode(pieces, merges, vocabulary):
    order = {pair: i for i, pair in enumerate(merges)}

    def cut(parts):
        ranked = [(order[p], i) for i, p in enumerate(zip(parts, parts[1:])) if p in order]
        if not ranked:
            return parts
        _, i = min(ranked)
        return cut(parts[:i] + [parts[i] + parts[i + 1]] + parts[i + 2 :])

    return [vocabulary[t] for piece in pieces for t in cut([piece[i : i + 1] for i in range(len(piece))])]


def decode(ids, vocabulary):
    names = {i: t for t, i in vocabulary.items()}
    try:
        parts = [names[i] for i in ids]
    except KeyError as error:
        raise ValueError(f"no token {error}") from error
    return str(b"".join(parts), "utf-8", "replace")
