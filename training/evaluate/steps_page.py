"""The part of a report on next actions: tables, the loss by step, and one shopper's time line.

Next: ``page.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from training.drawing import FAINT, INK, MODEL_COLOUR, SECOND_COLOUR, svg
from training.evaluate.answers import MODEL
from training.evaluate.compare import Comparison
from training.evaluate.plots import colour
from training.evaluate.steps import ALL_STEPS, StepsReport, Story
from training.evaluate.words import label
from training.metrics.steps import KINDS, OUTCOMES

LANES = KINDS[::-1]
SIZE = 420.0
"""Of a mark whose chance is 1, in square points."""


def by_step(found: StepsReport) -> str:
    """Log loss of each source at each step."""
    tables = {name: table for name, table in found.tables.items() if name != ALL_STEPS}
    sources = list(found.tables[ALL_STEPS].sources)

    def draw(axes: Axes) -> None:
        for source in sources[::-1]:
            values = [table.sources[source]["log_loss"] for table in tables.values()]
            height = np.array([one.value for one in values])
            spread = [height - [one.low for one in values], [one.high for one in values] - height]
            axes.errorbar(
                np.arange(1, len(values) + 1),
                height,
                yerr=np.maximum(np.nan_to_num(spread), 0.0),
                color=colour(source, sources),
                marker="o",
                ms=4,
                lw=2 if source == MODEL else 1.2,
                elinewidth=0.8,
                label=label(source),
            )
        axes.set(xlabel="step", ylabel="log loss, nats", title="Log loss by step")
        axes.set_xticks(np.arange(1, len(tables) + 1))
        axes.set_ylim(bottom=0)
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=8)

    return svg(draw, "steps-loss")


def time_line(story: Story) -> str:
    """A shopper's past left of now, what is foreseen right of it, and rings for what came."""
    width = max(float(story.days.max()), max((day for day, _ in story.came), default=0.0), 1.0)
    past = max((-day for day, _ in story.past), default=1.0)

    def draw(axes: Axes) -> None:
        axes.hlines(range(len(LANES)), -past, width, color=FAINT, lw=0.8, zorder=0)
        axes.axvline(0.0, color=INK, lw=1)
        axes.scatter(*_places(story.past), s=26, color=INK, zorder=3, label="done")
        for chances, day in zip(story.kinds, story.days, strict=True):
            for kind, chance in zip(KINDS, chances, strict=False):
                size = SIZE * float(chance)
                axes.scatter(day, LANES.index(kind), s=size, color=MODEL_COLOUR, alpha=0.45, lw=0)
        axes.scatter([], [], s=60, color=MODEL_COLOUR, alpha=0.45, label="foreseen, by its chance")
        axes.scatter(
            *_places(story.came),
            s=70,
            facecolors="none",
            edgecolors=SECOND_COLOUR,
            lw=1.6,
            zorder=4,
            label="came",
        )
        axes.set_yticks(range(len(LANES)), LANES)
        axes.set(xlabel="days from now", title=f"Past and next steps of {story.user}")
        axes.set_xlim(-past * 1.04, width * 1.1)
        axes.set_ylim(-0.7, len(LANES) - 0.3)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.18), ncols=3, fontsize=8)

    return svg(draw, "steps-story", width=9.2, height=3.4)


def _places(marks: Sequence[tuple[float, str]]) -> tuple[list[float], list[int]]:
    """Days and heights of marks."""
    return [day for day, _ in marks], [LANES.index(kind) for _, kind in marks]


def story_note(story: Story) -> str:
    """What the picture shows, and the chances of each step in words."""
    told = []
    for number, chances in enumerate(story.kinds, 1):
        best = np.argsort(-chances)[:2]
        said = ", ".join(f"{OUTCOMES[place]} {100 * chances[place]:.0f} %" for place in best)
        told.append(f"{number}: {said}")
    return (
        "A test shopper about whom the model is neither very right nor very wrong, of those with "
        "two steps or more to come. Each step stands at its foreseen day, in the lane of each "
        "kind; the larger the mark, the likelier the kind. Rings are what came. "
        + "Likeliest by step: "
        + "; ".join(told)
        + "."
    )


def short(found: StepsReport) -> dict[str, Comparison]:
    """Tables that the page shows whole: all steps, the first and the last."""
    names = list(found.tables)
    return {name: found.tables[name] for name in (names[0], names[1], names[-1])}
