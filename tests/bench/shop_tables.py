"""Tables of a shop's evaluations: the model's mean over seeds beside every floor, and its lead.

A row is a question, a column a source. Next: ``shop_sections.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from training.evaluate.answers import MODEL
from training.evaluate.compare import LOWER_IS_BETTER
from training.metrics.seeds import over_seeds

Report = Mapping[str, Any]
"""``report.json`` of one seed."""
LEAD = "lead over the best floor"
Told = dict[str, list]
"""Heads and rows."""


@dataclass(frozen=True, slots=True)
class Row:
    """One metric of one comparison."""

    words: str
    path: tuple[str, ...]
    """Where the comparison stands in a report."""
    metric: str

    def of(self, report: Report) -> Mapping[str, Any]:
        """The comparison in `report`."""
        found: Any = report
        for key in self.path:
            found = found[key]
        return found

    def model(self, reports: Sequence[Report]) -> np.ndarray:
        """The model's value for each seed."""
        return np.array([self.of(one)["sources"][MODEL][self.metric]["value"] for one in reports])

    def floors(self, report: Report) -> dict[str, float]:
        """Each floor's value: floors have no seed."""
        sources = self.of(report)["sources"].items()
        told = {name: numbers[self.metric]["value"] for name, numbers in sources if name != MODEL}
        return {name: value for name, value in told.items() if value is not None}

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return -1 if self.metric in LOWER_IS_BETTER else 1


def beside_floors(reports: Sequence[Report], rows: Sequence[Row]) -> Told:
    """The model beside every floor."""
    floors = list(dict.fromkeys(name for row in rows for name in row.floors(reports[0])))
    lines = []
    for row in rows:
        told = row.floors(reports[0])
        cells = [f"{told[name]:.4f}" if name in told else "–" for name in floors]
        lines.append([row.words, spread(row.model(reports)), *cells, lead(reports, row)])
    return {"heads": ["", MODEL, *floors, LEAD], "rows": lines}


def lead(reports: Sequence[Report], row: Row) -> str:
    """Mean over seeds of the lead over the floor that is best on the test, and how sure it is.

    Above 0 the model is better, whichever way the metric runs.
    """
    found = [row.of(one)["differences"][row.metric] for one in reports]
    parts = ([one[part] for one in found] for part in ("value", "low", "high"))
    mean, *ends = np.multiply(row.sign, over_seeds(*parts))
    return f"{mean:+.4f} over {found[0]['floor']}\n{min(ends):+.4f} to {max(ends):+.4f}"


def bars(what: str, reports: Sequence[Report], row: Row) -> dict[str, Any]:
    """`row` as a picture: the model with a dot for each seed, and the floors."""
    floors = row.floors(reports[0])
    return {
        "what": what,
        "names": [MODEL, *floors],
        "values": [row.model(reports).tolist(), *([value] for value in floors.values())],
        "is_model": [True, *(False for _ in floors)],
    }


def facts(reports: Sequence[Report], *asked: str) -> list[str]:
    """When the test was, what was `asked`, and from which seeds."""
    start, end = reports[0]["data"]["calendar"]["test"]
    seeds = ", ".join(str(one["run"]["seed"]) for one in reports)
    return [f"test {_day(start)} to {_day(end)}", *asked, f"seeds {seeds}, floors have none"]


def spread(values: np.ndarray) -> str:
    """A mean, with its standard deviation where there are several values."""
    mean = f"{values.mean():.4f}"
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.4f}"


def _day(moment: int) -> str:
    return datetime.fromtimestamp(moment / 1e6, UTC).strftime("%-d %b %Y")
