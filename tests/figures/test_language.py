"""Every figure of section 02: title, axes, an alternative in words with the computed numbers, and refusals that help."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from aieng.figures import language as draw
from aieng.figures import theme

RUN = {"beta": 0.3, "reward": [0.0] * 3 + [2.0] * 12, "gold": [1.0] * 3 + [0.5] * 12, "kl": [0.0] * 3 + [0.25] * 12}

FIGURES: dict[str, tuple[Callable[[], theme.CourseFigure], list[str]]] = {
    "curves": (
        lambda: draw.curves("T", "steps", "loss", [1, 10], {"yours": [7.0, 2.5]}, levels={"guessing": 6.93}, log_x=True),
        ["yours goes from 7 at 1 to 2.5 at 10", "guessing stands at 6.93"]),
    "curves of their own x": (
        lambda: draw.curves("T", "x", "y", {"a": [1, 2], "b": [3]}, {"a": [0, 1], "b": [5]}),
        ["a goes from 0 at 1 to 1 at 2", "b goes from 5 at 3"]),
    "bars": (lambda: draw.bars("T", "tokens", ["English", "Greek"], {"a": [1.0, 4.2], "b": [2.0, 3.0]}, form=".1f"),
             ["a: English 1.0, Greek 4.2", "b: English 2.0"]),
    "shares": (
        lambda: draw.bars("T", "share", ["gold", "wrong"], {"right": [0.9, 0.1]}, low=[0.8, 0.05], high=[0.95, 0.2], as_percent=True),
        ["gold 90% (from 80% to 95%)", "wrong 10% (from 5% to 20%)"]),
    "next token": (lambda: draw.next_token_bars([" east", " sky"], [0.4, 0.1]), ["' east' 40.0%, ' sky' 10.0%"]),
    "next token after the steps": (
        lambda: draw.next_token_bars([" east", " sky"], [0.4, 0.1], [1.0, 0.0]), ["After the steps: ' east' 100.0%, ' sky' out"]),
    "nucleus": (lambda: draw.nucleus_strip([" the", " cat", "\n"], [2, 300, 20], 0.95, 20), ["from 2 to 300, median 20", "1 of the steps"]),
    "alignment": (lambda: draw.alignment_curves(RUN), ["beta 0.3", "from 0.00 to 2.00", "from 1.00 to 0.50", "0.25 nats"]),
    "alignment summary": (
        lambda: draw.alignment_summary([1.0, 0.0], [0.5, 3.0], [0.8, 0.1], [0.02, 1.5]),
        ["beta 1: KL 0.02, reward 0.50, true preference 0.80 and beta 0: KL 1.50, reward 3.00, true preference 0.10"]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_has_title_axes_and_words(name):
    make, told = FIGURES[name]
    figure = make()
    assert isinstance(figure, theme.CourseFigure) and theme.title_text(figure)
    text = theme.alt_text(figure)
    for part in told:
        assert part in text, text
    assert any(axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()))
    json.loads(figure.to_json())


def test_bars_of_one_place_are_as_long_as_their_values():
    before, after = draw.next_token_bars(["a", "b"], [0.6, 0.3], [0.9, 0.0]).data
    assert list(before.x) == [0.6, 0.3] and list(after.x) == [0.9, 0.0] and list(after.text) == ["90.0%", "out"]


def test_intervals_become_error_bars():
    (trace,) = draw.bars("T", "share", ["gold"], {"right": [0.5]}, low=[0.3], high=[0.6], as_percent=True).data
    assert list(trace.y) == ["gold: 50%"]
    assert trace.error_x.array == pytest.approx([0.1]) and trace.error_x.arrayminus == pytest.approx([0.2])


def test_smoothed_lines_are_the_mean_of_the_last_ten():
    values = np.arange(12.0)
    run = {"beta": 1, "reward": values, "gold": values, "kl": values}
    thin, thick = draw.alignment_curves(run).data[:2]
    assert list(thin.y) == list(values) and thick.y[0] == 0 and thick.y[-1] == pytest.approx(values[2:].mean())


def test_marks_of_the_summary_stand_in_order_of_distance():
    reward, gold = draw.alignment_summary([0.0, 1.0], [3.0, 0.5], [0.1, 0.8], [1.5, 0.02]).data
    assert list(reward.x) == [0.02, 1.5] and list(reward.y) == [0.5, 3.0] and list(gold.y) == [0.8, 0.1]
    figure = draw.alignment_summary([0.0, 1.0, 0.05], [3.0, 0.5, 2.9], [0.1, 0.8, 0.2], [1.5, 0.02, 1.45])
    assert [note.text for note in figure.layout.annotations] == ["β = 1", "β = 0.05, 0"], "neighbours share a label"


class TestColouredTokens:
    TOKENS = draw.ColouredTokens((" a<b", "\n", "c"), (4, 5, 6))

    def test_words(self):
        assert self.TOKENS.plain() == "3 tokens:  a<b│\n│c"
        assert self.TOKENS._repr_mimebundle_()["text/plain"] == self.TOKENS.plain()

    def test_marks_spaces_and_line_ends_and_escapes_the_rest(self):
        html = self.TOKENS.html()
        assert "·a&lt;b" in html and "⏎" in html and 'title="token 6"' in html and "<b" not in html.replace("<br", "")

    def test_neighbours_differ_in_colour(self):
        html = draw.ColouredTokens(tuple("abcdef"), tuple(range(6))).html()
        colors = [part.split('"')[0] for part in html.split("background:")[1:]]
        assert len(colors) == 6 and all(a != b for a, b in pairwise(colors))

    def test_no_tokens(self):
        assert "(no tokens)" in draw.ColouredTokens((), ()).html()


@pytest.mark.parametrize(("call", "message"), [
    (lambda: draw.curves("T", "x", "y", [1], {}), "series is empty"),
    (lambda: draw.curves("T", "x", "y", [1, 2], {"a": [1]}), "'a' has"),
    (lambda: draw.bars("T", "v", ["one"], {"a": [1, 2]}), "'a' has"),
    (lambda: draw.next_token_bars([], []), "0 tokens"),
    (lambda: draw.next_token_bars(["a"], [0.1, 0.2]), "give one each"),
    (lambda: draw.nucleus_strip(["a"], [1, 2], 0.9, 5), "give one each"),
])
def test_refuses_what_it_cannot_draw(call, message):
    with pytest.raises(ValueError, match=message):
        call()
