def replace(word, left, right):
    out = []
    for token in word:
        if out and out[-1] == left and token == right:
            out[-1] = left + right
        else:
            out.append(token)
    return out


def train_bpe(pieces, num_merges):
    if num_merges < 0:
        raise ValueError("num_merges must not be negative")
    words = [[bytes([b]) for b in piece] for piece in pieces]
    merges = []
    for _ in range(num_merges):
        counts = {}
        for word in words:
            for i in range(len(word) - 1):
                counts[word[i], word[i + 1]] = counts.get((word[i], word[i + 1]), 0) + 1
        if not counts:
            break
        left, right = sorted(counts, key=lambda pair: (-counts[pair], pair))[0]
        merges.append((left, right))
        words = [replace(word, left, right) for word in words]
    return merges


def encode(pieces, merges, vocabulary):
    ids = []
    for piece in pieces:
        word = [bytes([b]) for b in piece]
        for left, right in merges:
            word = replace(word, left, right)
        ids.extend(vocabulary[token] for token in word)
    return ids


def decode(ids, vocabulary):
    names = dict(zip(vocabulary.values(), vocabulary.keys()))
    out = b""
    for i in ids:
        if i not in names:
            raise ValueError(f"unknown id {i}")
        out += names[i]
    return out.decode("utf-8", "replace")
