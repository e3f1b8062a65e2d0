"""A table of behaviours through the whole protocol: features as of each moment, training, floors.

The table becomes a shop of its own for as long as it takes. What is trained, asked and measured is
what ``python -m training fit`` and ``evaluate`` would, for the task ``next_actions`` alone.
Next: ``next_actions_page.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from training.ahead import foresee
from training.benchmarks.shop import shop_of, trained
from training.benchmarks.step_table import Question, Table
from training.evaluate.answers import MODEL
from training.evaluate.compare import Draws
from training.evaluate.steps import TASK, StepsReport, steps_report


@dataclass(frozen=True, slots=True)
class Found:
    """All that is told of a table."""

    table: Table
    num_events: int
    num_shoppers: int
    counts: dict[str, int]
    """Examples by split."""
    reports: list[StepsReport]
    """One for each seed; the floors are the same in all."""

    def spread(self, part: str, metric: str) -> tuple[float, float]:
        """Mean and standard deviation over seeds of the model's `metric` in the table `part`."""
        values = [one.tables[part].sources[MODEL][metric].value for one in self.reports]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def next_actions(
    table: Table, question: Question, tell: Callable[[str], None] = lambda _: None
) -> Found:
    """Ask the table; `tell` hears of each step before it begins.

    Raises
    ------
    ValueError
        When the events span too little time for training, validation and test.
    """
    tell("features of every moment")
    with shop_of(table.events, table.items, TASK, question) as (run, dataset):
        reports = []
        for seed in range(question.num_seeds):
            tell(f"training, seed {seed}")
            with tempfile.TemporaryDirectory(prefix="nudge_benchmark_") as folder:
                network = trained(replace(run, seed=seed), dataset, Path(folder))
            report = steps_report(dataset, partial(foresee, network, dataset), Draws(200))
            if report is None:
                raise ValueError(
                    "no shopper is known before the test's first day; bring older events"
                )
            reports.append(report)
    num_shoppers = table.events["user_id"].n_unique()
    return Found(table, len(table.events), num_shoppers, dataset.meta["counts"], reports)
