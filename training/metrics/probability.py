"""How good predicted probabilities are: order, sharpness, calibration, and decisions from them.

`probability` is (n,) in [0, 1] and `label` (n,) of 0 and 1 everywhere. What is not defined, such as
the AUC of one class, is NaN and not a made-up number. Next: ``bootstrap.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

_TINY = 1e-15


@dataclass(frozen=True, slots=True)
class Bins:
    """A reliability curve: per bin its `count`, mean `predicted` and `observed` rate, (bins,).

    Mean and rate are NaN where a bin is empty.
    """

    count: np.ndarray
    predicted: np.ndarray
    observed: np.ndarray


def auc(probability: np.ndarray, label: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a random positive scores above a random negative.

    (R - m (m + 1) / 2) / (m (n - m)) with R the sum of the mid-ranks of the m positives; ties count
    one half (Hanley and McNeil, 1982). NaN when one class is missing.
    """
    positives = int(label.sum())
    negatives = len(label) - positives
    if not positives or not negatives:
        return float("nan")
    _, inverse, counts = np.unique(probability, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2
    rank_sum = middle[inverse][label == 1].sum()
    return float((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))


def roc_curve(probability: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rates, one point per distinct probability, from (0, 0) to (1, 1)."""
    order = np.argsort(-probability, kind="stable")
    last = np.append(np.flatnonzero(np.diff(probability[order])), len(order) - 1)
    true = np.cumsum(label[order] == 1)[last] / max((label == 1).sum(), 1)
    false = np.cumsum(label[order] != 1)[last] / max((label != 1).sum(), 1)
    return np.append(0.0, false), np.append(0.0, true)


def log_loss(probability: np.ndarray, label: np.ndarray) -> float:
    """Mean of -log p(label) in nats, probabilities kept 1e-15 away from 0 and 1."""
    p = np.clip(probability.astype(np.float64), _TINY, 1 - _TINY)
    return float(-np.where(label == 1, np.log(p), np.log1p(-p)).mean())


def brier(probability: np.ndarray, label: np.ndarray) -> float:
    """Mean squared distance of probability and label (Brier, 1950)."""
    return float(np.mean((probability - label) ** 2))


def at_threshold(probability: np.ndarray, label: np.ndarray, threshold: float) -> dict[str, float]:
    """Accuracy, precision, recall and F1 when `probability` >= `threshold` counts as a yes.

    Precision and F1 are 0 when nothing is called a yes, recall and F1 when nothing is one.
    """
    yes, truth = probability >= threshold, label == 1
    both, called, real = (yes & truth).sum(), yes.sum(), truth.sum()
    return {
        "accuracy": float((yes == truth).mean()),
        "precision": float(both / called) if called else 0.0,
        "recall": float(both / real) if real else 0.0,
        "f1": float(2 * both / (called + real)) if called + real else 0.0,
    }


def best_f1_threshold(probability: np.ndarray, label: np.ndarray) -> float:
    """The threshold with the highest F1; of equals, the highest. Choose it on validation only.

    Midway between two neighbouring probabilities, so that it does not sit on an example.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order].astype(np.float64)
    both = np.cumsum(label[order] == 1)
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
    f1 = 2 * both[last] / (last + 1 + max(both[-1], 1))
    best = int(last[np.argmax(f1)])
    following = ranked[best + 1] if best + 1 < len(ranked) else ranked[best]
    return float((ranked[best] + following) / 2)


def reliability_bins(probability: np.ndarray, label: np.ndarray, num_bins: int = 10) -> Bins:
    """Examples sorted into `num_bins` equally wide bins of probability; 1.0 is in the last."""
    place = np.minimum((probability * num_bins).astype(np.int64), num_bins - 1)
    count = np.bincount(place, minlength=num_bins)
    with np.errstate(invalid="ignore"):
        predicted = np.bincount(place, weights=probability, minlength=num_bins) / count
        observed = np.bincount(place, weights=label, minlength=num_bins) / count
    return Bins(count, predicted, observed)


def expected_calibration_error(
    probability: np.ndarray, label: np.ndarray, num_bins: int = 10
) -> float:
    """ECE = Σ_b (n_b / n) |observed_b - predicted_b| over equally wide bins (Guo et al., 2017)."""
    bins = reliability_bins(probability, label, num_bins)
    distance = np.abs(np.nan_to_num(bins.observed) - np.nan_to_num(bins.predicted))
    return float((bins.count * distance).sum() / bins.count.sum())


def probability_metrics(
    probability: np.ndarray, label: np.ndarray, threshold: float | None = None
) -> dict[str, float]:
    """All of the above by name. Rows whose label is NaN (not asked) are left out.

    With a `threshold` (chosen on validation), accuracy, precision, recall and F1 are added.
    """
    asked = ~np.isnan(label)
    probability, label = probability[asked], label[asked]
    found = {
        "auc": auc(probability, label),
        "log_loss": log_loss(probability, label),
        "brier": brier(probability, label),
        "ece": expected_calibration_error(probability, label),
    }
    return found | ({} if threshold is None else at_threshold(probability, label, threshold))
