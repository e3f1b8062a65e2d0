"""``docs/benchmarks.md`` and its pictures, from what the benches left in ``docs/benchmarks/``.

``python -m tests.bench.report`` writes them; a test holds the page against the results. Words come
from each script's ``BENCH``, numbers from its file of results, and nothing from anywhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from tests.bench.harness import RESULTS, Bench, Goal, more_is_better, reached, table, words
from training.drawing import FLOOR_COLOURS, INK, MODEL_COLOUR, SECOND_COLOUR, STYLE

DOCS = RESULTS.parent
Found = Mapping[str, Any]
INTRO = """# Benchmarks

What the obvious composition of the same libraries costs, and what Nudge costs, side by side: the
same data, the same run, sides taking turns, each in a process of its own, and **equal answers**, or
there is no result. Figures are medians with the least and the most of the rounds; machines are
noisy, so what counts is the ratio. `make bench` measures all of it again and writes this page
(`python -m tests.bench.NAME` one line of it, `python -m tests.bench.report` the page alone).
Other measurements are in the [lab log](lab-log.md).
"""


def benches() -> dict[str, tuple[Bench, Found]]:
    """Name to the bench and its results, for each script of which there are results."""
    scripts = sorted(Path(__file__).parent.glob("bench_*.py"))
    modules = (import_module(f"tests.bench.{script.stem}") for script in scripts)
    declared = [module.BENCH for module in modules if hasattr(module, "BENCH")]
    return {
        bench.name: (bench, json.loads(path.read_text()))
        for bench in declared
        if (path := RESULTS / f"{bench.name}.json").exists()
    }


def page(found: Mapping[str, tuple[Bench, Found]]) -> str:
    """The whole page."""
    parts = [INTRO, summary(found), *(section(*one) for one in found.values())]
    return "\n".join(parts)


def summary(found: Mapping[str, tuple[Bench, Found]]) -> str:
    """One line for each goal."""
    lines = ["| | goal | measured | |", "|---|---|--:|---|"]
    for bench, results in found.values():
        for goal in bench.goals:
            value, is_met = reached(bench, goal, results)
            said = "not measured" if value is None else _said(value, goal)
            met = "reached" if is_met else "**missed**"
            lines.append(f"| [{bench.title}](#{_anchor(bench)}) | {goal.words} | {said} | {met} |")
    return "\n".join(lines) + "\n"


def section(bench: Bench, results: Found) -> str:
    """What one bench measured, with its table, its picture and what to read in it."""
    machine = results["machine"]
    about = (
        f"Measured {results['measured_at'][:10]} by `{results['command']}`: {results['rounds']} "
        f"rounds on {machine['cores']} cores of {machine['system']}, load before it "
        f"{machine['load_before']}."
    )
    picture = (
        f"![{bench.title}: {words(bench.figure)} by size and side](pictures/bench-{bench.name}.svg)"
    )
    parts = [f"## {bench.title}", bench.line, picture, table(bench, results), about, bench.reading]
    return "\n\n".join(part for part in parts if part) + "\n"


def draw(bench: Bench, results: Found) -> None:
    """Bars of the figure that sides are compared by, one panel with its own scale for each size."""
    others = iter((*FLOOR_COLOURS, "#6d6875", "#9a8c98"))
    known = {bench.ours: MODEL_COLOUR, bench.obvious: SECOND_COLOUR}
    colours = {side: known.get(side) or next(others) for side in bench.sides}
    sizes = results["sizes"]
    direction = "more is better" if more_is_better(bench.figure) else "less is better"
    with rc_context({**STYLE, "svg.hashsalt": "nudge"}):
        heights = [len(of_size) + 0.6 for of_size in sizes.values()]
        figure = Figure(figsize=(7.2, 0.5 + 0.3 * sum(heights)), layout="constrained")
        panels = figure.subplots(len(sizes), 1, squeeze=False, height_ratios=heights)[:, 0]
        for panel, (size, of_size) in zip(panels, sizes.items(), strict=True):
            _bars(panel, size, bench.figure, of_size, colours)
        panels[0].set_title(f"{bench.title}: {words(bench.figure)} ({direction})")
        FigureCanvasSVG(figure).print_svg(
            DOCS / "pictures" / f"bench-{bench.name}.svg", metadata={"Date": None}
        )


def _bars(axes: Axes, size: str, name: str, of_size: Found, colours: Mapping[str, str]) -> None:
    spreads = {side: one["figures"][name] for side, one in of_size.items()}
    for row, (side, spread) in enumerate(spreads.items()):
        axes.barh(row, spread["median"], color=colours[side], height=0.75)
        axes.plot([spread["min"], spread["max"]], [row, row], color=INK, lw=1)
        axes.annotate(
            f"{side}  {_plain(spread['median'], 4)}",
            (max(spread["max"], spread["median"]), row),
            xytext=(4, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
        )
    axes.set(xlim=(0, 1.5 * max(spread["max"] for spread in spreads.values())), xticks=[])
    axes.set_yticks([(len(spreads) - 1) / 2], [size])
    axes.spines["bottom"].set_visible(False)
    axes.invert_yaxis()


def _said(value: float, goal: Goal) -> str:
    number = _plain(value, 3)
    return f"{number}×" if goal.against else f"{number} {words(goal.figure).split(', ')[-1]}"


def _plain(value: float, digits: int) -> str:
    """A number with so many digits, or all of those before its point."""
    return f"{value:,.0f}" if abs(value) >= 10 ** (digits - 1) else f"{value:.{digits}g}"


def _anchor(bench: Bench) -> str:
    kept = (c for c in bench.title.lower() if c.isalnum() or c in " -")
    return "".join(kept).replace(" ", "-")


if __name__ == "__main__":
    everything = benches()
    for one in everything.values():
        draw(*one)
    (DOCS / "benchmarks.md").write_text(page(everything))
