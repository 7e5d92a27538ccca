"""The picture of 1.4: one dimension of a scalar quantizer, what goes in against what comes back."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from plotly.subplots import make_subplots

from aieng.figures.theme import BLUE, FAINT, GREY, LEGEND_BELOW, TEMPLATE, VERMILLION, CourseFigure, describe, headline


def ruler(
    values: ArrayLike, decoded: ArrayLike, closer: ArrayLike, closer_decoded: ArrayLike, data: ArrayLike, low: float, high: float,
    step: float,
) -> CourseFigure:
    """One quantized dimension: its whole range over a histogram of the training data, and a few steps of it enlarged.

    Parameters
    ----------
    values, decoded : (n,) what goes in, ascending, and what comes back
    closer, closer_decoded : (m,) the same over a few steps only
    data : (rows,) the training values of this dimension
    low, high, step : the trained range and the distance of two marks
    """
    pairs = [tuple(np.asarray(v, dtype=float) for v in pair) for pair in ((values, decoded), (closer, closer_decoded))]
    if any(a.shape != b.shape or a.ndim != 1 or not len(a) for a, b in pairs):
        raise ValueError(f"what goes in and what comes back have shapes {[(a.shape, b.shape) for a, b in pairs]}; give equally long lists")
    trained = np.asarray(data, dtype=float)
    counts, edges = np.histogram(trained, bins=60)
    shown = (pairs[1][0][-1] - pairs[1][0][0]) / step if step > 0 else 0.0
    fig = CourseFigure(make_subplots(1, 2, column_widths=[0.58, 0.42], horizontal_spacing=0.12, specs=[[{"secondary_y": True}, {}]],
                                     subplot_titles=["the whole range", f"{shown:.0f} of its steps, enlarged"]))
    fig.add_bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges), name="values of the corpus", secondary_y=True, row=1, col=1,
                marker={"color": FAINT, "line": {"width": 0}}, hovertemplate="about %{x:.3f}: %{y} passages<extra></extra>")
    for column, (inputs, outputs) in enumerate(pairs, 1):
        at = {"row": 1, "col": column, "showlegend": column == 1}
        fig.add_scatter(x=inputs, y=inputs, mode="lines", name="unchanged", line={"color": VERMILLION, "dash": "dash", "width": 1.5},
                        hoverinfo="skip", **at)
        fig.add_scatter(x=inputs, y=outputs, mode="lines", name="comes back", line={"color": BLUE, "width": 2.5, "shape": "hv"},
                        hovertemplate="%{x:.5f} comes back as %{y:.5f}<extra></extra>", **at)
    for end in (low, high):
        fig.add_vline(x=end, line={"color": GREY, "width": 1, "dash": "dot"}, row=1, col=1)
    fig.update_layout(template=TEMPLATE, height=470, bargap=0, margin={"t": 104, "b": 96}, legend=LEGEND_BELOW,
                      title_text=headline("What comes back from one byte", "grey bars: how often the corpus has such a value; dotted: the "
                                          "trained range"))
    fig.update_annotations(font={"size": 13})
    fig.update_xaxes(title_text="value that goes in (no unit)", nticks=6)
    fig.update_yaxes(title_text="value that comes back (no unit)", row=1, col=1, secondary_y=False)
    fig.update_yaxes(title_text="", row=1, col=2)
    fig.update_yaxes(visible=False, range=[0, 3 * max(int(counts.max()), 1)], row=1, col=1, secondary_y=True)
    quarter = (high - low) / 4
    middle = float(((trained >= low + quarter) & (trained <= high - quarter)).mean())
    return describe(fig, f"Two line plots of decoded against original values of one dimension. Between {low:.3g} and {high:.3g} the "
                         f"line is a staircase of steps {step:.3g} high, too fine to be seen in the left plot; the right one enlarges "
                         f"{shown:.0f} of them. Outside it is flat. A histogram behind the left plot: {middle:.0%} of the values lie in "
                         "the middle half of the range.")
