"""Calibration on validation: chances come true as often as they say, amounts sum to what came.

How much counts for what was bought before is set there too (``habits.py``).
Next: ``export.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from training.datasets.batches import Dataset
from training.datasets.histories import Ints
from training.habits import HABITS, Habits
from training.metrics.amount import amount_metrics
from training.metrics.calibration import log_line, platt
from training.metrics.probability import best_f1_threshold, probability_metrics
from training.models.batch import Output
from training.network import Network
from training.tasks import TASKS


@torch.no_grad()
def predict(
    network: Network, dataset: Dataset, split: str, max_positions: int = 16384
) -> Iterator[tuple[Ints, Output]]:
    """For each batch of `split`: the numbers of its examples, and what `network` says of them."""
    network.eval()
    device = network.calibration_H2.device
    texts_ND = torch.as_tensor(np.array(dataset.text_vectors)).to(device)
    for rows in dataset.plan(split, max_positions):
        batch = dataset.batch(split, rows)
        yield rows, network(batch.to(device), dataset.items(batch.week).to(device), texts_ND)


def calibrate(network: Network, dataset: Dataset) -> tuple[dict[str, float], dict[str, float]]:
    """Calibrate `network` on validation; the thresholds of its heads, and metrics there."""
    examples = dataset.examples("valid")
    logit_NH = np.zeros((len(examples), len(network.logit_names)))
    habits = Habits((0.0,) if network.user.copy is None else HABITS)
    network.set_habit(0.0)
    for rows, output in predict(network, dataset, "valid"):
        logit_NH[rows] = output.logit_BH.cpu().numpy()
        if len(asked := np.unique(examples.targets(rows)[1])):
            score_SI = output.scores.of(torch.as_tensor(asked)).whole().cpu().numpy()
            habits.add(examples, rows, score_SI)
    habit, metrics = habits.best()
    network.set_habit(habit)
    label_NH = np.array(examples.label)
    network.set_calibration(_calibration(network, logit_NH, label_NH))
    thresholds, found = _judged(network, logit_NH, label_NH)
    return thresholds, metrics | found


def _calibration(
    network: Network, logit_NH: np.ndarray, label_NH: np.ndarray
) -> dict[str, tuple[float, float]]:
    """Slope and shift of each logit, from what the labels say of it."""
    found = {}
    for name, columns in network.columns.items():
        task, logit = TASKS[name], logit_NH[:, columns.logits]
        taught = task.taught(torch.as_tensor(label_NH[:, columns.heads])).numpy()
        for column, learnt in enumerate(task.logits):
            fit = log_line if learnt in task.amounts else platt
            found[learnt] = fit(logit[:, column], taught[:, column])
    return found


def _judged(
    network: Network, logit_NH: np.ndarray, label_NH: np.ndarray
) -> tuple[dict[str, float], dict[str, float]]:
    """Threshold of each chance, and metrics of each head that has labels."""
    logit = torch.as_tensor(logit_NH, device=network.calibration_H2.device)
    answer_NH = network.probabilities(logit).cpu().numpy()
    thresholds: dict[str, float] = {}
    metrics: dict[str, float] = {}
    for column, head in enumerate(network.head_names):
        asked = ~np.isnan(label_NH[:, column])
        answer, label = answer_NH[asked, column], label_NH[asked, column]
        if not asked.any():
            continue
        if head in network.amount_names:
            found = amount_metrics(answer, label)
        else:
            thresholds[head] = best_f1_threshold(answer, label)
            found = probability_metrics(answer, label, thresholds[head])
        metrics |= {f"{head}/{name}": value for name, value in found.items()}
    return thresholds, metrics
