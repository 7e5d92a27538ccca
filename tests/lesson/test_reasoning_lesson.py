"""The experiments and explorers of 6.1 and 6.2, at their small sizes."""

from __future__ import annotations

import math

import pytest

from aieng.lesson.experiments import chain_of_thought as cot
from aieng.lesson.experiments import process_supervision as supervision
from aieng.lesson.finding import Skipped
from aieng.lesson.widgets.explorer import Explorer
from aieng.lesson.widgets.reasoning import step_explorer, trace_explorer
from aieng.reasoning.chain_of_thought import extract_answer, few_shot_prompt, self_consistency, zero_shot_prompt
from aieng.reasoning.verifiers import best_of_n, process_loss, step_labels, trace_score


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")


class Scripted:
    """Answers each message with the next text."""

    def __init__(self, *texts):
        self.texts = list(texts)

    def chat(self, message, tokens=0):
        return self.texts.pop(0)


def test_equations():
    assert cot.equations("20 + 5 = 25, 25 - 3 = 21 and 2 * 4 = 8") == [("20 + 5 = 25", True), ("25 - 3 = 21", False), ("2 * 4 = 8", True)]
    data = cot.apple(extract_answer, Scripted("22.", "no idea")).data
    assert data["equations"] == data["true"] == 5 and data["answer"] == data["direct"] == 22 and math.isnan(data["steps"])


def test_the_recorded_gap():
    data = cot.gap_by_steps().data
    assert data["scratchpad"].shape == data["direct"].shape == (3, 5)
    assert data["low"] < data["gap"] < data["high"] and data["low"] > 0.3


def test_votes():
    data = cot.votes_against_accuracy(self_consistency).data
    assert data["counts"] == [1, 3, 5, 10, 20, 40] and data["most"] > data["one"]
    always = cot.votes_against_accuracy(lambda answers: (answers[0], 1.0), chains=3).data
    assert always["one"] == always["most"]


def test_training_live_is_small_when_quick():
    data = cot.train_both(asked=50, seeds=(0, 4)).data
    assert data["tokens"] == 20_000 and data["direct"].shape == data["scratchpad"].shape == (2, 5)
    assert (data["direct"][0] != data["direct"][1]).any(), "two seeds are two trainings"


def test_recorded_prompts():
    data = cot.prompts_compared().data
    assert data["n"] == 100 and all(0 <= data[name] <= 1 for name in ("direct", "zero-shot", "few-shot"))


def test_live_prompts_count_right_answers():
    [problem] = cot.make_word_problems(1, 7)
    model = Scripted(f" {problem.answer}.", "I do not know", f"The answer is {problem.answer}.")
    data = cot.prompts_live(zero_shot_prompt, few_shot_prompt, extract_answer, model).data
    assert (data["direct"], data["zero-shot"], data["few-shot"]) == (1, 0, 1)


@pytest.fixture(scope="module")
def verifiers():
    return supervision.train_verifiers(step_labels, process_loss, traces=2000, steps=400)


def test_best_of_n_starts_at_one_chain(verifiers):
    data = supervision.best_of_n_curves(verifiers, trace_score, best_of_n, questions=10).data
    for target in ("right", "sound"):
        assert data[target]["outcome"][0] == pytest.approx(data[target]["process"][0])
        assert data[target]["any"] == sorted(data[target]["any"]) and data[target]["any"][-1] >= data[target]["process"][-1]
    assert data["sound"]["process"][-1] > data["sound"]["process"][0]


def test_wrong_reasoning_and_credit(verifiers):
    data = supervision.wrong_reasoning(verifiers, trace_score, best_of_n, questions=10).data
    assert data["curves"]["outcome"][0] == pytest.approx(data["curves"]["process"][0]) and 0 < data["chance"] < 0.5
    credit = supervision.partial_credit(verifiers).data
    assert credit["located_process"] > 0.8 and credit["credit"]["process"][0] > credit["credit"]["process"][2]
    assert "2,000 chains" in repr(verifiers)


def test_nothing_is_measured_while_grading(monkeypatch, verifiers):
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert isinstance(supervision.partial_credit(verifiers), Skipped)
    assert isinstance(step_explorer(), Skipped) and isinstance(trace_explorer(verifiers), Skipped)


def control(explorer, name):
    return next(c for c in explorer.children[1].children if c.description.startswith(name))


def test_step_explorer_follows_its_controls():
    explorer = step_explorer()
    assert isinstance(explorer, Explorer)
    before = explorer.text
    control(explorer, "wrong").value = 0
    assert explorer.text != before
    control(explorer, "model").value = "direct"
    assert "writes nothing" in explorer.text
    control(explorer, "question").value = 4
    assert "writes nothing" in explorer.text


def test_trace_explorer_follows_its_slider(verifiers):
    explorer = trace_explorer(verifiers)
    before = explorer.text
    assert "(wrong)" in before
    control(explorer, "chain").value = 20
    assert explorer.text != before and "(wrong)" not in explorer.text
