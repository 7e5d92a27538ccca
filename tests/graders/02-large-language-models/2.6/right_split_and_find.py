def chunk(text, size, overlap=0):
    if size < 1:
        raise ValueError("size")
    if not 0 <= overlap < size:
        raise ValueError("overlap")
    words, at = [], 0
    for word in text.split():
        start = text.index(word, at)
        at = start + len(word)
        words.append((start, at))
    step = size - overlap
    n = len(words)
    count = 0 if n == 0 else 1 + max(0, -(-(n - size) // step))
    return [(words[c * step][0], words[min(c * step + size, n) - 1][1]) for c in range(count)]


def retrieve(question, embed, search, k, min_score=-1.0):
    if k < 1:
        raise ValueError("k")
    scores, ids = (np.asarray(a)[0] for a in search(embed([question]), k))
    keep = (ids != -1) & (np.nan_to_num(scores, nan=-np.inf) >= min_score)
    return list(zip(ids[keep].tolist(), scores[keep].tolist()))


def build_prompt(question, passages, budget, count_tokens, instruction=INSTRUCTION):
    def text(chosen):
        blocks = [instruction]
        if chosen:
            blocks.append("\n".join("[%d] %s" % (n + 1, passages[i]) for n, i in enumerate(chosen)))
        blocks.append("Question: " + question + "\nAnswer:")
        return "\n\n".join(blocks)

    chosen = []
    if count_tokens(text(chosen)) > budget:
        raise ValueError("budget")
    for i in range(len(passages)):
        if passages[i] not in [passages[j] for j in chosen]:
            chosen.append(i)
            if count_tokens(text(chosen)) > budget:
                chosen.pop()
    return text(chosen), chosen
