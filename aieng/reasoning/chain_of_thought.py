"""Chain of thought: prompts that ask for the steps, the answer read out of them, and a vote among several chains.

Sources: few-shot, Wei et al. 2022 (arXiv:2201.11903); zero-shot, Kojima et al. 2022 (arXiv:2205.11916); self-consistency, Wang et al. 2022
(arXiv:2203.11171), section 2.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

TRIGGER = "Let's think step by step."
# A minus is a sign only where no digit, letter, point or bracket stands before it: "25-3" holds 25 and 3. A fraction needs a digit after
# its point, so that the point of a sentence stays outside.
_NUMBER = re.compile(r"(?:(?<![\w.)\]])[-−])?\$?(\d{1,3}(?:,\d{3})+(?!\d)|\d+)(\.\d+)?")
_ANSWER = re.compile(r"answer is", re.IGNORECASE)
_NEXT_QUESTION = re.compile(r"^Q:", re.MULTILINE)


def zero_shot_prompt(question: str) -> str:
    """The question, and the sentence that asks for steps: ``Q: …`` on one line, ``A: Let's think step by step.`` on the next.

    Raises
    ------
    ValueError
        The question is empty or white space.
    """
    if not question.strip():
        raise ValueError("the question is empty; give the text that the model should answer")
    return f"Q: {question.strip()}\nA: {TRIGGER}"


def few_shot_prompt(question: str, examples: Sequence[tuple[str, str, str]]) -> str:
    """Worked examples, then the question with its answer left open.

    Parameters
    ----------
    question : str
    examples : sequence of (question, steps, answer), str each
        Shown in this order; one becomes ``Q: question`` and ``A: steps The answer is answer.`` on two lines, a blank line after it.

    Returns
    -------
    str
        Ends with ``A:``, without a space: a model's tokens begin with theirs.

    Raises
    ------
    ValueError
        The question is empty, or there is no example.
    """
    if not question.strip():
        raise ValueError("the question is empty; give the text that the model should answer")
    if not examples:
        raise ValueError("no examples: a prompt without any is zero-shot, which zero_shot_prompt writes")
    shown = [f"Q: {q.strip()}\nA: {steps.strip()} The answer is {answer.strip()}.\n\n" for q, steps, answer in examples]
    return "".join(shown) + f"Q: {question.strip()}\nA:"


def extract_answer(text: str) -> float | None:
    """The number that a chain of thought ends in.

    Parameters
    ----------
    text : str
        What the model wrote. From the first line that begins with ``Q:`` on it is left out: there the model asks itself something new.

    Returns
    -------
    float or None
        The first number after the last "answer is" (in any case), where one follows it; otherwise the last number; None without a number.
        "1,234.50" is 1234.5, "$18" is 18, "−3" and "-3" are −3, "25-3" holds 25 and 3, and the point that ends a sentence is no fraction.
    """
    if (asks := _NEXT_QUESTION.search(text)) is not None:
        text = text[: asks.start()]
    said = [match.end() for match in _ANSWER.finditer(text)]
    found = _NUMBER.search(text, said[-1]) if said else None
    if found is None:
        found = next(reversed(list(_NUMBER.finditer(text))), None)
    if found is None:
        return None
    value = float(found[1].replace(",", "") + (found[2] or ""))
    return -value if found[0][0] in "-−" else value


def self_consistency(answers: Sequence[float | None]) -> tuple[float | None, float]:
    """The answer that most of several chains end in.

    Parameters
    ----------
    answers : sequence of float or None
        One a chain, from `extract_answer`; None for a chain without an answer, which has no vote.

    Returns
    -------
    answer : float or None
        The most frequent; of equally frequent ones the one that came first; None where no chain has an answer.
    share : float
        Its votes as a share of *all* chains, those without an answer too; 0.0 where there is none.
    """
    votes = Counter(a for a in answers if a is not None)  # most_common keeps the order of arrival among equals
    if not votes:
        return None, 0.0
    answer, count = votes.most_common(1)[0]
    return answer, count / len(answers)
