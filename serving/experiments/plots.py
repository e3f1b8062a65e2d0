"""The plots of an experiment's page, in the common look of ``training/drawing.py``.

Next: ``page.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from serving.experiments.analysis import Analysis, Finding
from serving.experiments.questions import Metric
from training.drawing import FAINT, FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, svg

ARM_COLOURS = (MODEL_COLOUR, SECOND_COLOUR, "#6f9a86", "#a77f9c", "#b58b4c")
CONTROL_COLOUR = FLOOR_COLOURS[0]
MICROS = 1_000_000
Days = Mapping[str, Mapping[datetime, int]]


def effect_over_time(found: Analysis, times: Sequence[int] | None = None) -> str:
    """The first metric's effect at each look, within the sequence that holds at all of them.

    `times` are the moments (microseconds) at which each user of the table counted; without them
    the users themselves are the time.
    """
    metric = found.setup.metrics[0]

    def draw(axes: Axes) -> None:
        axes.axhline(0.0, color=INK, lw=0.8)
        edges: list[np.ndarray] = []
        for colour, (arm, curve) in zip(ARM_COLOURS, found.curves.items(), strict=False):
            if not curve:
                continue
            # Of looks at one moment the last is shown.
            looks = {end if times is None else _day(times[end - 1]): one for end, one in curve}
            ends, shown = list(looks), list(looks.values())
            low, high = (
                np.array([scaled(metric, finding.interval[side]) for finding in shown])
                for side in (0, 1)
            )
            axes.fill_between(ends, low, high, color=colour, alpha=0.16, lw=0)
            middle = [scaled(metric, finding.effect.value) for finding in shown]
            axes.plot(ends, middle, color=colour, lw=1.8, label=arm)
            edges += [low, high]
        axes.set(ylabel=_unit(metric), xlabel="users so far" if times is None else "")
        axes.set_title(f"Effect on {metric.words}")
        axes.grid(axis="y")
        _slant(axes, times is not None)
        if edges:
            axes.set_ylim(*_reach(edges))
            axes.legend(loc="upper right", fontsize=8)

    return svg(draw, "effect", width=10.4, height=3.6)


def arms(found: Analysis, metric: Metric) -> str:
    """Each arm's own level of `metric` with its 95 % interval at this look."""
    findings = found.of(metric)
    rows = [(found.setup.control, findings[0].plain[0], CONTROL_COLOUR)]
    for colour, finding in zip(ARM_COLOURS, findings, strict=False):
        rows.append((finding.arm, finding.plain[1], colour))

    def draw(axes: Axes) -> None:
        for place, (_, arm, colour) in enumerate(rows):
            spread = 1.96 * np.sqrt(arm.variance / arm.num) if arm.num > 1 else 0.0
            axes.errorbar(
                scaled(metric, arm.mean),
                place,
                xerr=scaled(metric, spread),
                fmt="o",
                color=colour,
                capsize=4,
                ms=7,
            )
        axes.axvline(scaled(metric, rows[0][1].mean), color=FAINT, lw=1, ls="--")
        axes.set_yticks(range(len(rows)), [name for name, _, _ in rows])
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set(xlabel=metric.words + (", %" if metric.kind == "proportion" else ""))
        axes.set_title("The arms, each by itself")
        axes.grid(axis="x")

    return svg(draw, f"arms-{metric.name}", height=1.3 + 0.45 * len(rows))


def forest(findings: Sequence[Finding], names: Sequence[str], title: str) -> str:
    """Effects of one metric below each other, with their always-valid intervals."""
    metric = findings[0].metric

    def draw(axes: Axes) -> None:
        for place, finding in enumerate(findings):
            low, high = (scaled(metric, edge) for edge in finding.interval)
            colour = MODEL_COLOUR if finding.is_told else CONTROL_COLOUR
            if finding.is_enough and np.isfinite([low, high]).all():
                axes.plot([low, high], [place, place], color=colour, lw=2)
                axes.plot(scaled(metric, finding.effect.value), place, "o", color=colour, ms=6)
        axes.axvline(0.0, color=INK, lw=0.8)
        axes.set_yticks(range(len(findings)), names)
        axes.set_ylim(len(findings) - 0.4, -0.6)
        axes.set(xlabel=f"effect on {metric.words}, {_unit(metric)}")
        axes.set_title(title)
        axes.grid(axis="x")

    return svg(draw, f"forest-{title}", height=1.2 + 0.34 * len(findings))


def exposures(days: Days) -> str:
    """Newly exposed shoppers by UTC day, one bar on the other."""

    def draw(axes: Axes) -> None:
        every = sorted({day for counted in days.values() for day in counted})
        below = np.zeros(len(every))
        for colour, (arm, counted) in zip(
            (CONTROL_COLOUR, *ARM_COLOURS), days.items(), strict=False
        ):
            nums = np.array([counted.get(day, 0) for day in every])
            axes.bar(np.array(every), nums, bottom=below, color=colour, width=0.8, label=arm)
            below += nums
        axes.set(ylabel="shoppers")
        axes.set_title("Exposed for the first time, by day")
        axes.grid(axis="y")
        axes.set_axisbelow(True)
        _slant(axes, True)
        axes.legend(loc="upper right", fontsize=8)

    return svg(draw, "exposures")


def power_by_day(days: Sequence[int], powers: Mapping[str, Sequence[float]], wanted: float) -> str:
    """The chance of telling the effect, by the day on which the experiment would end."""

    def draw(axes: Axes) -> None:
        axes.axhline(100 * wanted, color=FAINT, lw=1, ls="--")
        for colour, (name, values) in zip(ARM_COLOURS, powers.items(), strict=False):
            axes.plot(days, [100 * value for value in values], color=colour, lw=1.8, label=name)
        axes.set(xlabel="days since the start", ylabel="chance to tell it, %", ylim=(0, 102))
        axes.set_title("Power by day")
        axes.grid(axis="y")
        axes.legend(loc="best", fontsize=8)

    return svg(draw, "power")


def arrivals(days: Sequence[int], shoppers: Sequence[float]) -> str:
    """Different shoppers who came by each day."""

    def draw(axes: Axes) -> None:
        axes.plot(days, shoppers, color=MODEL_COLOUR, lw=1.8)
        axes.set(xlabel="days since the start", ylabel="shoppers", ylim=(0, None))
        axes.set_title("Different shoppers exposed")
        axes.grid(axis="y")

    return svg(draw, "arrivals")


def scaled(metric: Metric, value: float) -> float:
    """In points of a proportion, else as it is."""
    return 100 * value if metric.kind == "proportion" else value


def _unit(metric: Metric) -> str:
    return "points" if metric.kind == "proportion" else "per order" if metric.per else "per user"


def _day(micros: int) -> Any:
    return datetime.fromtimestamp(micros / MICROS, UTC).replace(tzinfo=None)


def _slant(axes: Axes, is_time: bool) -> None:
    """Dates need room."""
    if is_time:
        axes.tick_params(axis="x", labelrotation=30)


def _reach(edges: list[np.ndarray]) -> tuple[float, float]:
    """The first looks are wide: show what came of it."""
    late = np.concatenate([edge[len(edge) // 4 :] for edge in edges])
    ends = min(float(late.min()), 0.0), max(float(late.max()), 0.0)
    room = 0.08 * (ends[1] - ends[0]) or 1.0
    return ends[0] - room, ends[1] + room
