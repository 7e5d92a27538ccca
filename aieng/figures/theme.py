"""The look that all figures of the course share, and the text alternative that each of them carries.

Colours are those of Okabe and Ito (2008), which people with any common colour vision tell apart; every figure pairs
them with symbols, dashes or patterns, so that nothing hangs on colour alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from html import escape
from typing import Any, TypeVar

import plotly.graph_objects as go
import plotly.io as pio

BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
# The grey whose contrast is the same, 4.35:1, on JupyterLab's white and on its dark #111: what text falls back to where
# STYLE cannot reach it (an exported picture, another front end).
GREY = "#797979"
FAINT = "rgba(128,128,128,0.35)"
CLEAR = "rgba(0,0,0,0)"

# Same length, to be indexed together: the n-th series has the n-th colour, symbol, dash and pattern.
COLORS = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, GREY)
SYMBOLS = ("circle", "square", "triangle-up", "diamond", "cross", "x", "star-triangle-down")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot", "solid")
PATTERNS = ("", "/", "x", ".", "\\", "+", "-")

# For figures of several panels, whose right side is taken: one row of entries along the bottom edge.
LEGEND_BELOW = {"orientation": "h", "x": 0, "y": 0, "yref": "container", "yanchor": "bottom", "itemwidth": 30}

# Plotly writes its text colour into every element; these rules hand the choice back to JupyterLab's theme.
STYLE = """<style>
.js-plotly-plot .infolayer text,.js-plotly-plot .cartesianlayer [class$="tick"] text,.js-plotly-plot .textpoint text,
.js-plotly-plot .bartext
{fill:var(--jp-ui-font-color1,#222)!important}
.aieng-alt{color:var(--jp-ui-font-color1,#222);font-family:var(--jp-ui-font-family,sans-serif);font-size:13px;
 line-height:1.5;max-width:60em}
.aieng-alt summary{cursor:pointer;width:fit-content;color:var(--jp-content-link-color,#0057a8)}.aieng-alt p{margin:.3em 0}
</style>"""


def _template() -> go.layout.Template:
    axis = {
        "gridcolor": "rgba(128,128,128,0.25)", "zerolinecolor": "rgba(128,128,128,0.45)", "linecolor": GREY,
        "tickcolor": GREY, "showline": True, "ticks": "outside", "automargin": True,
        "title": {"font": {"size": 14}, "standoff": 10},
    }
    return go.layout.Template(layout={
        "font": {"family": "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif", "size": 13, "color": GREY},
        "title": {"font": {"size": 17}, "x": 0.0, "xref": "container", "xanchor": "left", "pad": {"l": 12, "t": 14},
                  "y": 1.0, "yref": "container", "yanchor": "top"},
        "colorway": list(COLORS), "paper_bgcolor": CLEAR, "plot_bgcolor": CLEAR,
        "xaxis": axis, "yaxis": axis,
        # Wide enough for a dash pattern to show.
        "legend": {"font": {"size": 13}, "bgcolor": CLEAR, "itemsizing": "trace", "itemwidth": 44},
        # An opaque label, so that the hover text is readable over any mark and in any theme.
        "hoverlabel": {"bgcolor": "#ffffff", "bordercolor": GREY, "align": "left",
                       "font": {"color": "#222222", "size": 13}},
        "margin": {"l": 70, "r": 24, "t": 56, "b": 60},
        "modebar": {"bgcolor": CLEAR, "color": GREY, "activecolor": BLUE, "orientation": "h",
                    # No uploading (the course works offline), and no selecting: nothing listens to it.
                    "remove": ["sendChartToCloud", "lasso2d", "select2d"]},
        "height": 420,
    })


TEMPLATE = _template()

Figure = TypeVar("Figure", bound=go.Figure)


class CourseFigure(go.Figure):
    """A plotly figure that brings its text alternative along wherever it is displayed."""

    def _ipython_display_(self) -> None:
        from IPython.display import HTML, display

        if "plotly_mimetype" in (pio.renderers.default or "").split("+"):
            # Plotly's own default adds its whole library (4.5 MB) to the notebook's first figure; JupyterLab,
            # Notebook 7 and VS Code have it and need the figure's data only.
            bundle = pio.renderers["plotly_mimetype"].to_mimebundle(self.to_dict())
            display(bundle | {"text/plain": plain(self)}, raw=True)
        elif pio.renderers.default:
            super()._ipython_display_()
        else:
            display({"text/plain": plain(self)}, raw=True)
            return
        display(HTML(STYLE + description_html(alt_text(self))))


def new_figure(title: str, x: str | None = None, y: str | None = None, *, subtitle: str = "", **layout: Any) -> CourseFigure:
    """An empty figure in the course's look; `x` and `y` are axis titles with their units."""
    fig = CourseFigure(layout={"template": TEMPLATE})
    fig.update_layout(**{"title_text": headline(title, subtitle), "margin_t": 76 if subtitle else 56} | layout)
    if x is not None:
        fig.update_xaxes(title_text=x)
    if y is not None:
        fig.update_yaxes(title_text=y)
    return fig


def headline(title: str, subtitle: str = "") -> str:
    """A bold title with an optional smaller line under it."""
    return f"<b>{title}</b>" + (f'<br><span style="font-size:13px">{subtitle}</span>' if subtitle else "")


def describe(fig: Figure, text: str) -> Figure:
    """Store `text` as the figure's text alternative, in ``fig.layout.meta["alt"]``, and give the figure back."""
    if not text.strip():
        raise ValueError("a text alternative says what the figure shows; got an empty text")
    fig.update_layout(meta={"alt": " ".join(text.split())})
    return fig


def alt_text(fig: go.Figure) -> str:
    """The text alternative stored by `describe`, or an empty text."""
    meta = fig.layout.meta
    return str(meta.get("alt", "")) if isinstance(meta, dict) else ""


def title_text(fig: go.Figure) -> str:
    """The title without its markup."""
    text = fig.layout.title.text or "Figure"
    for tag in ("<b>", "</b>"):
        text = text.replace(tag, "")
    return str(text.split("<br>")[0])


def plain(fig: go.Figure) -> str:
    """What stands for the figure where nothing is drawn: its title and text alternative."""
    return f"[Figure] {title_text(fig)}\n" + textwrap.fill(alt_text(fig), 100)


def description_html(text: str, *, heading: str = "Description of this figure") -> str:
    """The text alternative as a fold-out below a figure, reachable by keyboard and by screen reader."""
    return f'<details class="aieng-alt"><summary>{escape(heading)}</summary><p>{escape(text)}</p></details>'


def wrapped(text: str, width: int = 60, lines: int = 4) -> str:
    """`text` escaped and broken into at most `lines` lines for a hover label or an axis label."""
    parts = textwrap.wrap(" ".join(text.split()), width) or [""]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], textwrap.shorten(" ".join(parts[lines - 1:]), width, placeholder=" …")]
    return "<br>".join(escape(part, quote=False) for part in parts)


def in_words(items: Iterable[str]) -> str:
    """`a, b and c`."""
    words = list(items)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1] if words else "nothing"
