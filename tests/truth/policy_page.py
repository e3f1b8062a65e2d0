"""What the policies gave, as one picture and as lines for ``docs/interventions.md``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, STYLE

if TYPE_CHECKING:
    from tests.truth.policies import Played

PLACE = Path(__file__).parents[2] / "docs" / "pictures" / "policies.svg"
SHOWN = {
    "oracle": INK,
    "best observer": "#6f9a86",
    "uplift_budget": MODEL_COLOUR,
    "bandit": SECOND_COLOUR,
    "fitted_q": "#a77f9c",
    "threshold": FLOOR_COLOURS[0],
    "random": FLOOR_COLOURS[1],
}


def draw(found: list[Played], path: Path = PLACE) -> None:
    """Incremental profit as the days go, and regret by week."""
    with rc_context(STYLE | {"svg.hashsalt": "policies"}):
        figure = Figure(figsize=(8.6, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        _profit(left, found)
        _regret(right, found)
        path.parent.mkdir(exist_ok=True)
        FigureCanvasSVG(figure).print_svg(path, metadata={"Date": None})


def _profit(axes: Axes, found: list[Played]) -> None:
    floor = np.array([one.profit["nothing"] for one in found])
    ends = []
    for name, colour in SHOWN.items():
        gained = np.cumsum(np.array([one.profit[name] for one in found]) - floor, axis=1)
        middle = gained.mean(axis=0)
        error = 2 * gained.std(axis=0, ddof=1) / np.sqrt(len(found))
        days = np.arange(1, len(middle) + 1)
        axes.plot(days, middle, color=colour, lw=1.6)
        axes.fill_between(days, middle - error, middle + error, color=colour, alpha=0.15, lw=0)
        ends.append((middle[-1], name, colour))
    _label(axes, ends, len(middle))
    axes.axhline(0, color="#d5d9e0", lw=1)
    axes.set(title="Profit above doing nothing", xlabel="day", xlim=(0, 1.45 * len(middle)))


def _regret(axes: Axes, found: list[Played]) -> None:
    ends = []
    colours = {"thompson": SECOND_COLOUR, "ucb": MODEL_COLOUR, "evenly": FLOOR_COLOURS[1],
               "nothing": FLOOR_COLOURS[0]}  # fmt: skip
    for name, colour in colours.items():
        weeks = np.array([one.regret[name] for one in found])
        axes.plot(np.arange(1, weeks.shape[1] + 1), weeks.mean(axis=0), color=colour, lw=1.6)
        ends.append((weeks.mean(axis=0)[-1], name, colour))
    _label(axes, ends, weeks.shape[1])
    axes.set(title="Regret of bandits, a decision", xlabel="week", ylim=(0, None),
             xlim=(1, 1.35 * weeks.shape[1]))  # fmt: skip


def _label(axes: Axes, ends: list[tuple[float, str, str]], at: int) -> None:
    """Names beside the ends of their lines, kept apart."""
    low, high = axes.get_ylim()
    place = -np.inf
    for value, name, colour in sorted(ends):
        place = max(value, place + 0.06 * (high - low))
        axes.annotate(name, (at, place), xytext=(6, 0), textcoords="offset points", color=colour,
                      va="center")  # fmt: skip


def lines(found: list[Played]) -> Iterator[str]:
    """Rows of Markdown tables."""
    from tests.truth.policies import interval, share

    cpu_s = sum(one.cpu_s for one in found)
    yield f"{len(found)} seeds, budgets {[one.budget for one in found]}, {cpu_s:.0f} CPU-s\n"
    for name in found[0].profit:
        gained = interval([one.incremental(name) for one in found])
        cells = [f"{name}", "{:+,.0f} ({:+,.0f} to {:+,.0f})".format(*gained)]
        for of in ("oracle", "best observer"):
            cells.append("{:.0%} ({:.0%} to {:.0%})".format(*share(found, name, of)))
        spent = np.mean([np.mean(one.spent[name]) / one.budget for one in found])
        cells.append(f"{spent:.0%}")
        yield f"| {' | '.join(cells)} |"
    for name, other in (
        ("uplift_budget", "threshold"),
        ("uplift_budget", "threshold at the budget"),
        ("uplift_budget", "random"),
        ("uplift_budget", "bandit"),
        ("uplift_budget", "fitted_q"),
        ("uplift weekly, changing", "uplift once, changing"),
        ("uplift weekly, changing", "nothing, changing"),
        ("oracle, changing", "nothing, changing"),
    ):
        less = interval([one.incremental(name) - one.incremental(other) for one in found])
        yield "{} above {}: {:+,.0f} ({:+,.0f} to {:+,.0f})".format(name, other, *less)
    yield ""
    for name in found[0].regret:
        weeks = np.array([one.regret[name] for one in found])
        places = [place for place in (0, 1, 3, 7, 11) if place < weeks.shape[1]]
        some = (interval(weeks[:, place]) for place in [*places, -1])
        cells = ["{:.3f} ({:.3f} to {:.3f})".format(*one) for one in some]
        yield f"| {name} | {' | '.join(cells)} |"
    yield ""
    yield from _logs(found)


def _logs(found: list[Played]) -> Iterator[str]:
    rows = [row for one in found for row in one.logs]
    for policy, estimator in dict.fromkeys((row["policy"], row["estimator"]) for row in rows):
        own = [row for row in rows if (row["policy"], row["estimator"]) == (policy, estimator)]
        off = np.array([abs(row["value"] / row["known"] - 1) for row in own])
        lean = np.mean([row["value"] / row["known"] - 1 for row in own])
        inside = np.mean([row["low"] <= row["known"] <= row["high"] for row in own])
        cells = (policy, estimator, f"{off.mean():.1%}", f"{lean:+.1%}", f"{inside:.1%}", len(own))
        yield f"| {' | '.join(map(str, cells))} |"
