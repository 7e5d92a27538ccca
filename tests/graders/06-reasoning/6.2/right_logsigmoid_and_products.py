def step_labels(question, steps):
    labels = []
    place = question.start
    for number, step in enumerate(steps):
        fine = number < len(question.operations)
        if fine:
            fine = tuple(step) == (place, question.operations[number], apply(place, question.operations[number]))
        labels.append(fine)
        place = step[2]
    return labels


def process_loss(logits, labels, mask):
    if tuple(logits.shape) != tuple(labels.shape) or tuple(labels.shape) != tuple(mask.shape):
        raise ValueError("different shapes")
    places = mask.nonzero(as_tuple=True)
    if len(places[0]) == 0:
        raise ValueError("empty mask")
    signs = 2 * labels[places].to(logits.dtype) - 1
    return -functional.logsigmoid(signs * logits[places]).mean()


def trace_score(probabilities, how="prod"):
    if len(probabilities) == 0 or how not in ("prod", "min", "last"):
        raise ValueError("no probabilities, or an unknown way")
    p = np.array([float(x) for x in probabilities])
    return float({"prod": p.prod(), "min": p.min(), "last": p[-1]}[how])


def best_of_n(scores, right, n):
    if len(scores) != len(right) or n not in range(1, len(scores) + 1):
        raise ValueError("n, or the lengths")

    def none_above(count):
        """Chance that all n drawn ones are among `count` given ones."""
        chance = 1.0
        for k in range(n):
            chance *= max(count - k, 0) / (len(scores) - k)
        return chance

    expected = 0.0
    for s, r in zip(scores, right):
        if r:
            equal = sum(t == s for t in scores)
            lower = sum(t < s for t in scores)
            expected += (none_above(lower + equal) - none_above(lower)) / equal
    return expected
