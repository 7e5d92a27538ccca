TRIGGER = "Let's think step by step."


def zero_shot_prompt(question):
    """Two lines: "Q: " and the question without white space around it; "A: " and TRIGGER. ValueError for a blank question."""
    # YOUR CODE HERE
    raise NotImplementedError()


def few_shot_prompt(question, examples):
    """Worked examples, then the question with its answer left open.

    Parameters
    ----------
    question : str
    examples : list of (question, steps, answer), three strings each; shown in this order
        Each is two lines, "Q: question" and "A: steps The answer is answer.", and a blank line after them.

    Returns
    -------
    str; its last line is "A:", without a space after it. All parts are stripped of white space around them.

    Raises
    ------
    ValueError: a blank question, or no example.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def extract_answer(text):
    """The number that a chain of thought ends in, a float, or None where there is no number.

    From the first line that begins with "Q:" on, the text does not count. What counts is the first number after the last "answer is" (capital
    or small letters); where none follows it, or nobody says "answer is", the last number.

    Numbers look like 22, 0.5, 1,234.50, $18; "-" or "−" directly before one makes it negative, unless a letter, digit, point or
    closing bracket stands directly before the sign. A point without a digit after it belongs to the sentence.
    """
    # YOUR CODE HERE
    raise NotImplementedError()


def self_consistency(answers):
    """The vote among several chains.

    Parameters
    ----------
    answers : list of float or None, one a chain; None: the chain has no answer, and no vote

    Returns
    -------
    answer : float or None
        The most frequent; of equally frequent ones the one that came first. None where no chain has an answer.
    share : float
        Its votes as a share of all chains, also of those without an answer; 0.0 where there is none.
    """
    # YOUR CODE HERE
    raise NotImplementedError()
