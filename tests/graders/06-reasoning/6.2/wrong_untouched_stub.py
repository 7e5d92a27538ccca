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
    # YOUR CODE HERE
    raise NotImplementedError()


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
    # YOUR CODE HERE
    raise NotImplementedError()


def trace_score(probabilities, how="prod"):
    """One score from the probabilities (one or more floats) that a trace's steps are right.

    how : "prod" (their product), "min" (the weakest step) or "last". ValueError for no probabilities, or another `how`. Returns float.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


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
    # YOUR CODE HERE
    raise NotImplementedError()
