"""The plots of a report as SVG text, in the common look of ``training/drawing.py``.

Each takes plain numbers and gives one ``<svg>`` element. Next: ``page.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from training.drawing import FAINT, FLOOR_COLOURS, INK, MODEL_COLOUR, svg
from training.evaluate.answers import MODEL
from training.evaluate.compare import Comparison
from training.evaluate.words import label
from training.metrics.probability import Bins


def learning_curves(history: Sequence[Mapping[str, float]]) -> str:
    """Mean loss of training and validation after each epoch; the best epoch is marked."""
    epochs = [int(line["epoch"]) for line in history]
    valid = [line.get("valid_loss", float("nan")) for line in history]

    def draw(axes: Axes) -> None:
        axes.plot(
            epochs, [line["train_loss"] for line in history], color="#8a93a3", marker="o", ms=4
        )
        axes.plot(epochs, valid, color=MODEL_COLOUR, marker="o", ms=4)
        axes.annotate("training", (epochs[-1], history[-1]["train_loss"]), **_beside("#8a93a3"))
        if not np.isnan(valid).all():
            axes.annotate("validation", (epochs[-1], valid[-1]), **_beside(MODEL_COLOUR))
            best = int(np.nanargmin(valid))
            axes.plot(epochs[best], valid[best], "o", ms=10, mfc="none", mec=MODEL_COLOUR)
        axes.set(xlabel="epoch", ylabel="loss", xticks=epochs, title="Learning curves")
        axes.set_xlim(epochs[0] - 0.3, epochs[-1] + 0.35 * max(len(epochs), 2))
        axes.grid(axis="y")

    return svg(draw, "learning")


def bars(comparison: Comparison, metrics: Sequence[str], name: str) -> str:
    """Model beside floors, one group for each metric, with 95 % intervals."""
    sources = list(comparison.sources)
    thickness = 0.8 / len(sources)

    def draw(axes: Axes) -> None:
        for place, source in enumerate(sources):
            numbers = [comparison.sources[source][metric] for metric in metrics]
            values = np.array([number.value for number in numbers])
            spread = [
                values - [number.low for number in numbers],
                [number.high for number in numbers] - values,
            ]
            axes.barh(
                np.arange(len(metrics)) + place * thickness,
                values,
                height=thickness * 0.86,
                color=colour(source, sources),
                xerr=np.maximum(np.nan_to_num(spread), 0.0),
                error_kw={"ecolor": INK, "elinewidth": 0.8},
                label=label(source),
            )
        axes.set_yticks(
            np.arange(len(metrics)) + 0.4 - thickness / 2, [label(metric) for metric in metrics]
        )
        axes.invert_yaxis()
        axes.grid(axis="x")
        axes.set_axisbelow(True)
        axes.set_title("Model beside floors")
        axes.legend(loc="upper center", bbox_to_anchor=(0.45, -0.08), ncols=3, fontsize=8)

    return svg(draw, f"bars-{name}", height=3.6)


def reliability(bins: Bins, name: str) -> str:
    """What was observed against what was predicted; the dots grow with the number of shoppers."""
    filled = bins.count > 0

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--")
        share = bins.count[filled] / bins.count.sum()
        axes.plot(bins.predicted[filled], bins.observed[filled], color=MODEL_COLOUR, lw=1)
        axes.scatter(
            bins.predicted[filled], bins.observed[filled], s=20 + 500 * share, color=MODEL_COLOUR
        )
        axes.set(xlabel="predicted probability", ylabel="observed share", title="Calibration")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.grid()

    return svg(draw, f"reliability-{name}", width=3.9, height=3.6)


def amounts(expected: np.ndarray, came: np.ndarray, name: str) -> str:
    """Expected and real means of tenths of the shoppers, on logarithmic axes."""
    least = 0.5 * min((v for v in (*expected, *came) if v > 0), default=1.0)

    def draw(axes: Axes) -> None:
        ends = (least, 2.0 * max(*expected, *came, least))
        axes.plot(ends, ends, color=FAINT, lw=1, ls="--")
        axes.plot(
            np.maximum(expected, least), np.maximum(came, least), color=MODEL_COLOUR, marker="o"
        )
        axes.set(xscale="log", yscale="log", xlim=ends, ylim=ends, aspect="equal")
        axes.set(xlabel="expected, mean of a tenth", ylabel="real", title="Expected and real")
        axes.grid()

    return svg(draw, f"amounts-{name}", width=3.9, height=3.6)


def roc(curves: Mapping[str, tuple[np.ndarray, np.ndarray]], name: str) -> str:
    """True against false positive rate of model and floors."""
    sources = list(curves)

    def draw(axes: Axes) -> None:
        axes.plot([0, 1], [0, 1], color=FAINT, lw=1, ls="--")
        for source in reversed(sources):
            axes.plot(
                *curves[source],
                color=colour(source, sources),
                lw=2 if source == MODEL else 1.2,
                label=label(source),
            )
        axes.set(xlabel="false positive rate", ylabel="true positive rate", title="ROC")
        axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal")
        axes.grid()
        axes.legend(loc="lower right", fontsize=8)

    return svg(draw, f"roc-{name}", width=3.9, height=3.6)


def colour(source: str, sources: Sequence[str]) -> str:
    """The model's own colour, or that of a floor by its place."""
    if source == MODEL:
        return MODEL_COLOUR
    floors = [name for name in sources if name != MODEL]
    return FLOOR_COLOURS[floors.index(source) % len(FLOOR_COLOURS)]


def _beside(ink: str) -> Any:
    """A label to the right of the last point."""
    return {"xytext": (7, -3), "textcoords": "offset points", "color": ink, "fontsize": 9}
