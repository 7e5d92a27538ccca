"""The pictures of 6.3 and 6.4: what they hold, and that they say it in words."""

import pytest

from aieng.figures import reasoning_search as draw
from aieng.figures.reasoning_search import Thought
from aieng.figures.theme import alt_text, title_text

TREE = [
    Thought("4 6 9", "", -1, 0, 0, None, 1),
    Thought("6 13", "4 + 9 = 13", 0, 1, 1, 0.2),
    Thought("4 6", "9 − 5 = 4", 0, 1, 1, 0.9, 2, on_path=True),
    Thought("9 24", "4 × 6 = 24", 0, 1, 1, 0.5, 3),
    Thought("24", "4 × 6 = 24", 2, 2, 2, None, None, goal=True, on_path=True),
    Thought("10", "4 + 6 = 10", 2, 2, 2),
]
DEPTHS = ("3 numbers", "2", "1")


@pytest.mark.parametrize(
    "figure",
    [
        draw.mask_bars(["{", '"', "a b"], [0.0, 0.4, 0.99], [1, 2, 9000], 49152),
        draw.outcome_bars("Calls", {"free": {"valid": 3, "no call": 7}, "constrained": {"valid": 10}}, "calls"),
        draw.interval_dots(
            "Which?", "share", ["a", "b"], {"x": [(0.5, 0.4, 0.6), (1.0, 0.9, 1.0)], "y": [(0.1, 0.0, 0.3), (0.2, 0.1, 0.4)]}, chance=0.3
        ),
        draw.solved_curves(
            {"chains": [("n = 1", 3.0, (0.1, 0.05, 0.2)), ("n = 2", 5.5, (0.2, 0.1, 0.3))], "bfs": [("beam 1", 20.0, (0.4, 0.3, 0.5))]}, 100
        ),
        draw.search_tree(TREE, 2, "4 6 9", DEPTHS),
    ],
    ids=lambda f: title_text(f),
)
def test_every_figure_has_a_title_and_words(figure):
    assert title_text(figure) and len(alt_text(figure)) > 40 and figure.data
    assert figure.layout.xaxis.title.text


def traces(figure):
    return {t.name: t for t in figure.data if t.name}


def test_tree_grows_with_the_steps():
    at = [traces(draw.search_tree(TREE, step, "t", DEPTHS)) for step in range(4)]
    assert [len(list(a["followed now"].x)) for a in at] == [0, 1, 1, 1]
    assert list(at[1]["left out"].x) == [1] and list(at[1]["waits"].x) == [1, 1]
    assert list(at[2]["24"].x) == [2] and list(at[1]["24"].x) == []
    assert list(at[2]["followed"].x) == [0] and list(at[3]["followed"].x) == [0, 1]
    edges = [sum(x is None for x in draw.search_tree(TREE, step, "t", DEPTHS).data[0].x) for step in range(4)]
    assert edges == [0, 3, 5, 5]
    assert sum(x is None for x in at[2]["the answer"].x) == 2 and not list(at[1]["the answer"].x)


def test_tree_says_what_happens():
    said = [alt_text(draw.search_tree(TREE, step, "t", DEPTHS)) for step in range(3)]
    assert "nothing is followed yet" in said[0]
    assert "gives 3 new thoughts, the best of them 4 6" in said[1]
    assert "Solved: 9 − 5 = 4, then 4 × 6 = 24" in said[2] and "2 of them never followed" in said[2]


def test_rows_do_not_overlap():
    rows = draw._rows(TREE)
    leaves = [rows[i] for i in (1, 3, 4, 5)]
    assert sorted(leaves) == [0.0, 1.0, 2.0, 3.0]
    assert rows[2] == (rows[4] + rows[5]) / 2 and rows[2] < rows[3] < rows[1]


def test_mask_bars_mark_what_was_forced():
    bars = draw.mask_bars(["a", "b"], [0.2, 0.9], [1, 5], 100).data[0]
    assert list(bars.marker.pattern.shape) == ["/", ""] and "1 of 2 tokens" in alt_text(draw.mask_bars(["a", "b"], [0.2, 0.9], [1, 5], 100))


def test_refusals():
    for call, message in (
        (lambda: draw.mask_bars([], [], [], 1), "one of each"),
        (lambda: draw.outcome_bars("t", {}, "x"), "rows is empty"),
        (lambda: draw.interval_dots("t", "x", ["a"], {"g": []}), "at least one"),
        (lambda: draw.solved_curves({}, 1), "series is empty"),
        (lambda: draw.search_tree([], 0, "t", DEPTHS), "thoughts is empty"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
