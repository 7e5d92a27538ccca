"""What the interactive pictures share: a box that has a text alternative, and the update of a live figure in place."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import anywidget
import ipywidgets as widgets
import numpy as np
import plotly.graph_objects as go
import traitlets

from aieng.figures.theme import STYLE, CourseFigure, alt_text
from aieng.lesson.boxes import WordedBox
from aieng.lesson.environment import interactive_allowed


class _Assist(anywidget.AnyWidget):
    """Does in the browser what the widgets leave out: the figures' width, and names for screen readers.

    A figure widget on its own stays 700 pixels wide; a slider's handle and the buttons of a player have no name.
    """

    figures = traitlets.Int().tag(sync=True)
    _esm = """
    export default { render({ model, el }) {
      const announce = () => window.dispatchEvent(new Event("resize"));
      const name = (box) => {
        for (const handle of box.querySelectorAll('[role="slider"]')) {
          const row = handle.closest(".widget-inline-hbox"), label = row?.querySelector("label");
          if (!label) continue;
          handle.setAttribute("aria-label", label.textContent);
          row.querySelector(".widget-readout")?.setAttribute("aria-label", `${label.textContent} number`);
        }
        for (const player of box.querySelectorAll(".widget-play"))
          [...player.querySelectorAll("button")].forEach((button, i) => {
            button.setAttribute("aria-label", ["Play or pause", "Stop", "Repeat"][i]);
            button.title = button.getAttribute("aria-label");
          });
      };
      let width = 0;
      const watch = new ResizeObserver(() => {
        if (el.clientWidth !== width) { width = el.clientWidth; announce(); }
      });
      watch.observe(el);
      // The figures load on their own time: measure once more when all of them are drawn.
      let tries = 0;
      const timer = setInterval(() => {
        const box = el.closest(".aieng-explorer");
        const drawn = box?.querySelectorAll(".js-plotly-plot .svg-container").length ?? 0;
        if (drawn >= model.get("figures") || ++tries > 150) { clearInterval(timer); announce(); if (box) name(box); }
      }, 100);
      return () => { watch.disconnect(); clearInterval(timer); };
    } };
    """


class Explorer(WordedBox):
    """Controls above one or more live figures, and below them, in words, what they show at the moment.

    Where no widget is drawn (a terminal, GitHub, nbconvert) the words alone stand for it.
    """

    def __init__(self, controls: Sequence[widgets.Widget], figures: Sequence[go.FigureWidget], name: str) -> None:
        self.figures = list(figures)
        self.status = widgets.HTML()
        self._name = name
        row = widgets.HBox(list(controls), layout=widgets.Layout(flex_flow="row wrap", align_items="center"))
        super().__init__([widgets.HTML(STYLE), row, _Assist(figures=len(self.figures)), *self.figures, self.status])
        self.add_class("aieng-explorer")
        self.say(alt_text(self.figures[0]))

    def say(self, text: str, html: str = "") -> None:
        """Put `text` (or `html` that says the same) under the figures; screen readers announce the change."""
        self.text = text
        body = html or f"<p>{escape(text)}</p>"
        self.status.value = f'<div class="aieng-alt" role="status" aria-live="polite">{body}</div>'

    def plain(self) -> str:
        """The explorer in words."""
        return f"[Interactive figure] {self._name}\n" + textwrap.fill(self.text, 100)


def live(figure: go.Figure) -> go.FigureWidget:
    """The figure as a widget that fills its cell's width (plotly's own default is 700 pixels)."""
    widget = go.FigureWidget(figure)
    widget._config = {"responsive": True, "displaylogo": False}
    return widget


def redraw(shown: go.FigureWidget, figure: go.Figure) -> None:
    """Make `shown` show `figure`, which has the same traces in the same order, sending only what differs."""
    with shown.batch_update():
        for old, new in zip(shown.data, figure.data, strict=True):
            before, after = old.to_plotly_json(), new.to_plotly_json()
            changes = {key: after.get(key) for key in before.keys() | after.keys()
                       if key not in ("type", "uid") and not _same(before.get(key), after.get(key))}
            if changes:
                old.update(changes, overwrite=True)
        shown.layout.title.text = figure.layout.title.text
        shown.layout.meta = figure.layout.meta
        for axis in ("xaxis", "yaxis"):
            if figure.layout[axis].range is not None and figure.layout[axis].range != shown.layout[axis].range:
                shown.layout[axis].range = figure.layout[axis].range
        for mine, fresh in zip(shown.layout.annotations, figure.layout.annotations, strict=True):
            if mine.text != fresh.text:
                mine.text = fresh.text


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        left, right = np.asarray(a, dtype=object), np.asarray(b, dtype=object)
        # A NaN, the gap in a line, equals itself here.
        return left.shape == right.shape and bool(((left == right) | ((left != left) & (right != right))).all())
    return bool(a == b)


def guarded(explorer: Explorer, act: Callable[[], None]) -> Callable[[Any], None]:
    """An event handler that runs `act` and shows an error of the learner's code under the figure instead of losing it."""

    def handle(_: Any) -> None:
        try:
            act()
        except Exception as error:  # whatever the learner's function raises
            explorer.say(f"{type(error).__name__}: {error}")

    return handle


def player(steps: int, noun: str, tooltip: str, *, interval: int = 700) -> tuple[list[widgets.Widget], widgets.IntSlider]:
    """Play, step back, step on and a slider from 1 to `steps`: (the controls in their order, the slider to observe).

    Parameters
    ----------
    noun : what one step is called, such as "hop"
    tooltip : of the slider
    interval : milliseconds a step while playing
    """
    play = widgets.Play(min=1, max=steps, value=1, interval=interval, show_repeat=False, tooltip="Play, pause or stop")
    step = slider(f"{noun}:", 1, 1, steps, tooltip=tooltip)
    back = widgets.Button(description="Step back", icon="step-backward", tooltip=f"One {noun} back")
    forth = widgets.Button(description="Step on", icon="step-forward", tooltip=f"One {noun} forward")
    # Linked in the browser, so that the kernel hears of each step once.
    step.link = widgets.jslink((play, "value"), (step, "value"))
    back.on_click(lambda _: setattr(step, "value", max(step.value - 1, 1)))
    forth.on_click(lambda _: setattr(step, "value", min(step.value + 1, steps)))
    return [play, back, forth, step], step


def stepped(picture: Callable[[int], CourseFigure], steps: int, noun: str, tooltip: str, title: str, *,
            interval: int = 700) -> Explorer | CourseFigure:
    """The pictures of the steps 0 to `steps` - 1 with the controls of `player`; where widgets make no sense, the first one, still."""
    still = picture(0)
    if not interactive_allowed():
        return still
    figure = live(still)
    controls, step = player(steps, noun, tooltip, interval=interval)
    explorer = Explorer(controls, [figure], title)

    def update() -> None:
        fresh = picture(step.value - 1)
        redraw(figure, fresh)
        explorer.say(alt_text(fresh))

    step.observe(guarded(explorer, update), "value")
    return explorer


def slider(description: str, value: int | float, low: int | float, high: int | float, *, step: float | None = None,
           tooltip: str) -> widgets.IntSlider | widgets.FloatSlider:
    """A labelled slider, moved with the arrow keys once it has the focus; whole numbers unless `step` is given."""
    look = {"style": {"description_width": "initial"}, "layout": widgets.Layout(width="min(420px, 100%)"), "tooltip": tooltip,
            "description": description, "value": value, "min": low, "max": high}
    return widgets.IntSlider(**look) if step is None else widgets.FloatSlider(**look, step=step, readout_format=".2f")
