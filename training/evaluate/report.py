"""A finished run, measured beside the floors: ``report.json`` for programs, ``report.html`` for us.

Model and floors answer about the same examples of the same dataset folder. What is chosen is chosen
on validation, what is reported is the test. Next: ``answers.py``, ``measure.py``, ``page.py``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from training.datasets.batches import Dataset
from training.evaluate.amounts import AmountReport, amount_reports
from training.evaluate.amounts import to_dict as amounts_dict
from training.evaluate.answers import ALL_ITEMS, Answers, Model, ask, fit_floors
from training.evaluate.compare import Comparison, Draws
from training.evaluate.measure import HeadReport, head_report, ranking_splits, ranking_tables
from training.evaluate.steps import TASK, StepsReport, steps_report
from training.evaluate.steps import to_dict as steps_dict
from training.floors import ProbabilityFloor
from training.track import progress_bar

SPLITS = ("train", "valid", "test")
MAX_TRAIN_EXAMPLES = 3_000
"""Of each task on the training split, where only the gap is asked for."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found about a run."""

    run: dict[str, Any]
    meta: dict[str, Any]
    """``meta.json`` of the dataset."""
    coverage: float
    """Share of the test orders' items that existed when their week began and could be ranked."""
    num_seen: dict[str, dict[str, int]]
    """Examples measured, by split and task."""
    history: list[dict[str, float]]
    ranking: dict[str, Comparison]
    """By variant of the seen-item rule."""
    ranking_splits: dict[str, dict[str, dict[str, float]]]
    heads: dict[str, HeadReport]
    amounts: dict[str, AmountReport]
    steps: StepsReport | None
    """None where next actions are not foreseen."""
    draws: Draws


def evaluate(run_dir: Path, num_bootstrap: int = 200) -> dict[str, Any]:
    """Measure the run in `run_dir`; what ``report.json`` holds.

    Writes ``report.json`` and ``report.html`` into the folder.

    Parameters
    ----------
    num_bootstrap
        Draws of shoppers behind each 95 % interval.

    Raises
    ------
    ValueError
        When the folder holds no finished run.
    """
    if not (run_dir / "bundle" / "bundle.json").exists():
        raise ValueError(f"{run_dir} holds no finished run; `python -m training fit` makes one")
    from training.evaluate.model import Trained
    from training.evaluate.page import page

    dataset = Dataset(run_dir / "data")
    lines = (run_dir / "history.jsonl").read_text().splitlines()
    report = measure(
        dataset,
        Trained(run_dir, dataset),
        Draws(num_bootstrap),
        run=json.loads((run_dir / "run.json").read_text()),
        history=[json.loads(line) for line in lines],
    )
    found = to_dict(report)
    (run_dir / "report.json").write_text(json.dumps(found, indent=1))
    (run_dir / "report.html").write_text(page(report), encoding="utf-8")
    return found


def measure(
    dataset: Dataset,
    model: Model,
    draws: Draws,
    *,
    run: dict[str, Any],
    history: list[dict[str, float]],
    floors: Mapping[str, ProbabilityFloor] | None = None,
) -> Report:
    """Ask the model and the floors about every split, and compare them on the test.

    Parameters
    ----------
    floors
        Not fitted yet; None: those of the dataset's tasks.
    """
    fitted = fit_floors(dataset, floors)
    answers: dict[str, Answers] = {}
    with progress_bar("evaluate", len(SPLITS), True) as advance:
        for split in SPLITS:
            most = MAX_TRAIN_EXAMPLES if split == "train" else None
            answers[split] = ask(dataset, split, model, fitted, most)
            advance(1)
    test, tasks = answers["test"], dataset.meta["tasks"]
    orders = test.rows.get("next_item")
    ranking = {}
    if orders is not None:
        ranking = ranking_tables(test, dataset.examples("test").user[orders], draws)
    return Report(
        run=run,
        meta=dataset.meta,
        coverage=_coverage(dataset),
        num_seen={
            split: {task: len(rows) for task, rows in said.rows.items()}
            for split, said in answers.items()
        },
        history=history,
        ranking=ranking,
        ranking_splits=ranking_splits(answers) if "next_item" in tasks else {},
        heads=_heads(dataset, answers, model, draws),
        steps=steps_report(dataset, model.foresee, draws) if TASK in tasks else None,
        amounts=amount_reports(dataset, answers, draws),
        draws=draws,
    )


def _heads(
    dataset: Dataset, answers: dict[str, Answers], model: Model, draws: Draws
) -> dict[str, HeadReport]:
    """A report for each head of the retention task that the test has labels of."""
    test = answers["test"].rows.get("retention")
    if test is None or not len(test):
        return {}
    names = [head for heads in dataset.meta["heads"].values() for head in heads]
    known = ~np.isnan(dataset.examples("test").label[test]).all(axis=0)
    return {
        head: head_report(dataset, answers, column, model.thresholds.get(head), draws)
        for column, head in enumerate(names)
        if head in dataset.meta["heads"]["retention"]
        and known[column]
        and head not in dataset.meta["amounts"]["retention"]
    }


def _coverage(dataset: Dataset) -> float:
    """See :class:`Report`; NaN without test orders."""
    kept = len(dataset.examples("test").target)
    dropped = dataset.meta["dropped"].get("test", {}).get("targets", 0)
    return kept / (kept + dropped) if kept else math.nan


def to_dict(report: Report) -> dict[str, Any]:
    """Plain values for JSON, without the curves that only plots need; NaN becomes null."""
    found = {
        "run": report.run,
        "data": {key: report.meta.get(key) for key in ("calendar", "counts", "dropped", "lineage")},
        "num_bootstrap": report.draws.num_bootstrap,
        "num_examples": report.num_seen,
        "coverage": report.coverage,
        "history": report.history,
        "next_item": {
            "ties": "count against: items that are no targets come first",
            "headline": ALL_ITEMS,
            "test": {name: table.to_dict() for name, table in report.ranking.items()},
            "model_by_split": report.ranking_splits,
        },
        "retention": {
            head: {
                "test": {name: table.to_dict() for name, table in found.tables.items()},
                "base_rates": found.base_rates,
                "thresholds": found.thresholds,
                "model_by_split": found.splits,
            }
            for head, found in report.heads.items()
        },
        "amounts": amounts_dict(report.amounts),
        "next_actions": steps_dict(report.steps),
    }
    plain: dict[str, Any] = _without_nan(found)
    return plain


def _without_nan(value: Any) -> Any:
    """`value` with None in the place of every number that is none."""
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
