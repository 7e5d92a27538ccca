def chunk(text, size, overlap=0):
    if size < 1 or overlap < 0 or overlap >= size:
        raise ValueError("size and overlap")
    starts, ends, inside = [], [], False
    for i, letter in enumerate(text):
        if letter.isspace():
            if inside:
                ends.append(i)
            inside = False
        else:
            if not inside:
                starts.append(i)
            inside = True
    if inside:
        ends.append(len(text))
    out, first = [], 0
    while starts and (not out or out[-1][1] != ends[-1]):
        last = min(first + size - 1, len(starts) - 1)
        out.append((starts[first], ends[last]))
        first += size - overlap
    return out


def retrieve(question, embed, search, k, min_score=-1.0):
    if k <= 0:
        raise ValueError("k")
    scores, ids = search(embed([question]), k)
    out = []
    for rank in range(len(ids[0])):
        if ids[0][rank] < 0 or scores[0][rank] < min_score:
            continue
        out.append((int(ids[0][rank]), float(scores[0][rank])))
    return out


def build_prompt(question, passages, budget, count_tokens, instruction=INSTRUCTION):
    tail = f"Question: {question}\nAnswer:"
    body, used, seen = "", [], set()
    if count_tokens(f"{instruction}\n\n{tail}") > budget:
        raise ValueError("budget")
    for i, passage in enumerate(passages):
        if passage in seen:
            continue
        longer = body + f"[{len(used) + 1}] {passage}\n"
        if count_tokens(f"{instruction}\n\n{longer}\n{tail}") > budget:
            continue
        body = longer
        seen.add(passage)
        used.append(i)
    return f"{instruction}\n\n" + (body + "\n" if body else "") + tail, used
