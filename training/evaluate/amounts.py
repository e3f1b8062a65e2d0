"""Expected amounts on the test, model beside floors: tables by population, and what came by decile.

Next: ``amounts_page.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from training.datasets.batches import Dataset
from training.evaluate.answers import MODEL, Answers
from training.evaluate.compare import Comparison, Draws, compare
from training.evaluate.measure import populations
from training.floors.reading import amount_names, head_names
from training.metrics.amount import amount_metrics
from training.metrics.calibration import log_line

NUM_GROUPS = 10
LEAST = 1e-6
"""An expected amount, in the base currency, below which none is taken for less."""


@dataclass(frozen=True, slots=True)
class AmountReport:
    """One amount on the test."""

    tables: dict[str, Comparison]
    """By population."""
    means: dict[str, float]
    """Real mean by population, in the base currency."""
    expected: np.ndarray
    """Means of tenths of the shoppers, in the order of the model's answers, (10,)."""
    came: np.ndarray
    """What each tenth really came to."""


def amount_reports(
    dataset: Dataset, answers: Mapping[str, Answers], draws: Draws
) -> dict[str, AmountReport]:
    """A report for each amount that the test has labels of."""
    rows, heads = answers["test"].rows.get("retention"), head_names(dataset)
    if rows is None or not len(rows):
        return {}
    found = {}
    for head in sorted(amount_names(dataset)):
        column = heads.index(head)
        if not np.isnan(_real(dataset, "test", rows, column)).all():
            found[head] = _report(dataset, answers, column, draws)
    return found


def _report(
    dataset: Dataset, answers: Mapping[str, Answers], column: int, draws: Draws
) -> AmountReport:
    """The amount in `column` of the labels, for the shoppers whose window is closed."""
    rows = answers["test"].rows["retention"]
    real = _real(dataset, "test", rows, column)
    asked = ~np.isnan(real)
    rows, real = rows[asked], real[asked]
    said = {name: p[asked] for name, p in _alike(dataset, answers, column).items()}
    users = np.asarray(dataset.examples("test").user[rows])
    tables, means = {}, {}
    for name, inside in populations(dataset, rows).items():
        if inside.any():
            some = {source: p[inside] for source, p in said.items()}
            tables[name] = _table(some, real[inside], users[inside], draws)
            means[name] = float(real[inside].mean())
    groups = np.array_split(np.argsort(said[MODEL], kind="stable"), NUM_GROUPS)
    filled = [group for group in groups if len(group)]
    return AmountReport(
        tables=tables,
        means=means,
        expected=np.array([said[MODEL][group].mean() for group in filled]),
        came=np.array([real[group].mean() for group in filled]),
    )


def _alike(dataset: Dataset, answers: Mapping[str, Answers], column: int) -> dict[str, np.ndarray]:
    """Amounts (n,) by source; floors are calibrated on validation, as the model is."""
    said = {}
    for name, of_test in answers["test"].probability.items():
        if np.isnan(of_test[:, column]).all():
            continue
        logs = np.log(np.maximum(of_test[:, column].astype(np.float64), LEAST))
        slope, shift = 1.0, 0.0
        if name != MODEL and "valid" in answers:
            real = _real(dataset, "valid", answers["valid"].rows["retention"], column)
            on_valid = answers["valid"].probability[name][:, column].astype(np.float64)
            slope, shift = log_line(np.log(np.maximum(on_valid, LEAST)), real)
        said[name] = np.exp(slope * logs + shift)
    return said


def _real(dataset: Dataset, split: str, rows: np.ndarray, column: int) -> np.ndarray:
    return np.asarray(dataset.examples(split).label[rows], dtype=np.float64)[:, column]


def _table(
    said: Mapping[str, np.ndarray], real: np.ndarray, users: np.ndarray, draws: Draws
) -> Comparison:
    """All metrics of all sources on one population."""

    def metrics(rows: np.ndarray) -> dict[str, dict[str, float]]:
        found = {source: amount_metrics(p[rows], real[rows]) for source, p in said.items()}
        return {
            source: {name: value for name, value in numbers.items() if name != "mean"}
            for source, numbers in found.items()
        }

    return compare(metrics, users, draws)


def to_dict(found: Mapping[str, AmountReport]) -> dict[str, Any]:
    """Plain values, for JSON."""
    return {
        head: {
            "test": {name: table.to_dict() for name, table in one.tables.items()},
            "means": one.means,
            "expected_by_tenth": one.expected.tolist(),
            "came_by_tenth": one.came.tolist(),
        }
        for head, one in found.items()
    }
