"""The page of quality: what a section is, whether its goals are met, and how it is written.

Figures are what ``--figures`` of a benchmark keeps: ``title``, ``facts`` and ``tables`` (heads and
rows by name), and beside them ``seconds``, ``cpu_s`` and, where the table "Accuracy" is not the
picture, ``bars``. Next: ``quality.py``, which measures, and ``shop_sections.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.benchmarks.plots import ladder

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
Figures = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Goal:
    """A value that a cell of a table must reach."""

    words: str
    table: str
    row: str
    column: str
    """How its head begins."""
    at_least: float | None = None
    """None: the cell is a lead, and the lower end of its interval must lie above 0."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """One command and what is to be read in its figures."""

    name: str
    title: str
    command: str
    """After ``python -m training benchmark``; files are relative to ``NUDGE_DATA``."""
    line: str
    reading: str
    goals: tuple[Goal, ...] = ()

    @property
    def shown(self) -> str:
        """The commands as the page shows them."""
        return "python -m training benchmark " + self.command.replace(" --", " \\\n    --")

    @property
    def work(self) -> str:
        """The piece of work that its figures come from, which sections may share."""
        return self.name


def page(intro: str, sections: Sequence[Section], figures: Mapping[str, Figures]) -> str:
    """The whole page: of `sections` those that have figures, and the goals of all."""
    parts = [_section(one, figures[one.name]) for one in sections if one.name in figures]
    return "\n".join([intro, _summary(sections, figures), _total(sections, figures), *parts])


def draw(name: str, figures: Figures) -> None:
    """The picture of the section called `name`: sources one below the other, models in colour."""
    bars = figures.get("bars") or _accuracy(figures)
    picture = ladder(
        bars["names"],
        [np.array(values) for values in bars["values"]],
        bars["is_model"],
        f"{figures['title']}: {bars['what']}",
    )
    (PICTURES / f"quality-{name}.svg").write_text(picture)


def cell(goal: Goal, figures: Figures) -> str:
    """What stands where `goal` looks."""
    table = figures["tables"][goal.table]
    column = next(i for i, head in enumerate(table["heads"]) if head.startswith(goal.column))
    return str(next(row for row in table["rows"] if row[0] == goal.row)[column])


def reached(goal: Goal, figures: Figures) -> bool:
    """Whether the goal is met: by the mean, where a cell holds a spread too."""
    told = cell(goal, figures)
    if goal.at_least is not None:
        return float(told.split()[0]) >= goal.at_least
    return float(told.split("\n")[1].split()[0]) > 0.0


def _accuracy(figures: Figures) -> dict[str, Any]:
    """Bars of the first column of the table of accuracy; a floor's last cell is a dash."""
    table = figures["tables"]["Accuracy"]
    return {
        "what": table["heads"][1],
        "names": [row[0] for row in table["rows"]],
        "values": [[float(row[1].split()[0])] for row in table["rows"]],
        "is_model": [row[-1] != "–" for row in table["rows"]],
    }


def _summary(sections: Sequence[Section], figures: Mapping[str, Figures]) -> str:
    lines = ["| | goal | measured | |", "|---|---|--:|---|"]
    for section, goal in [(one, goal) for one in sections for goal in one.goals]:
        if section.name not in figures:
            lines.append(f"| {section.title} | {goal.words} | – | not measured |")
            continue
        told = cell(goal, figures[section.name])
        met = "reached" if reached(goal, figures[section.name]) else "**missed**"
        shown = _line(told) if goal.at_least is None else f"{float(told.split()[0]):.4f}"
        lines.append(f"| {section.title} | {goal.words} | {shown} | {met} |")
    return "\n".join(lines) + "\n"


def _total(sections: Sequence[Section], figures: Mapping[str, Figures]) -> str:
    """What measuring all of it takes."""
    works: dict[str, float] = {}
    for one in sections:
        if one.name in figures:
            works[one.work] = max(works.get(one.work, 0.0), _minutes(figures[one.name])[0])
    total = sum(works.values())
    return (
        f"All of it took {total:.0f} minutes of one core (of the CPU where they were counted, else "
        f"by the clock), and two pieces run side by side: some {total / 2:.0f} minutes on two "
        "cores.\n"
    )


def _minutes(figures: Figures) -> tuple[float, str]:
    """How long it took, and in what minutes."""
    if "cpu_s" in figures:
        return figures["cpu_s"] / 60, "CPU-minutes"
    return figures["seconds"] / 60, "minutes by the clock on one core, beside other work"


def _section(section: Section, figures: Figures) -> str:
    minutes, unit = _minutes(figures)
    shared = "" if section.work == section.name else ", which the sections of this shop share"
    about = f"{', '.join(figures['facts'])}; {minutes:.0f} {unit}{shared}."
    what = figures["bars"]["what"] if "bars" in figures else "NDCG@10"
    picture = f"![{section.title}: {what} by source](pictures/quality-{section.name}.svg)"
    tables = [_table(name, told) for name, told in figures["tables"].items()]
    command = f"```bash\n{section.shown}\n```"
    parts = [f"## {section.title}", section.line, command, about, picture, *tables, section.reading]
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(name: str, told: Mapping[str, Any]) -> str:
    heads = told["heads"]
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "--:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(map(_line, row)) + " |" for row in told["rows"]]
    return f"**{name}**\n\n" + "\n".join(lines)


def _line(cell: str) -> str:
    return cell.replace("\n", ", ")
