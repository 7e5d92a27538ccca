"""Word problems with a seed: a few sentences, two or three operations, a whole number as the answer, and the steps that lead to it."""

from __future__ import annotations

import random
from dataclasses import dataclass

NAMES = ("Ann", "Ben", "Carla", "Dev", "Ella", "Farid", "Gina", "Hugo")
THINGS = ("apples", "pens", "stamps", "marbles", "books", "shells", "coins", "cards")


@dataclass(frozen=True)
class WordProblem:
    """question : str; steps : the worked solution, without the sentence that declares the answer; answer : int."""

    question: str
    steps: str
    answer: int


def word_problem(rng: random.Random) -> WordProblem:
    """One problem of two or three steps; no intermediate result is negative or above 100."""
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    kind = rng.randrange(3)
    if kind == 0:  # start, gain, loss
        start, gain = rng.randrange(5, 31), rng.randrange(2, 16)
        loss = rng.randrange(2, min(15, start + gain - 1))
        between, answer = start + gain, start + gain - loss
        question = f"{name} has {start} {thing}. {name} gets {gain} more and then gives away {loss}. How many {thing} does {name} have now?"
        steps = f"{name} starts with {start} {thing}. With {gain} more that is {start} + {gain} = {between}. " \
                f"After giving away {loss} it is {between} - {loss} = {answer}."
    elif kind == 1:  # boxes, then a loss
        boxes, each = rng.randrange(2, 8), rng.randrange(2, 10)
        loss = rng.randrange(1, boxes * each)
        between, answer = boxes * each, boxes * each - loss
        question = f"{name} buys {boxes} boxes with {each} {thing} in each box. {loss} of the {thing} get lost. How many {thing} are left?"
        steps = f"{boxes} boxes with {each} {thing} each are {boxes} * {each} = {between}. Without the lost ones it is " \
                f"{between} - {loss} = {answer}."
    else:  # three steps
        first, second, loss = rng.randrange(5, 21), rng.randrange(2, 11), rng.randrange(2, 6)
        times = rng.randrange(2, 4)
        one, two = first + second, (first + second) * times
        answer = two - loss
        question = f"{name} has {first} {thing} and finds {second} more. A friend brings enough to make it {times} times as many. " \
                   f"Then {loss} are sold. How many {thing} are left?"
        steps = f"{name} has {first} + {second} = {one} {thing}. {times} times as many is {one} * {times} = {two}. After selling {loss} " \
                f"it is {two} - {loss} = {answer}."
    return WordProblem(question, steps, answer)


def make_word_problems(count: int, seed: int) -> list[WordProblem]:
    """`count` different problems; the same seed gives the same ones."""
    rng = random.Random(f"word problems {seed}")
    made: dict[str, WordProblem] = {}
    while len(made) < count:
        problem = word_problem(rng)
        made[problem.question] = problem
    return list(made.values())
