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

from feature_repo.scratch import scratch
from feature_repo.settings import Settings
from training.ahead import foresee
from training.benchmarks.shop import fill, trained, without_text
from training.benchmarks.step_table import Question, Table
from training.datasets.batches import Dataset
from training.datasets.rows import build
from training.evaluate.answers import MODEL
from training.evaluate.compare import Draws
from training.evaluate.steps import TASK, StepsReport, steps_report
from training.recipes import RECIPES
from training.run import Calendar
from training.tasks import TASKS


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
    first, last = (table.events["event_at"].min(), table.events["event_at"].max())
    assert isinstance(first, int), "a table has rows"
    assert isinstance(last, int), "a table has rows"
    calendar = Calendar.from_span(first, last, question.horizon_days)
    run = replace(
        RECIPES["shopper"](question.size), tasks=(TASK,), task_weights=(1.0,), task_shares=(1.0,),
        calendar=calendar, horizon_days=question.horizon_days,
    )  # fmt: skip
    run = replace(run, optim=replace(run.optim, num_epochs=question.num_epochs))
    tell("features of every moment")
    with scratch(Settings()) as shop:
        fill(shop, table.events, table.items, last + 1)
        dataset = Dataset(build(run, calendar, {TASK: TASKS[TASK]}, shop, without_text(run)))
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
