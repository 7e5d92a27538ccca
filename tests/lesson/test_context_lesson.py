"""8.1 and 8.2: experiments on the recorded runs and on a pretend model, and the context window."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from aieng.agents.context import compose, mmr, pack_context
from aieng.agents.prompts import ab_test
from aieng.data.corpus import load_corpus
from aieng.data.prompt_tasks import load_context_runs
from aieng.data.questions import Question
from aieng.figures.theme import CourseFigure, alt_text
from aieng.lesson.experiments import context, prompts
from aieng.lesson.widgets.context import context_window
from aieng.lesson.widgets.explorer import Explorer


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


class Reader:
    """Answers with the title that stands in the first passage."""

    def __init__(self) -> None:
        self.tokenizer = SimpleNamespace(encode=lambda text: text.split())
        self.asked: list[str] = []

    def chat(self, prompt: str, tokens: int) -> str:
        self.asked.append(prompt)
        return prompt.split("[1] ")[1].split(":")[0] if "[1] " in prompt else "I do not know"


def test_principles_are_compared_by_the_given_test():
    asked = []

    def spy(a, b, cases, correct):
        asked.append(len(cases))
        return ab_test(a, b, cases, correct, 200)

    found = prompts.principles(spy)
    assert asked == [120] * 6 + [150] * 6
    entries = found.data["category of an entry"]
    assert entries["clear + examples"] == pytest.approx(found.data["against"]["category of an entry"]["clear + examples"]["b"][0])
    assert "everything" in found.sentence and found.figure is not None


def test_injections_name_every_style():
    found = prompts.injections()
    assert found.data["cases"] >= 100
    assert all(f"{style}: order" in found.data["raw"] for style in prompts.STYLES)
    assert "closed tag" in alt_text(found.figure)


def test_reranking_and_places_from_the_record(corpus):
    found = context.reranking(ab_test, corpus)
    assert found.data["gain"] == pytest.approx(found.data["after"] - found.data["before"], abs=1e-9)
    assert found.data["low"] <= found.data["gain"] <= found.data["high"]
    places = context.lost_in_the_middle()
    assert places.data["cases"] == 128 and set(places.data["right"]) == {"10 passages", "20 passages"}
    first = load_context_runs()["positions"]["10"]["1"]["right"]
    assert places.data["first"] == pytest.approx(first.count("1") / len(first))
    spent = context.budgets(ab_test)
    assert spent.data["over"] == 0 and spent.data["prompts"] == 3200


def test_packing_never_loses_to_greedy(monkeypatch, corpus):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = context.packing(pack_context, Reader(), corpus, budgets=(30, 60))
    assert all(0 < s <= 1 + 1e-9 for row in found.data["share"].values() for s in row)
    assert context.greedy([3.0, 10.0], [1, 5], 5, [3.0, 2.0]) == 3.0


def test_diversity_counts_copies_once(monkeypatch, corpus):
    monkeypatch.setenv("AIENG_PACE", "quick")
    rng = np.random.default_rng(0)
    encoder = SimpleNamespace(encode=lambda texts: rng.normal(size=(len(texts), 384)).astype(np.float32))
    found = context.diversity(mmr, encoder, corpus, trade_offs=(0.5, 1.0), k=3)
    assert all(1 <= kinds <= 3 for kinds in found.data["different"].values())


def test_position_live_asks_with_the_passage_first_and_fourth(monkeypatch, corpus):
    monkeypatch.setenv("AIENG_PACE", "quick")
    reader = Reader()
    found = context.position_live(compose, reader, corpus)
    assert len(reader.asked) == 2 and found.data["right"][0] == 1


def window(budget=60):
    texts = ["Nile: a river in Africa", "Colorado: the river that made the Grand Canyon", "Po: a river in Italy"]
    question = Question("Which river?", ("Colorado",), "Colorado")
    return context_window(compose, Reader(), question, ["Nile", "Colorado", "Po"], texts, 1, budget=budget)


def test_window_moves_a_passage_and_asks_again():
    explorer = window(60)
    assert isinstance(explorer, Explorer) and "answers: “Nile” (not right)" in explorer.text
    row = {c.description: c for c in explorer.children[1].children}
    assert all(c.tooltip for c in row.values())
    row["Earlier"].click()
    assert "answers: “Colorado” (right)" in explorer.text
    assert [t.name for t in explorer.figures[0].data] == ["instruction", "Colorado", "Nile", "Po", "question"]
    row["Earlier"].click()  # already first: nothing changes
    assert "answers: “Colorado” (right)" in explorer.text
    row["Later"].click()
    row["Passage:"].value = 2
    row["Earlier"].click()
    assert [t.name for t in explorer.figures[0].data] == ["instruction", "Nile", "Po", "Colorado", "question"]
    total = sum(t.x[0] for t in explorer.figures[0].data)
    assert total == len(explorer_prompt(explorer))
    assert explorer._repr_mimebundle_()["text/plain"].startswith("[Interactive figure] Context window")


def explorer_prompt(explorer):
    """The tokens that the words under the figure count."""
    return range(int(explorer.text.split("In all ")[1].split(",")[0]))


def test_window_leaves_out_what_does_not_fit_and_stands_still_without_widgets(monkeypatch):
    explorer = window(60)
    row = {c.description: c for c in explorer.children[1].children}
    row["budget (tokens):"].value = 60
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    still = window(25)
    assert type(still) is CourseFigure and sum(t.x[0] == 0 for t in still.data) >= 1
