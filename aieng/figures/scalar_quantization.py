"""The picture of 1.4: one dimension of a scalar quantizer, what goes in against what comes back."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from aieng.figures.theme import COLORS, GREY, CourseFigure, describe, new_figure


def ruler(values: ArrayLike, decoded: ArrayLike, data: ArrayLike, low: float, high: float, step: float) -> CourseFigure:
    """The staircase of one quantized dimension, with the training data as a histogram behind it.

    Parameters
    ----------
    values, decoded : (n,) what goes in, ascending, and what comes back
    data : (m,) the training values of this dimension
    low, high, step : the trained range and the distance of two marks
    """
    inputs, outputs = np.asarray(values, dtype=float), np.asarray(decoded, dtype=float)
    counts, edges = np.histogram(np.asarray(data, dtype=float), bins=60)
    fig = new_figure("What comes back from one byte", "value that goes in", "value that comes back",
                     subtitle="bars: how often the corpus has such a value; grey: the trained range", height=460)
    fig.add_bar(x=(edges[1:] + edges[:-1]) / 2, y=counts, width=np.diff(edges), name="values of the corpus", yaxis="y2",
                marker={"color": COLORS[1 % len(COLORS)], "opacity": 0.25}, hovertemplate="about %{x:.3f}: %{y} passages<extra></extra>")
    fig.add_scatter(x=inputs, y=outputs, mode="lines", name="comes back", line={"color": COLORS[0], "width": 2, "shape": "hv"},
                    hovertemplate="%{x:.5f} comes back as %{y:.5f}<extra></extra>")
    fig.add_scatter(x=inputs, y=inputs, mode="lines", name="unchanged", line={"color": GREY, "dash": "dash", "width": 1.5},
                    hoverinfo="skip")
    for end in (low, high):
        fig.add_vline(x=end, line={"color": GREY, "width": 1, "dash": "dot"})
    fig.update_layout(yaxis2={"overlaying": "y", "side": "right", "visible": False, "range": [0, 3 * max(int(counts.max()), 1)]},
                      bargap=0)
    middle = float(((np.asarray(data) >= low + (high - low) / 4) & (np.asarray(data) <= high - (high - low) / 4)).mean())
    return describe(fig, f"Line of decoded against original values of one dimension: a staircase of steps {step:.3g} high between "
                         f"{low:.3g} and {high:.3g}, flat outside. Behind it a histogram: {middle:.0%} of the values lie in the middle "
                         "half of the range.")
