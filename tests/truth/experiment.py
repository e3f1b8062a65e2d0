"""One simulated shop, a network trained on parts of it, and how all stands against the truth.

``test_known_truth.py`` holds what this measures, ``picture.py`` draws it.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from feature_repo.scratch import scratch
from feature_repo.settings import Settings
from tests.truth import shops
from training.evaluate.answers import MODEL
from training.metrics.probability import auc, expected_calibration_error

SHOPPERS, ITEMS, DAYS, EPOCHS = 600, 150, 400, 4
OBSERVER, ALL_KNOWING = "best observer", "the shop itself"


@dataclass
class Measured:
    """What one seed gave: ``numbers[source][metric]``, and behind them the test's snapshots."""

    seed: int
    shoppers: int
    epochs: int
    numbers: dict[str, dict[str, float]]
    probability: np.ndarray
    """The model's (n, 2)."""
    truth: np.ndarray
    """The shop's own (n, 2)."""
    cpu_s: float
    test_size: dict[str, int] = field(default_factory=dict)

    def share(self, metric: str, source: str = MODEL) -> float:
        """`metric` of `source` as a share of what the true taste allows."""
        return self.numbers[source][metric] / self.numbers[shops.ORACLE][metric]


def measure(
    seed: int,
    folder: Path,
    parts: tuple[tuple[int, int], ...],
    shoppers: int = SHOPPERS,
    days: int = DAYS,
) -> list[Measured]:
    """Train on so many shoppers for so many epochs, for each of `parts`, of the shop of `seed`.

    All are asked about the same test: that of all `shoppers`.
    """
    events, truth = shops.live(seed, shoppers, ITEMS, days)
    found = []
    with scratch(Settings()) as shop:
        dataset = shops.dataset_of(events, shop, shops.recipe(seed))
        users = sorted(set(np.asarray(dataset.examples("train").user)))
        order = np.random.default_rng(seed).permutation(len(users))
        for number, (num, epochs) in enumerate(parts):
            began = time.process_time()
            some = None if num >= shoppers else [users[place] for place in order[:num]]
            model = shops.train(
                dataset, shops.recipe(seed, epochs), folder / f"{seed}-{number}", some
            )
            cpu_s = time.process_time() - began
            said = shops.ask_all(model, truth)
            found.append(_measured(seed, num, epochs, model, said, truth, cpu_s))
    return found


def _measured(seed, num, epochs, model, said, truth, cpu_s) -> Measured:
    dataset = model.dataset
    numbers: dict[str, dict[str, float]] = {}
    for metric in ("recall@10", "ndcg@10"):
        for source, values in shops.ranking(said, metric).items():
            numbers.setdefault(source, {})[metric] = float(values.mean())
    real = truth.heads(dataset, "everything")
    rows = shops.snapshots(dataset, "test")
    label = np.asarray(dataset.examples("test").label[rows], dtype=float)
    chances = shops.heads(model, said)
    chances |= {OBSERVER: truth.heads(dataset, "events"), ALL_KNOWING: real}
    for source, chance in chances.items():
        for column, head in enumerate(shops.HEADS):
            numbers.setdefault(source, {}).update(
                _against_truth(head, chance[:, column], real[:, column], label[:, column])
            )
    sizes = {"orders": len(said.rows["next_item"]), "snapshots": len(rows)}
    return Measured(seed, num, epochs, numbers, chances[MODEL], real, cpu_s, sizes)


def _against_truth(
    head: str, chance: np.ndarray, real: np.ndarray, label: np.ndarray
) -> dict[str, float]:
    """Calibration and order of `chance` (n,) against the `real` chances, and AUC on the draws."""
    slope, intercept = shops.calibration_line(chance, real)
    return {
        f"{head}/slope": slope,
        f"{head}/intercept": intercept,
        f"{head}/ece": expected_calibration_error(chance, real),
        f"{head}/rank": shops.rank_correlation(chance, real),
        f"{head}/expected auc": shops.expected_auc(chance, real),
        f"{head}/auc": auc(chance, label),
    }


def spread(values: list[float]) -> tuple[float, float]:
    """Mean and standard error of the mean over seeds."""
    return float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(len(values)))
