"""The pictures of 8.1 and 8.2: what they hold, and that they say it in words."""

from __future__ import annotations

import pytest

from aieng.figures.context import share_curves, share_dots, window_bar
from aieng.figures.theme import alt_text, title_text

SHARES = {"clear": (0.5, 0.4, 0.6), "with examples": (0.8, 0.7, 0.88)}


def test_dots_hold_shares_and_intervals():
    both = {"chat": SHARES, "raw": SHARES}
    figure = share_dots("Worth", "right answers", {"task one": both, "task two": both})
    assert title_text(figure) == "Worth" and len(figure.data) == 4
    assert list(figure.data[0].x) == [0.5, 0.8]
    assert list(figure.data[0].error_x.arrayminus) == pytest.approx([0.1, 0.1])
    assert "task two, raw: clear 50% (from 40% to 60%)" in alt_text(figure)
    with pytest.raises(ValueError, match="panels is empty"):
        share_dots("Worth", "right", {})


def test_curves_do_not_hide_each_other():
    series = {"ten": {1.0: (0.6, 0.5, 0.7), 2.0: (0.3, 0.2, 0.4)}, "twenty": {1.0: (0.6, 0.5, 0.7)}}
    figure = share_curves("By place", "place", "right", series)
    assert figure.data[0].x[0] != figure.data[1].x[0]
    assert "ten: 60% at 1, 30% at 2" in alt_text(figure)
    logged = share_curves("By budget", "tokens", "right", {"a": {64.0: (0.5, 0.4, 0.6)}}, log_x=True)
    assert logged.layout.xaxis.type == "log" and list(logged.layout.xaxis.ticktext) == ["64"]
    with pytest.raises(ValueError, match="series is empty"):
        share_curves("By place", "place", "right", {})


def test_window_is_one_bar_in_order():
    figure = window_bar(["instruction", "A", "B", "question"], [5, 20, 0, 10], 64, marked=1, chosen=2)
    assert [trace.x[0] for trace in figure.data] == [5, 20, 0, 10]
    assert figure.data[1].marker.pattern.shape and not figure.data[2].marker.pattern.shape
    words = alt_text(figure)
    assert "A (holds the answer) 20" in words and "B" not in words and "In all 35, the budget is 64" in words
    with pytest.raises(ValueError, match="give one each"):
        window_bar(["a"], [1, 2], 3)
