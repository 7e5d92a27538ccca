"""Prompts against golden strings; the answer's reader on texts made from known numbers; the vote against statistics.mode."""

from __future__ import annotations

import random
import statistics

import pytest

from aieng.data.word_problems import make_word_problems
from aieng.lesson.experiments.chain_of_thought import equations
from aieng.reasoning.chain_of_thought import extract_answer, few_shot_prompt, self_consistency, zero_shot_prompt
from aieng.reasoning.prompting import EXAMPLES, ask, direct_prompt


def test_prompts():
    assert zero_shot_prompt(" 2 and 3?\n") == "Q: 2 and 3?\nA: Let's think step by step."
    assert few_shot_prompt("2?", [("1?", "It is 1.", "1")]) == "Q: 1?\nA: It is 1. The answer is 1.\n\nQ: 2?\nA:"
    assert direct_prompt("2?") == "Q: 2?\nA: The answer is"
    for call in (lambda: zero_shot_prompt(" "), lambda: few_shot_prompt("", EXAMPLES), lambda: few_shot_prompt("2?", [])):
        with pytest.raises(ValueError):
            call()


@pytest.mark.parametrize(("text", "want"), [
    ("20 + 5 = 25. The answer is 22.", 22), ("The answer is 22, for 3 were eaten", 22), ("The answer is 5. No, the answer is 6.", 6),
    ("no idea", None), ("", None), ("25-3", 3), ("it is -3", -3), ("−$1,234.50.", -1234.5), ("1, 2, 3", 3), ("8\nQ: 9", 8), ("Q: 9", None),
    ("7. The answer is clear.", 7), ("(2)-4", 4), ("2.5", 2.5), ("2.", 2),
])
def test_reader(text, want):
    assert extract_answer(text) == want


def test_vote_is_the_first_mode():
    rng = random.Random(0)
    for _ in range(200):
        answers = [float(rng.randrange(4)) for _ in range(rng.randrange(1, 9))]
        assert self_consistency(answers) == (statistics.mode(answers), answers.count(statistics.mode(answers)) / len(answers))
    assert self_consistency([None, 0.0]) == (0.0, 0.5) and self_consistency([]) == (None, 0.0)


def test_word_problems_have_true_steps():
    problems = make_word_problems(200, 0)
    assert problems == make_word_problems(200, 0) and len({p.question for p in problems}) == 200
    for p in problems:
        assert extract_answer(p.steps) == p.answer >= 0
        assert len(equations(p.steps)) in (1, 2, 3) and all(true for _, true in equations(p.steps))


def test_asks_a_chat_server_by_message():
    class Server:
        def chat(self, message, tokens):
            return f"{message}|{tokens}"

    assert ask(Server(), "Q", 7, one_line=True) == "Q|7"
