"""Several ways of doing one thing, measured side by side: same data, same run, equal answers.

A script declares a :class:`Bench` and ends by giving it to :func:`run`. Run as
``python -m tests.bench.NAME`` it makes the data of each size, then lets every side do its work in a
process of its own, side after side, round after round, checks that all gave one answer, prints a
table and writes ``docs/benchmarks/NAME.json``. ``report.py`` makes ``docs/benchmarks.md`` of these.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[2] / "docs" / "benchmarks"

Call = Callable[[], Any]
Side = Callable[[Path, str], Call]
"""(folder of the data, name of the size) to the call that is measured; what it does before it
gives the call is set-up and is not measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a call may give instead of its bare answer."""

    answer: Any
    """Or what gives it, called when the measure is over."""
    figures: Mapping[str, float] = field(default_factory=dict)
    """Figures that the call took itself, by name with unit: ``p99_ms``, ``requests_per_s``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A bound that our side is held to: a figure of its own, or times another side's figure."""

    words: str
    figure: str
    side: str = ""
    """Whose figure it is; ours unless named."""
    against: str = ""
    """The side it is compared with; the value is then how many times better ours is."""
    at_least: float | None = None
    at_most: float | None = None
    size: str = ""
    """Where it is looked at; the last size unless named."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One line of the table of speeds."""

    name: str
    """Stem of its file of results."""
    title: str
    line: str
    """What is measured: the work, its data, what is and is not inside the measure."""
    goals: Sequence[Goal]
    figure: str
    """The figure that sides are compared by: ``cpu_s``, ``wall_s``, ``peak_mib``, or one of
    :class:`Measured`. Of a rate (``rows_per_s``) more is better, of anything else less."""
    sizes: Sequence[str]
    make: Callable[[Path, str], None]
    """Write the data of a size into a folder."""
    sides: Mapping[str, Side]
    obvious: str
    """The side that a careful user of the plain libraries would write."""
    ours: str
    rounds: int = 3
    only: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Side to the sizes it is measured at, where it is not all of them."""
    reading: str = ""
    """What the figures say, above all where a goal is missed; Markdown, written by hand."""

    def __post_init__(self) -> None:
        for name in (self.obvious, self.ours, *self.only):
            assert name in self.sides, f"{self.name} has no side {name!r}"


def run(bench: Bench) -> None:
    """The command of a script: all of it, or one part in a process of its own."""
    match sys.argv[1:]:
        case []:
            _all(bench, RESULTS)
        case ["--out", folder]:
            _all(bench, Path(folder))
        case ["make", folder, size]:
            bench.make(Path(folder), size)
        case ["side", folder, size, side]:
            print(json.dumps(_measure(bench.sides[side](Path(folder), size))))
        case asked:
            sys.exit(f"{_module()} takes nothing or --out FOLDER; it was given {asked}")


def more_is_better(figure: str) -> bool:
    """Of a rate more is better, of seconds, bytes and the like less."""
    return figure.endswith("_per_s")


def ratio(
    of_size: Mapping[str, Mapping[str, Any]], figure: str, ours: str, against: str
) -> float | None:
    """How many times better `ours` is than `against` at one size, by medians."""
    medians = [
        of_size.get(side, {}).get("figures", {}).get(figure, {}).get("median")
        for side in (ours, against)
    ]
    if not all(medians):
        return None
    mine, other = medians
    return mine / other if more_is_better(figure) else other / mine


def reached(bench: Bench, goal: Goal, found: Mapping[str, Any]) -> tuple[float | None, bool]:
    """The value that `goal` is about, None where it was not measured, and whether it is met."""
    of_size = found["sizes"].get(goal.size or bench.sizes[-1], {})
    side = goal.side or bench.ours
    if goal.against:
        value = ratio(of_size, goal.figure, side, goal.against)
    else:
        figures = of_size.get(side, {}).get("figures", {})
        value = figures.get(goal.figure, {}).get("median")
    if value is None:
        return None, False
    low, high = goal.at_least, goal.at_most
    return value, (low is None or value >= low) and (high is None or value <= high)


def _measure(call: Call) -> dict[str, Any]:
    """The figures of one call, children included; the peak is of this process alone."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak of the set-up does not count
    cpu, wall = _cpu_s(), time.perf_counter()
    given = call()
    figures = {"cpu_s": _cpu_s() - cpu, "wall_s": time.perf_counter() - wall}
    figures["peak_mib"] = _peak_mib()
    measured = given if isinstance(given, Measured) else Measured(answer=given)
    answer = measured.answer() if callable(measured.answer) else measured.answer
    return {"answer": answer, "figures": {**figures, **measured.figures}}


def _cpu_s() -> float:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


def _peak_mib() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


def _all(bench: Bench, out: Path) -> None:
    """Every side at every size, interleaved; prints what was found and writes it to `out`."""
    load = os.getloadavg()[0]
    sizes = {size: _one_size(bench, size) for size in bench.sizes}
    found = {
        "measured_at": datetime.now(UTC).isoformat(timespec="minutes"),
        "command": f"python -m {_module()}",
        "machine": {
            "cores": os.cpu_count(),
            "load_before": round(load, 2),
            "system": os.uname()[4],
        },
        "rounds": bench.rounds,
        "sizes": sizes,
    }
    out.mkdir(parents=True, exist_ok=True)
    (out / f"{bench.name}.json").write_text(json.dumps(found, indent=1) + "\n")
    print(table(bench, found))


def _one_size(bench: Bench, size: str) -> dict[str, Any]:
    sides = [name for name in bench.sides if size in bench.only.get(name, bench.sizes)]
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as folder:
        _part("make", folder, size)
        for _ in range(bench.rounds):
            for name in sides:
                said = _part("side", folder, size, name)
                runs[name].append(json.loads(said.splitlines()[-1]))
                print(f"{size}: {name} {runs[name][-1]['figures']}", file=sys.stderr)
    answers = {json.dumps(one["answer"]) for of_side in runs.values() for one in of_side}
    assert len(answers) == 1, f"the answers differ at {size}: {[a[:300] for a in answers]}"
    return {name: {"figures": _spread(of_side)} for name, of_side in runs.items()}


def _part(*what: str) -> str:
    """This script again, for one part of the work; what it printed."""
    command = [sys.executable, "-W", "ignore", "-m", _module(), *what]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(what)} of {_module()} failed; see above")
    return done.stdout


def _module() -> str:
    """The name of the script that runs, as ``python -m`` takes it."""
    spec = sys.modules["__main__"].__spec__
    if spec is None:
        sys.exit(
            f"run it from the project's root as: python -m tests.bench.{Path(sys.argv[0]).stem}"
        )
    return spec.name


def _spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure."""
    return {
        name: {
            "median": _short(statistics.median(run["figures"][name] for run in runs)),
            "min": _short(min(run["figures"][name] for run in runs)),
            "max": _short(max(run["figures"][name] for run in runs)),
        }
        for name in runs[0]["figures"]
    }


def _short(number: float) -> float:
    return float(f"{number:.4g}")


def table(bench: Bench, found: Mapping[str, Any]) -> str:
    """A Markdown table: a row for each size and side, a column for each figure."""
    names = dict.fromkeys(
        name
        for of_size in found["sizes"].values()
        for side in of_size.values()
        for name in side["figures"]
    )
    columns = [bench.figure, *(name for name in names if name != bench.figure)]
    lines = [
        f"| size | | {' | '.join(words(name) for name in columns)} | ratio |",
        "|---|---|" + "--:|" * (len(columns) + 1),
    ]
    for size, of_size in found["sizes"].items():
        for side, one in of_size.items():
            cells = [_cell(one["figures"].get(name)) for name in columns]
            times = (
                ratio(of_size, bench.figure, side, bench.obvious) if side == bench.ours else None
            )
            cells.append("" if times is None else f"**{times:.3g}×**")
            lines.append(f"| {size} | {side} | {' | '.join(cells)} |")
    return "\n".join(lines)


def words(figure: str) -> str:
    """``requests_per_s`` as people say it: the unit is what stands last."""
    if "_per_" in figure:
        what, _, unit = figure.rpartition("_per_")
        return f"{what.replace('_', ' ')}/{unit}"
    what, _, unit = figure.rpartition("_")
    return f"{what.replace('_', ' ')}, {unit.replace('mib', 'MiB')}"


def _cell(spread: Mapping[str, float] | None) -> str:
    """The median, and how far the rounds lay apart when it can be seen."""
    if spread is None:
        return ""
    middle, low, high = (_number(spread[name]) for name in ("median", "min", "max"))
    return middle if low == high else f"{middle} <small>({low}–{high})</small>"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
