"""The tables of a report: each task's metrics by split, population and variant.

Next: ``amounts.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from training.datasets.batches import Dataset
from training.evaluate.answers import MODEL, Answers
from training.evaluate.compare import Comparison, Draws, compare
from training.floors.reading import raw_user_feature
from training.metrics.calibration import platt
from training.metrics.probability import (
    Bins,
    best_f1_threshold,
    probability_metrics,
    reliability_bins,
    roc_curve,
)

EVERYONE, ACTIVE = "every earlier customer", "bought within the last 90 days"
ACTIVE_DAYS = 90
RECENCY = "recency_days_purchase"


@dataclass(frozen=True, slots=True)
class HeadReport:
    """One head on the test: tables by population, and the curves behind the plots."""

    tables: dict[str, Comparison]
    base_rates: dict[str, float]
    """Share of yes, by split, and on the test by population."""
    thresholds: dict[str, float]
    """By source, chosen on the validation split."""
    splits: dict[str, dict[str, float]]
    """The model's metrics on train, valid and test."""
    bins: Bins
    curves: dict[str, tuple[np.ndarray, np.ndarray]]
    """ROC curve of each source."""


def ranking_tables(answers: Answers, users: np.ndarray, draws: Draws) -> dict[str, Comparison]:
    """A comparison for each variant of the seen-item rule, over orders that have a target left."""
    tables = {}
    for variant in answers.ranked[MODEL].values:
        columns = {source: found.values[variant] for source, found in answers.ranked.items()}
        asked = ~np.isnan(next(iter(columns[MODEL].values())))
        kept = {
            source: {metric: values[asked] for metric, values in found.items()}
            for source, found in columns.items()
        }

        def means(
            rows: np.ndarray, kept: Mapping[str, Mapping[str, np.ndarray]] = kept
        ) -> dict[str, dict[str, float]]:
            return {
                source: {metric: float(values[rows].mean()) for metric, values in found.items()}
                for source, found in kept.items()
            }

        if asked.any():
            tables[variant] = compare(means, users[asked], draws)
    return tables


def ranking_splits(answers: Mapping[str, Answers]) -> dict[str, dict[str, dict[str, float]]]:
    """The model's means by variant and split: the gap between training and the rest."""
    found: dict[str, dict[str, dict[str, float]]] = {}
    for split, said in answers.items():
        for variant, values in said.ranked[MODEL].values.items():
            means = {m: float(np.nanmean(v)) for m, v in values.items() if not np.isnan(v).all()}
            found.setdefault(variant, {})[split] = means
    return found


def head_report(
    dataset: Dataset,
    answers: Mapping[str, Answers],
    column: int,
    threshold: float | None,
    draws: Draws,
) -> HeadReport:
    """Everything about the head in `column` of the labels.

    Parameters
    ----------
    threshold
        The one that the model is served with; None chooses it as for the floors.
    """
    said = {split: _said(dataset, split, found, column) for split, found in answers.items()}
    said = _alike({split: found for split, found in said.items() if len(found.rows)})
    chosen_on = said.get("valid", said.get("train", said["test"]))
    thresholds = {
        name: best_f1_threshold(p, chosen_on.label) for name, p in chosen_on.chances.items()
    }
    thresholds |= {} if threshold is None else {MODEL: threshold}
    test = said["test"]
    users = np.asarray(dataset.examples("test").user[test.rows])
    tables, rates = {}, {}
    for name, inside in populations(dataset, test.rows).items():
        if inside.any():
            found = {source: p[inside] for source, p in test.chances.items()}
            tables[name] = _table(found, test.label[inside], thresholds, users[inside], draws)
            rates[name] = float(test.label[inside].mean())
    return HeadReport(
        tables=tables,
        base_rates=rates | {split: float(found.label.mean()) for split, found in said.items()},
        thresholds=thresholds,
        splits={
            split: probability_metrics(found.chances[MODEL], found.label, thresholds[MODEL])
            for split, found in said.items()
        },
        bins=reliability_bins(test.chances[MODEL], test.label),
        curves={name: roc_curve(p, test.label) for name, p in test.chances.items()},
    )


class _Said(NamedTuple):
    """What was said of one head in one split, and what happened, where that is known."""

    rows: np.ndarray
    """Numbers of the examples (n,)."""
    label: np.ndarray
    chances: dict[str, np.ndarray]
    """Probabilities (n,) by source; a floor that says nothing of this head is left out."""


def _said(dataset: Dataset, split: str, answers: Answers, column: int) -> _Said:
    """The head in `column`; examples whose window was open at the cut have no label of it."""
    rows = answers.rows["retention"]
    label = np.asarray(dataset.examples(split).label[rows], float)[:, column]
    known = ~np.isnan(label)
    chances = {name: p[known, column] for name, p in answers.probability.items()}
    told = {name: p for name, p in chances.items() if name == MODEL or not np.isnan(p).any()}
    return _Said(rows[known], label[known], told)


def _alike(said: dict[str, _Said]) -> dict[str, _Said]:
    """The model comes calibrated on validation; floors get the same treatment."""
    found = {split: dict(one.chances) for split, one in said.items()}
    if "valid" in said:
        for name in said["valid"].chances.keys() - {MODEL}:
            slope, shift = platt(_logit(said["valid"].chances[name]), said["valid"].label)
            for by_source in found.values():
                z = slope * _logit(by_source[name]) + shift
                by_source[name] = 1.0 / (1.0 + np.exp(-z))
    return {split: one._replace(chances=found[split]) for split, one in said.items()}


def _logit(probability: np.ndarray) -> np.ndarray:
    """Log odds, of probabilities kept 1e-6 away from 0 and 1."""
    p = np.clip(probability.astype(np.float64), 1e-6, 1.0 - 1e-6)
    return np.asarray(np.log(p) - np.log1p(-p))


def populations(dataset: Dataset, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Which of the test's `rows` (n,) belong to each population."""
    everyone = {EVERYONE: np.ones(len(rows), dtype=bool)}
    if RECENCY not in dataset.spec.user.names:
        return everyone
    recency_days = raw_user_feature(dataset, "test", rows, RECENCY)
    return everyone | {ACTIVE: recency_days < ACTIVE_DAYS}


def _table(
    chances: Mapping[str, np.ndarray],
    label: np.ndarray,
    thresholds: Mapping[str, float],
    users: np.ndarray,
    draws: Draws,
) -> Comparison:
    """All probability metrics of all sources on one population."""

    def metrics(rows: np.ndarray) -> dict[str, dict[str, float]]:
        return {
            source: probability_metrics(p[rows], label[rows], thresholds[source])
            for source, p in chances.items()
        }

    return compare(metrics, users, draws)
