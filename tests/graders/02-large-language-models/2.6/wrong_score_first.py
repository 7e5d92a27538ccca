def chunk(text, size, overlap=0):
    if size < 1 or not 0 <= overlap < size:
        raise ValueError(f"size={size}, overlap={overlap}: need size >= 1 and 0 <= overlap < size")
    words = [match.span() for match in re.finditer(r"\S+", text)]
    chunks = []
    for first in range(0, len(words), size - overlap):
        last = min(first + size, len(words)) - 1
        chunks.append((words[first][0], words[last][1]))
        if last == len(words) - 1:
            break
    return chunks


def retrieve(question, embed, search, k, min_score=-1.0):
    if k < 1:
        raise ValueError(f"k is {k}; ask for at least one passage")
    scores, ids = search(embed([question]), k)
    found = zip(ids[0], scores[0])
    return [(float(score), int(i)) for i, score in found if i >= 0 and score >= min_score]


def build_prompt(question, passages, budget, count_tokens, instruction=INSTRUCTION):
    def render(places):
        lines = [instruction, ""]
        lines += [f"[{number}] {passages[i]}" for number, i in enumerate(places, 1)]
        lines += [""] if places else []
        return "\n".join([*lines, f"Question: {question}", "Answer:"])

    used = []
    if count_tokens(render(used)) > budget:
        raise ValueError(f"a budget of {budget} tokens is too small for the question alone")
    for i, passage in enumerate(passages):
        repeated = any(passages[j] == passage for j in used)
        if not repeated and count_tokens(render([*used, i])) <= budget:
            used.append(i)
    return render(used), used
