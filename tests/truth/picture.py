"""What the experiment gave as one picture and as lines for ``docs/known-truth.md``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tests.truth.experiment import ALL_KNOWING, EPOCHS, OBSERVER, SHOPPERS, Measured, spread
from tests.truth.shops import HEADS, ORACLE
from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, STYLE
from training.evaluate.answers import MODEL

PLACE = Path(__file__).parents[2] / "docs" / "pictures" / "known-truth.svg"
FLOORS = ("personal_frequency", "co_occurrence", "popularity")
Found = Mapping[tuple[int, int], Sequence[Measured]]


def draw(found: Found, path: Path = PLACE) -> None:
    """Calibration against true chances, and recall as a share of the oracle's by shoppers."""
    with rc_context(STYLE | {"svg.hashsalt": "known truth"}):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _calibration(left, found[SHOPPERS, EPOCHS])
        _shares(right, found)
        path.parent.mkdir(exist_ok=True)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _calibration(axes: Axes, found: Sequence[Measured]) -> None:
    """Mean true chance of tenths of the test's snapshots, by what the model says of them."""
    axes.plot([0, 1], [0, 1], color="#d5d9e0", lw=1)
    for column, (head, colour) in enumerate(zip(HEADS, (MODEL_COLOUR, SECOND_COLOUR), strict=True)):
        said = np.concatenate([one.probability[:, column] for one in found])
        real = np.concatenate([one.truth[:, column] for one in found])
        tenths = np.array_split(np.argsort(said, kind="stable"), 10)
        x, y = ([values[part].mean() for part in tenths] for values in (said, real))
        axes.plot(x, y, "o-", color=colour, ms=4, lw=1.2, label=head)
    axes.set(
        xlabel="what the model says",
        ylabel="mean true chance",
        title="Retention against the true hazards",
        xlim=(0, 1),
        ylim=(0, 1),
    )
    axes.legend(loc="upper left")


def _shares(axes: Axes, found: Found) -> None:
    """Recall as a share of the oracle's, with two standard errors over seeds."""
    sizes = sorted(num for num, epochs in found if epochs == EPOCHS)
    points = [spread([one.share("recall@10") for one in found[num, EPOCHS]]) for num in sizes]
    means, errors = np.array(points).T
    axes.errorbar(sizes, means, 2 * errors, color=MODEL_COLOUR, marker="o", ms=4, capsize=3)
    labels = [("model", means[-1], MODEL_COLOUR)]
    for floor, colour in zip(FLOORS, FLOOR_COLOURS, strict=False):
        share = np.mean([one.share("recall@10", floor) for one in found[SHOPPERS, EPOCHS]])
        axes.hlines(share, sizes[0], sizes[-1], color=colour, lw=1, ls="--")
        labels.append((floor.replace("_", " "), share, colour))
    axes.hlines(1.0, sizes[0], sizes[-1], color=INK, lw=1)
    labels.append(("what the true\ntaste allows", 1.0, INK))
    lowest = 2.0
    for text, share, colour in sorted(labels, key=lambda found: -found[1]):
        lowest = min(share, lowest - 0.04)
        axes.annotate(text, (sizes[-1], lowest), xytext=(9, 0), textcoords="offset points",
                      color=colour, va="center")  # fmt: skip
    axes.set(
        xlabel="shoppers trained on",
        ylabel="recall@10, share of the oracle's",
        title="The next basket, by shoppers",
        xscale="log",
        xlim=(sizes[0] * 0.85, sizes[-1] * 3.2),
        ylim=(0.4, 1.05),
    )
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()


def lines(found: Found) -> Iterator[str]:
    """Rows of Markdown tables: mean and standard error over seeds."""
    best = found[SHOPPERS, EPOCHS]
    sizes = ", ".join(f"seed {one.seed}: {one.test_size}" for one in best)
    yield f"test of {sizes}"
    for source in best[0].numbers:
        if "recall@10" in best[0].numbers[source]:
            shares = [f"{_number(best, source, m)} | {_share(best, source, m)}" for m in RANKED]
            yield f"| {source} | {' | '.join(shares)} |"
    for head in HEADS:
        for source in (ALL_KNOWING, OBSERVER, MODEL, "recency", "logistic_rfm"):
            cells = [_number(best, source, f"{head}/{metric}") for metric in CHANCES]
            yield f"| {head}: {source} | {' | '.join(cells)} |"
    for (num, epochs), some in sorted(found.items()):
        cells = [_share(some, MODEL, metric) for metric in RANKED]
        cells += [_number(some, MODEL, f"{head}/expected auc") for head in HEADS]
        cpu_s = np.mean([one.cpu_s for one in some])
        yield f"| {num} | {epochs} | {' | '.join(cells)} | {cpu_s:.0f} |"


RANKED = ("recall@10", "ndcg@10")
CHANCES = ("expected auc", "auc", "slope", "intercept", "ece", "rank")


def _number(found: Sequence[Measured], source: str, metric: str) -> str:
    middle, error = spread([one.numbers[source][metric] for one in found])
    return f"{middle:.3f} ± {error:.3f}"


def _share(found: Sequence[Measured], source: str, metric: str) -> str:
    middle, error = spread([one.share(metric, source) for one in found])
    return "100 %" if source == ORACLE else f"{100 * middle:.1f} ± {100 * error:.1f} %"
