"""A table of snapshots through the protocol of retention: training, floors, calibration.

Next: ``retention_page.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.benchmarks.asked import run_of
from training.benchmarks.retention import TASK, Found, measured
from training.benchmarks.snapshot_table import Question, Table
from training.datasets.snapshots import write
from training.effects.base import BASES
from training.evaluate.measure import RECENCY
from training.evaluate.report import Report
from training.floors import ProbabilityFloor
from training.floors.all_features import AllFeatures
from training.floors.recency import Recency
from training.tasks import TASKS

HEAD = "leave_90d"


def snapshots(
    table: Table, question: Question, tell: Callable[[str], None] = lambda _: None
) -> Found:
    """Ask the table; `tell` hears of each step before it begins."""
    tell("features of every snapshot")
    run = run_of(TASK, question)  # a table has each snapshot once, and all are drawn
    with tempfile.TemporaryDirectory(prefix="nudge_benchmark_") as folder:
        dataset = write(
            Path(folder) / "data",
            table.snapshots,
            table.rows,
            heads=TASKS[TASK].heads,
            text_width=run.model.text_width,
            horizon_days=question.horizon_days,
        )
        reports = []
        for seed in range(question.num_seeds):
            tell(f"training, seed {seed}")
            found = measured(replace(run, seed=seed), dataset, _floors(table))
            reports.append(_named(found, question.label))
    return Found(table.notes, reports)


def _floors(table: Table) -> dict[str, ProbabilityFloor]:
    """What the network must beat."""
    floors: dict[str, ProbabilityFloor] = {
        f"{name}, all features": AllFeatures(base) for name, base in BASES.items()
    }
    return floors | ({"recency": Recency()} if RECENCY in table.snapshots.names else {})


def _named(report: Report, label: str) -> Report:
    """The report under the name that the table gives to leaving."""
    return replace(report, heads={label: report.heads[HEAD]})
