"""What the interactive pictures share: a box that has a text alternative, and the update of a live figure in place."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go

from aieng.figures.theme import STYLE, alt_text, title_text


class Explorer(widgets.VBox):
    """Controls above one or more live figures, and below them, in words, what they show at the moment.

    Where no widget is drawn (a terminal, GitHub, nbconvert) the words alone stand for it.
    """

    def __init__(self, controls: Sequence[widgets.Widget], figures: Sequence[go.FigureWidget], name: str) -> None:
        self.figures = list(figures)
        self.status = widgets.HTML()
        self._name = name
        row = widgets.HBox(list(controls), layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        super().__init__([widgets.HTML(STYLE), row, *self.figures, self.status])
        self.say(alt_text(self.figures[0]))

    def say(self, text: str, html: str = "") -> None:
        """Put `text` (or `html` that says the same) under the figures; screen readers announce the change."""
        self.text = text
        body = html or f"<p>{escape(text)}</p>"
        self.status.value = f'<div class="aieng-alt" role="status" aria-live="polite">{body}</div>'

    def plain(self) -> str:
        """The explorer in words."""
        return f"[Interactive figure] {self._name}\n" + textwrap.fill(self.text, 100)

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        bundle = super()._repr_mimebundle_(**kwargs) or {}
        if isinstance(bundle, tuple):
            bundle = bundle[0]
        return bundle | {"text/plain": self.plain()}


def redraw(live: go.FigureWidget, figure: go.Figure) -> None:
    """Make `live` show `figure`, which has the same traces in the same order, sending only what differs."""
    with live.batch_update():
        for old, new in zip(live.data, figure.data, strict=True):
            before, after = old.to_plotly_json(), new.to_plotly_json()
            changes = {key: after.get(key) for key in before.keys() | after.keys()
                       if key not in ("type", "uid") and not _same(before.get(key), after.get(key))}
            if changes:
                old.update(changes, overwrite=True)
        live.layout.title.text = figure.layout.title.text
        live.layout.meta = figure.layout.meta
        for mine, fresh in zip(live.layout.annotations, figure.layout.annotations, strict=True):
            if mine.text != fresh.text:
                mine.text = fresh.text


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        left, right = np.asarray(a, dtype=object), np.asarray(b, dtype=object)
        return left.shape == right.shape and bool((left == right).all())
    return bool(a == b)


def guarded(explorer: Explorer, act: Callable[[], None]) -> Callable[[Any], None]:
    """An event handler that runs `act` and shows an error of the learner's code under the figure instead of losing it."""

    def handle(_: Any) -> None:
        try:
            act()
        except Exception as error:  # whatever the learner's function raises
            explorer.say(f"{type(error).__name__}: {error}")

    return handle


def slider(description: str, value: int | float, low: int | float, high: int | float, *, step: float | None = None,
           tooltip: str) -> widgets.IntSlider | widgets.FloatSlider:
    """A labelled slider, moved with the arrow keys once it has the focus; whole numbers unless `step` is given."""
    look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="min(420px, 100%)"), "tooltip": tooltip,
            "description": description, "value": value, "min": low, "max": high}
    return widgets.IntSlider(**look) if step is None else widgets.FloatSlider(**look, step=step, readout_format=".2f")


def title_of(figure: go.Figure) -> str:
    """The figure's title, as the name of the explorer around it."""
    return title_text(figure)
