"""6.3 and 6.4 as a notebook shows them: stored measurements, searches written down, explorers that follow their controls."""

import numpy as np
import pytest

from aieng.figures.theme import CourseFigure
from aieng.lesson.checking import evaluate
from aieng.lesson.experiments import tools as tool_lesson
from aieng.lesson.experiments.tree_search import (
    first_right,
    how_good_is_the_model,
    parse_puzzle,
    record_search,
    solved_against_calls,
    thoughts_of,
    tree_at,
    walk,
)
from aieng.lesson.finding import Skipped
from aieng.lesson.widgets import reasoning_search as widgets
from aieng.lesson.widgets.explorer import Explorer
from aieng.lesson.widgets.reasoning_search import mask_explorer, tree_explorer
from aieng.reasoning.game24 import load_intuition, start
from aieng.reasoning.toolbox import Shop, calculator
from aieng.reasoning.tools import judge_call
from aieng.reasoning.tree_search import propose, tot_bfs, tot_dfs

SEARCHES = (propose, tot_bfs, tot_dfs)


def control(explorer, name):
    return next(c for c in explorer.children[1].children if c.description.startswith(name))


@pytest.mark.parametrize("exercise", ["6.3", "6.4"])
def test_the_helpers_hold_every_visible_property(exercise):
    from aieng.generation.constrained import constrained_decode, mask_logits
    from aieng.reasoning.tools import describe, parse_call, run_tool

    answers = SEARCHES if exercise == "6.4" else (describe, parse_call, run_tool, mask_logits, constrained_decode)
    assert [o for o in evaluate(exercise, *answers) if o.problem] == []


# --- 6.4 --------------------------------------------------------------------------------------------------------------------


def test_a_recorded_search_is_the_search():
    mind = load_intuition()
    puzzle = start(4, 9, 10, 13)
    plain = tot_bfs(puzzle, thoughts_of(mind, propose), mind.value, lambda s: s == (24,), 3)
    thoughts = record_search(lambda *problem: tot_bfs(*problem, 3), puzzle, thoughts_of(mind, propose), mind.value)
    assert thoughts[0].parent == -1 and thoughts[0].followed_at == 1
    assert all(0 <= t.parent < i and thoughts[t.parent].depth == t.depth - 1 for i, t in enumerate(thoughts) if i)
    path = [t.label for t in thoughts if t.on_path]
    assert path == ([] if plain is None else [" ".join(map(str, s)) for s in plain])
    followed = [t for t in thoughts if t.followed_at]
    assert sorted(t.followed_at for t in followed) == list(range(1, len(followed) + 1))
    assert len([t for t in followed if t.depth == 1]) <= 3


def test_walks_in_words(monkeypatch):
    for way in ("BFS", "DFS"):
        thoughts, title = walk(start(1, 1, 1, 1), way, 2, *SEARCHES)
        assert "it has no solution" in title and "model calls" in title and not any(t.on_path for t in thoughts)


def test_puzzles_are_read_and_refused():
    assert parse_puzzle("13, 4 10 9") == start(4, 9, 10, 13)
    for text in ("1 2 3", "1 2 3 4 5", "0 1 2 3", "1 2 3 14", "a b c d", ""):
        with pytest.raises(ValueError, match="four whole numbers"):
            parse_puzzle(text)


def test_more_chains_never_solve_less():
    mind, rng = load_intuition(), np.random.default_rng(0)
    found = [first_right(mind, start(4, 9, 10, 13), most, np.random.default_rng(1)) for most in (1, 4, 64)]
    assert found[0] in (1, 2) and found[1] <= 5 and min(found[2], 5) == found[1]
    assert first_right(mind, start(1, 1, 1, 1), 3, rng) == 4


def test_solved_against_calls(monkeypatch):
    monkeypatch.setenv("AIENG_PACE", "quick")
    found = solved_against_calls(*SEARCHES).data
    best = [share for _, _, (share, _, _) in found["series"]["best of n chains"]]
    assert best == sorted(best) and found["chain_calls"] == 3.0 and found["puzzles"] == 20
    for points in found["series"].values():
        assert all(low <= share <= high for _, _, (share, low, high) in points)
    beams = [calls for _, calls, _ in found["series"]["ToT, breadth first"]]
    assert beams == sorted(beams)
    assert 0.5 < how_good_is_the_model().data["auc"] <= 1


def test_tree_explorer_follows_its_controls():
    explorer = tree_explorer(*SEARCHES)
    assert isinstance(explorer, Explorer)
    step = control(explorer, "step")
    step.value = 1
    assert explorer.text.startswith("Step 1 of") and "4 9 10 13 is followed" in explorer.text
    step.value = 0
    assert "nothing is followed yet" in explorer.text
    control(explorer, "Four numbers").value = "3 3 8 8"
    assert "3 3 8 8" in explorer.figures[0].layout.title.text and step.value == step.max
    control(explorer, "beam").value = 1
    narrow = step.max
    control(explorer, "beam").value = 6
    assert step.max > narrow
    control(explorer, "Four numbers").value = "3 3 8"
    assert "four whole numbers" in explorer.text
    explorer.children[1].children[1].value = "DFS"
    assert "four whole numbers" in explorer.text
    control(explorer, "Four numbers").value = "1 5 5 5"
    assert "1 5 5 5" in explorer.figures[0].layout.title.text


def test_still_without_widgets_and_skipped_while_grading(monkeypatch):
    monkeypatch.setenv("AIENG_WIDGETS", "off")
    assert isinstance(tree_explorer(*SEARCHES), CourseFigure)
    monkeypatch.setenv("NBGRADER_EXECUTION", "autograde")
    assert isinstance(tree_explorer(*SEARCHES), Skipped) and isinstance(mask_explorer(None, None, {}), Skipped)
    assert tool_lesson.course_tools() == {} and np.isnan(tool_lesson.tool_choice().data["clear"])


def test_pictures_of_all_steps_have_the_same_traces():
    thoughts, title = walk(start(4, 9, 10, 13), "DFS", 1, *SEARCHES)
    last = max(t.followed_at or 0 for t in thoughts)
    assert len({tuple(t.name for t in tree_at(thoughts, step, title).data) for step in range(last + 1)}) == 1


# --- 6.3 --------------------------------------------------------------------------------------------------------------------


def test_stored_run_says_what_the_course_says():
    record = tool_lesson.stored()
    run = record["calls"]
    assert run["count"] >= 500 and run["kinds"]["constrained"] == {"valid": run["count"]}
    assert sum(run["kinds"]["free"].values()) == run["count"] > run["kinds"]["free"].get("valid", 0)
    assert len(record["questions"]) == 60 == len(record["loop"]["rows"])
    for chosen in record["choice"]["chosen"].values():
        assert all(len(picks) == 60 for picks in chosen.values())
    noisy = {
        label: sum(p == q["tool"] for p, q in zip(chosen["noisy channel"], record["questions"]))
        for label, chosen in record["choice"]["chosen"].items()
    }
    assert noisy["clear, telling names"] > noisy["vague, empty names"]


def test_stored_examples_are_judged_as_stored():
    shop = Shop([("Turban", "clothing", 26.0)])

    class Definitions:
        def search_definitions(self, query: str, k: int = 1) -> str:
            """Look up what something is."""
            return query

    tools = {"calculator": calculator, "query_shop": shop.query_shop, "search_definitions": Definitions().search_definitions}
    assert all(judge_call(text, tools)[0] == "valid" for text in tool_lesson.stored()["calls"]["examples"]["constrained"])


def test_observations_of_trouble():
    shop = Shop([("Turban", "clothing", 26.0), ("Bread", "food", 2.0)])
    from aieng.reasoning.tools import run_tool

    found = tool_lesson.observations(run_tool, {"calculator": calculator, "query_shop": shop.query_shop})
    assert found.data["errors"] == 8 and "the program is still running" in found.sentence


def test_mask_explorer_follows_its_controls(monkeypatch):
    asked = []

    def traced(describe, constrained_decode, tools, question, seed=0):
        asked.append((question, seed))
        bars = {"tokens": list("abc"), "mass": [0.1, 0.9, 0.2], "permitted": [1, 2, 3]}
        return bars | {"text": "abc", "observation": "seen", "vocab_size": 9}

    monkeypatch.setattr(widgets, "mask_trace", traced)
    explorer = mask_explorer(None, None, {})
    assert isinstance(explorer, Explorer) and "The tool answers" in explorer.text
    control(explorer, "Question").value = "How much is a wok?"
    assert asked == [("How much is a wok?", 0)] and "At 2 of 3 tokens" in explorer.text
    assert len(explorer.figures[0].data[0].x) == 3 and list(explorer.figures[0].layout.xaxis.ticktext) == ["a", "b", "c"]
    control(explorer, "Write another").click()
    assert asked[-1] == ("How much is a wok?", 1)
    control(explorer, "Question").value = " "
    assert "The question is empty" in explorer.text and len(asked) == 2
