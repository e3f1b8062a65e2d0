"""How every plot looks, drawn by matplotlib without any global state. Next: ``pages.py``."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

MODEL_COLOUR, SECOND_COLOUR, INK, FAINT = "#1f5fa8", "#d9822b", "#2b2f36", "#d5d9e0"
FLOOR_COLOURS = ("#8a93a3", "#b58b4c", "#6f9a86", "#a77f9c")
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "font.family": "sans-serif",
    "svg.fonttype": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "grid.color": "#eceef2",
}


def svg(draw: Callable[[Axes], None], salt: str, width: float = 5.2, height: float = 3.2) -> str:
    """One ``<svg>`` of what `draw` puts on fresh axes, `width` by `height` inches.

    `salt` keeps the ids of several plots on one page apart.
    """
    with rc_context(STYLE | {"svg.hashsalt": salt}):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        text = io.StringIO()
        figure.savefig(
            text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True
        )
    return text.getvalue()[text.getvalue().index("<svg") :]
