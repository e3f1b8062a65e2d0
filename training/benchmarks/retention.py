"""A table of orders through the protocol of retention: snapshots, training, floors, calibration.

What is trained, asked and measured is what ``python -m training fit`` and ``evaluate`` would, for
the task ``retention`` alone. Next: ``snapshots.py``
for a table that tells who left, then ``retention_page.py``.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from training.ahead import foresee
from training.benchmarks.order_table import Question, Table
from training.benchmarks.shop import shop_of, trained
from training.calibrate import calibrate, predict
from training.datasets.batches import Dataset
from training.evaluate.answers import MODEL
from training.evaluate.compare import Comparison, Draws
from training.evaluate.report import Report, measure
from training.floors import ProbabilityFloor
from training.metrics.steps import Foreseen
from training.network import Network
from training.run import Run

TASK = "retention"
SHARE = 0.3
"""Weekly snapshots of the same customers are much alike: a third of them an epoch will do."""


@dataclass(frozen=True, slots=True)
class Found:
    """All that is told of a table."""

    notes: tuple[str, ...]
    """What was left out of the table and why, a sentence each."""
    reports: list[Report]
    """One for each seed; the floors are the same in all."""

    def spread(self, head: str, population: str, metric: str) -> tuple[float, float]:
        """Mean and standard deviation over seeds of the model's `metric`."""
        tables = [comparison(one, head, population) for one in self.reports]
        values = [one.sources[MODEL][metric].value for one in tables]
        return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


def comparison(report: Report, head: str, population: str) -> Comparison:
    """The table of `head`, a chance or an amount, on `population`."""
    found = report.amounts.get(head) or report.heads[head]
    return found.tables[population]


@dataclass(frozen=True, slots=True)
class _Model:
    """A calibrated network, as the evaluation asks it."""

    network: Network
    dataset: Dataset
    thresholds: Mapping[str, float] = field(default_factory=dict)

    def answers(
        self, split: str, rows: np.ndarray
    ) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """See :class:`training.evaluate.answers.Model`."""
        for asked, output in predict(self.network, self.dataset, split):
            kept = np.isin(asked, rows)
            chances = self.network.probabilities(output.logit_BH[kept]).numpy()
            yield asked[kept], output.score_BI[kept].numpy(), chances

    def foresee(self, split: str, rows: np.ndarray) -> Foreseen:
        """See :class:`training.evaluate.answers.Model`; the run has no such task."""
        return foresee(self.network, self.dataset, split, rows)


def retention(
    table: Table, question: Question, tell: Callable[[str], None] = lambda _: None
) -> Found:
    """Ask the table; `tell` hears of each step before it begins.

    Raises
    ------
    ValueError
        When the orders span too little time for training, validation and test.
    """
    tell("features of every snapshot")
    with shop_of(table.events, None, TASK, question, SHARE) as (run, dataset):
        reports = []
        for seed in range(question.num_seeds):
            tell(f"training, seed {seed}")
            reports.append(measured(replace(run, seed=seed), dataset))
    return Found(table.notes, reports)


def measured(
    run: Run, dataset: Dataset, floors: Mapping[str, ProbabilityFloor] | None = None
) -> Report:
    """One training, calibrated, beside `floors`; None: those of the task."""
    with tempfile.TemporaryDirectory(prefix="nudge_benchmark_") as folder:
        network = trained(run, dataset, Path(folder))
        lines = (Path(folder) / "history.jsonl").read_text().splitlines()
    thresholds, _ = calibrate(network, dataset)
    return measure(
        dataset,
        _Model(network.eval(), dataset, thresholds),
        Draws(200),
        floors=floors,
        run=json.loads(run.to_json()),
        history=[json.loads(line) for line in lines],
    )
