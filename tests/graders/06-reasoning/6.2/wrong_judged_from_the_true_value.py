def step_labels(question, steps):
    """Which steps of a trace are right, each judged by itself.

    Parameters
    ----------
    question : has .start (a digit) and .operations (tuple of str such as "+5")
    steps : list of (before, operation, after), two digits and a str; as somebody wrote them, maybe fewer or more than operations

    Returns
    -------
    list of bool, one a step
        Right: `before` is what the line above wrote as `after` (in the first line: start), the operation is the question's at this place, and
        `after` is apply(before, operation), the last digit of the result. Steps beyond the question's last are wrong.
    """
    labels, stands = [], question.start
    for i, (before, operation, after) in enumerate(steps):
        asked = i < len(question.operations) and operation == question.operations[i]
        labels.append(asked and before == stands and after == apply(before, operation))
        stands = apply(stands, operation)
    return labels


def process_loss(logits, labels, mask):
    """Binary cross entropy of each step, averaged over the steps that exist.

    Parameters
    ----------
    logits : Tensor (traces, steps), before the sigmoid; may be large
    labels : Tensor (traces, steps), bool or float, 1: the step is right
    mask : Tensor (traces, steps), bool; False where there is no step. Anything may stand there, NaN too; it reaches neither loss nor gradient.

    Returns
    -------
    Tensor (), with a gradient to logits

    Raises
    ------
    ValueError: the three shapes differ, or the mask is False everywhere.
    """
    if not logits.shape == labels.shape == mask.shape:
        raise ValueError(f"shapes differ: logits {tuple(logits.shape)}, labels {tuple(labels.shape)}, mask {tuple(mask.shape)}")
    if not mask.any():
        raise ValueError("the mask is False everywhere: there is no step to learn from")
    z, y = logits[mask], labels[mask].to(logits.dtype)
    return (functional.softplus(z) - y * z).mean()  # -log σ(z) = softplus(z) - z, -log(1 - σ(z)) = softplus(z)


def trace_score(probabilities, how="prod"):
    """One score from the probabilities (one or more floats) that a trace's steps are right.

    how : "prod" (their product), "min" (the weakest step) or "last". ValueError for no probabilities, or another `how`. Returns float.
    """
    reduce = {"prod": math.prod, "min": min, "last": lambda p: p[-1]}
    if how not in reduce or len(probabilities) == 0:
        raise ValueError(f"how is {how!r} (prod, min or last), {len(probabilities)} probabilities (one or more)")
    return float(reduce[how]([float(p) for p in probabilities]))


def best_of_n(scores, right, n):
    """How often the best-scored of n candidates is right, when n are drawn from the given ones without replacement.

    Parameters
    ----------
    scores : list of float, one a candidate; larger is better
    right : list of bool, one a candidate
    n : int, 1 … number of candidates

    Returns
    -------
    float, 0 … 1: exact, the average over all sets of n. Where several of a set share its best score, each is taken equally often.

    Raises
    ------
    ValueError: n out of range, or the lists differ in length.
    """
    if len(scores) != len(right) or not 1 <= n <= len(scores):
        raise ValueError(f"n = {n} of {len(scores)} scores and {len(right)} labels")
    expected = 0.0
    for score in set(scores):
        below = sum(s < score for s in scores)
        group = [r for s, r in zip(scores, right) if s == score]
        sets = math.comb(below + len(group), n) - math.comb(below, n)  # whose best score this is
        expected += sets / math.comb(len(scores), n) * sum(group) / len(group)
    return expected
