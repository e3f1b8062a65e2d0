"""How good the chances of a shopper's next steps are, step by step.

`chances` is (n, U, O), each row of O summing to 1, and `kinds` (n, U) the outcomes that came, as
whole numbers; the last outcome is to leave, after which every step is leaving too.
Next: ``bootstrap.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.metrics.probability import expected_calibration_error

NUM_STEPS = 5
KINDS = ("view", "click", "cart", "purchase", "return")
OUTCOMES = (*KINDS, "leave")
"""What a step may be; its number is its place here."""
LEAVE = len(KINDS)
ASKED = ("kind", "days", "category")
STEP_LABELS = tuple(f"{what}_{n}" for what in ASKED for n in range(1, NUM_STEPS + 1))
"""Columns of what came next: an outcome, days from asking to it, number of its category."""
_TINY = 1e-15
STEP_METRICS = ("log_loss", "accuracy", "macro_f1", "ece")


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What a model or a floor says of the next steps of n shoppers."""

    kinds: np.ndarray
    """(n, U, O), chances."""
    days: np.ndarray
    """(n, U), from asking to the step, if it comes."""
    categories: np.ndarray
    """(n, U, C), chances of the step's category, if it comes."""


def step_metrics(chances: np.ndarray, kinds: np.ndarray) -> dict[str, float]:
    """By name the mean over steps of each metric, then each step's own as ``step_1/log_loss``."""
    by_step = [
        _metrics(chances[:, step], kinds[:, step].astype(np.int64))
        for step in range(kinds.shape[1])
    ]
    found = {name: float(np.mean([one[name] for one in by_step])) for name in STEP_METRICS}
    for number, one in enumerate(by_step, 1):
        found |= {f"step_{number}/{name}": value for name, value in one.items()}
    return found


def _metrics(chances: np.ndarray, kind: np.ndarray) -> dict[str, float]:
    """Of one step: `chances` (n, O), `kind` (n,)."""
    called = chances.argmax(axis=1)
    of_truth = np.clip(chances[np.arange(len(kind)), kind].astype(np.float64), _TINY, 1.0)
    right = called == kind
    return {
        "log_loss": float(-np.log(of_truth).mean()),
        "accuracy": float(right.mean()),
        "macro_f1": macro_f1(called, kind, chances.shape[1]),
        "ece": expected_calibration_error(chances.max(axis=1), right.astype(np.float64)),
    }


def macro_f1(called: np.ndarray, kind: np.ndarray, num_outcomes: int) -> float:
    """Mean over the outcomes that came or were called of 2 both / (called + came)."""
    both = np.bincount(kind[called == kind], minlength=num_outcomes)
    sizes = np.bincount(called, minlength=num_outcomes) + np.bincount(kind, minlength=num_outcomes)
    return float((2.0 * both[sizes > 0] / sizes[sizes > 0]).mean()) if len(kind) else float("nan")


def time_error(days: np.ndarray, real: np.ndarray) -> float:
    """Median of |days - real| (n, U) over the steps that came (`real` not NaN), in days."""
    came = ~np.isnan(real)
    return float(np.median(np.abs(days - real)[came])) if came.any() else float("nan")


def hit_rate(chances: np.ndarray, real: np.ndarray) -> float:
    """Share of steps of known category (`real` (n, U), NaN elsewhere) whose category comes first.

    `chances` is (n, U, C), or any score that is greatest for the likeliest.
    """
    known = ~np.isnan(real)
    called = chances.argmax(axis=2)
    return float((called[known] == real[known]).mean()) if known.any() else float("nan")
