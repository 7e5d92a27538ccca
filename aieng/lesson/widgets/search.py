"""A search page around the engine of 1.8: a query, a category, a highest price; the answers, and where the time went."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from aieng.figures import vectors as draw
from aieng.figures.theme import CourseFigure
from aieng.lesson.environment import interactive_allowed
from aieng.lesson.finding import drawn
from aieng.lesson.widgets.explorer import Explorer, guarded, live, redraw, slider

ANY = "any"


@drawn
def engine_explorer(engine: Any, categories: Sequence[str], *, query: str = "something to keep soup warm", k: int = 5,
                    top_price: float = 100.0) -> Explorer | CourseFigure:
    """Type a query, choose a category and a highest price: the engine's answers in a list, its stages as bars.

    Parameters
    ----------
    engine : has `search(query, k, filters)`, which returns results with title, text, category, price and score, and `timings`
    categories : what to choose from
    query, k : what to begin with
    top_price : right end of the price's slider, where prices do not matter
    """

    def look(sentence: str, count: int, category: str, price: float) -> tuple[list[Any], dict[str, Any], CourseFigure]:
        filters: dict[str, Any] = {} if category == ANY else {"category": category}
        if price < top_price:
            filters["price"] = {"lte": price}
        results = engine.search(sentence, count, filters or None)
        return results, filters, draw.stage_bars({"this query": engine.timings})

    look(query, k, ANY, top_price)  # the first search loads and compiles; what is shown should be a usual one
    results, filters, still = look(query, k, ANY, top_price)
    if not interactive_allowed():
        return still
    figure = live(still)
    wide = {"style": {"description_width": "initial"}}
    box = widgets.Text(value=query, description="Your query:", continuous_update=False, placeholder="type a sentence, then Enter",
                       tooltip="What to search for; Enter starts the search", layout=widgets.Layout(width="min(480px, 100%)"), **wide)
    pick = widgets.Dropdown(options=[ANY, *categories], value=ANY, description="category:", tooltip="Only rows of this category", **wide)
    price = slider("price at most (the right end: any):", top_price, 1.0, top_price, step=1.0, tooltip="Only rows that cost no more")
    count = slider("k, how many:", k, 1, 20, tooltip="How many answers to show")
    explorer = Explorer([box, pick, price, count], [figure], "Search page")

    def tell(sentence: str, found: list[Any], filters: dict[str, Any]) -> None:
        heading = f"{len(found)} answers to “{sentence}”, filter {filters or 'none'}, in {1e3 * sum(engine.timings.values()):.1f} ms."
        items = "".join(f"<li><b>{escape(r.title)}</b> ({escape(r.category)}{_euros(r.price)}, score {r.score:.3f})<br>"
                        f"{escape(r.text)}</li>" for r in found)
        listed = "; ".join(f"{rank}. {r.title}{_euros(r.price)}" for rank, r in enumerate(found, 1))
        explorer.say(f"{heading} {listed}", f"<p>{escape(heading)}</p><ol style='line-height:1.4'>{items}</ol>")

    def update() -> None:
        if not box.value.strip():
            explorer.say("The query is empty: type a sentence, then press Enter.")
            return
        found, filters, fresh = look(box.value, count.value, pick.value, price.value)
        redraw(figure, fresh)
        figure.layout.xaxis.range = fresh.layout.xaxis.range  # one query takes a hundred times as long as another
        tell(box.value, found, filters)

    handler = guarded(explorer, update)
    for control in (box, pick, price, count):
        control.observe(handler, "value")
    tell(query, results, filters)
    return explorer


def _euros(price: float | None) -> str:
    return "" if price is None else f", {price:g} €"
