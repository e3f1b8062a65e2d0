"""The pictures of the reports on a user's own table, in the look of ``training/drawing.py``.

Next: ``uplift_page.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
from matplotlib.axes import Axes

from training.drawing import FAINT, FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, svg

COLOURS = (MODEL_COLOUR, SECOND_COLOUR, "#6f9a86", "#a77f9c", "#b58b4c", "#4f9ac2", "#c2604f",
           "#5b6f3a")  # fmt: skip
TITLE_WIDTH = 52
"""Letters of a title in one line, where names of sources take room beside it."""
Line = tuple[np.ndarray, np.ndarray]


def curves(lines: Mapping[str, Line], floors: Sequence[str], title: str) -> str:
    """Outcomes gained by treating the first share of the rows, for each score."""

    def draw(axes: Axes) -> None:
        colours = iter(COLOURS * len(lines))
        for name, (share, gained) in lines.items():
            is_floor = name in floors
            axes.plot(
                100 * share,
                gained,
                color=FLOOR_COLOURS[0] if is_floor else next(colours),
                lw=1.0 if is_floor else 1.5,
                ls=(":" if name == floors[-1] else "--") if is_floor else "-",
                label=name.replace("_", "-"),
            )
        axes.axhline(0.0, color=FAINT, lw=1)
        axes.set(xlabel="share of rows treated, %", ylabel="gained a 1,000 treated")
        axes.set_title(title)
        axes.grid()
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)

    return svg(draw, title, height=3.8, width=6.4)


def forest(names: Sequence[str], values: Sequence[Sequence[float]], title: str, unit: str) -> str:
    """Values with their intervals, (value, low, high) each, one below the other."""

    def draw(axes: Axes) -> None:
        for place, (value, low, high) in enumerate(values):
            if value == value:
                colour = MODEL_COLOUR if low > 0 or high < 0 else FLOOR_COLOURS[0]
                axes.plot([low, high], [place, place], color=colour, lw=1.6)
                axes.plot(value, place, "o", color=colour, ms=5)
        axes.axvline(0.0, color=INK, lw=0.8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set(xlabel=unit)
        axes.set_title(title)
        axes.grid(axis="x")

    return svg(draw, f"forest-{title}", height=1.0 + 0.26 * len(names))


def chances(groups: Mapping[str, np.ndarray], title: str, least: float) -> str:
    """How chances of what was done are spread, by action; the line is the least of use."""

    def draw(axes: Axes) -> None:
        smallest = min(float(values.min()) for values in groups.values())
        edges = np.logspace(np.log10(min(smallest, 0.1) * 0.95), 0.0, 40)
        for colour, (name, values) in zip(COLOURS * len(groups), groups.items(), strict=False):
            axes.hist(
                values, bins=edges.tolist(), histtype="step", lw=1.5, color=colour, label=name
            )
        axes.axvline(least, color=INK, lw=0.8, ls="--")
        axes.set(xscale="log", yscale="symlog", xlabel="chance of what was done", ylabel="rows")
        axes.set_title(title)
        axes.grid()
        if len(groups) > 1:
            axes.legend(fontsize=8)

    return svg(draw, f"chances-{title}")


def sizes(names: Sequence[str], values: Sequence[float], least: float) -> str:
    """What a log is worth for each policy, in rows of its own log; the line is what is needed."""

    def draw(axes: Axes) -> None:
        colours = [MODEL_COLOUR if value >= least else FLOOR_COLOURS[0] for value in values]
        axes.barh(range(len(names)), np.maximum(values, 0.5), color=colours, height=0.7)
        axes.axvline(least, color=INK, lw=0.8, ls="--")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set(xscale="log", xlabel=f"effective rows ({least:.0f} are needed)")
        axes.set_title("What the log is worth")
        axes.grid(axis="x")
        axes.set_axisbelow(True)

    return svg(draw, "sizes", height=1.0 + 0.22 * len(names))


def ladder(
    names: Sequence[str], values: Sequence[np.ndarray], is_model: Sequence[bool], title: str
) -> str:
    """The value of each source, one below the other: a bar of the mean, a dot for each seed."""

    def draw(axes: Axes) -> None:
        for place, (found, own) in enumerate(zip(values, is_model, strict=True)):
            colour = MODEL_COLOUR if own else FLOOR_COLOURS[0]
            axes.barh(place, found.mean(), color=colour, height=0.7)
            if len(found) > 1:
                axes.plot(found, np.full(len(found), place), "o", color=INK, ms=3)
            axes.annotate(f" {found.mean():.4f}", (found.max(), place), va="center", fontsize=8)
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlim(0.0, 1.15 * max(float(found.max()) for found in values) or 1.0)
        axes.set_title(fill(title, TITLE_WIDTH))
        axes.grid(axis="x")
        axes.set_axisbelow(True)

    return svg(draw, f"ladder-{title}", height=1.0 + 0.3 * len(names))


def groups(names: Sequence[str], lines: Mapping[str, Sequence[float]], title: str) -> str:
    """The value of each source in each group of shoppers, groups side by side."""

    def draw(axes: Axes) -> None:
        width = 0.8 / max(len(lines), 1)
        for place, (colour, (name, values)) in enumerate(
            zip((FLOOR_COLOURS[0], *COLOURS * len(lines)), lines.items(), strict=False)
        ):
            left = np.arange(len(names)) - 0.4 + width * (place + 0.5)
            axes.bar(left, values, width=0.9 * width, color=colour, label=name)
        axes.set_xticks(range(len(names)), names)
        axes.set_title(title)
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=7)

    return svg(draw, f"groups-{title}", width=6.4)
