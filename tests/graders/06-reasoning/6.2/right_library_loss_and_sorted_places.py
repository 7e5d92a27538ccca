def step_labels(question, steps):
    told = [question.start] + [step[2] for step in steps]
    wanted = list(question.operations) + [None] * len(steps)
    return [step[0] == told[i] and step[1] == wanted[i] and step[2] == apply(step[0], step[1]) for i, step in enumerate(steps)]


def process_loss(logits, labels, mask):
    if logits.shape != labels.shape or logits.shape != mask.shape:
        raise ValueError("logits, labels and mask should have one shape")
    if int(mask.sum()) == 0:
        raise ValueError("no step exists")
    clean = torch.where(mask, logits, torch.zeros_like(logits))
    losses = functional.binary_cross_entropy_with_logits(clean, labels.to(logits.dtype), reduction="none")
    return losses.masked_select(mask).mean()


def trace_score(probabilities, how="prod"):
    values = [float(p) for p in probabilities]
    if not values:
        raise ValueError("no steps")
    if how == "min":
        return min(values)
    if how == "last":
        return values[-1]
    if how != "prod":
        raise ValueError("how is prod, min or last")
    product = 1.0
    for p in values:
        product *= p
    return product


def best_of_n(scores, right, n):
    total = len(scores)
    if len(right) != total:
        raise ValueError("as many labels as scores")
    if n < 1 or n > total:
        raise ValueError(f"n from 1 to {total}")
    order = sorted(range(total), key=lambda i: scores[i])
    share = {}
    for i in order:
        share.setdefault(scores[i], []).append(right[i])
    average = {score: sum(group) / len(group) for score, group in share.items()}
    # Of equals the one further back in the sorted row counts as the best; its group's average stands for it.
    return sum(math.comb(place, n - 1) * average[scores[i]] for place, i in enumerate(order)) / math.comb(total, n)
