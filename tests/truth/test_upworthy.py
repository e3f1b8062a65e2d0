"""Real experiments replayed: the impressions of two arms in random order, looked at 100 times.

Of each of the archive's tests the first two arms (their order is random). Given both arms' totals,
every order of their impressions is equally likely: that is what is drawn.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.truth.peeking import ALPHA
from training.metrics.experiment import confidence_sequence as sequence
from training.metrics.experiment import conversions
from training.metrics.experiment.effects import Effect, Sample, welch_p_value

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
ARMS = DATA / "upworthy_ab_arms" / "arms.parquet"
NUM_LOOKS, PLANNED, SEED = 100, 5_000, 7


@dataclass
class Replay:
    """At which look (1 to NUM_LOOKS) each way told a difference; 0 where it never did."""

    once: bool
    naive: int
    sequence: int
    exact: int


def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    """Impressions and clicks of two arms of every test."""
    frame = pl.read_parquet(ARMS).filter(pl.col("arm") < 2).sort("test_id", "arm")
    grouped = frame.group_by("test_id", maintain_order=True).agg("impressions", "clicks")
    return [(np.array(n), np.array(k)) for _, n, k in grouped.iter_rows() if len(n) == 2]


def replay(shown: np.ndarray, clicks: np.ndarray, rng: np.random.Generator) -> Replay:
    cells = np.array([shown[0] - clicks[0], clicks[0], shown[1] - clicks[1], clicks[1]])
    steps = np.diff(np.linspace(0, cells.sum(), NUM_LOOKS + 1).round().astype(int))
    told, left, seen = Replay(False, 0, 0, 0), cells.copy(), np.zeros(4, dtype=int)
    rho2 = sequence.tuning(PLANNED)
    share = float(shown[1] / shown.sum())
    for look, step in enumerate(steps, 1):
        drawn = rng.multivariate_hypergeometric(left, step)
        left, seen = left - drawn, seen + drawn
        exact = conversions.p_value(int(seen[1]), int(seen[3]), share)
        told.exact = told.exact or look * (exact <= ALPHA)
        ready = min(seen[1], seen[3]) >= sequence.FIRST_CHANGES
        if not ready or min(seen[:2].sum(), seen[2:].sum()) < sequence.FIRST_LOOK:
            continue
        found = _effect(seen)
        told.naive = told.naive or look * (welch_p_value(found) <= ALPHA)
        told.sequence = told.sequence or look * (sequence.p_value(found, rho2) <= ALPHA)
    told.once = welch_p_value(_effect(cells)) <= ALPHA
    return told


def _effect(cells: np.ndarray) -> Effect:
    arms = []
    for no, yes in (cells[:2], cells[2:]):
        num, mean = int(no + yes), yes / (no + yes)
        arms.append(Sample(num, float(mean), float(mean * (1 - mean) * num / (num - 1))))
    deviation = sum(arm.variance / arm.num for arm in arms) ** 0.5
    return Effect(arms[1].mean - arms[0].mean, deviation, *arms)


@pytest.mark.long
@pytest.mark.skipif(not ARMS.exists(), reason="the archive of experiments is not at hand")
def test_real_experiments_replayed():
    rng, every = np.random.default_rng(SEED), pairs()
    real = [replay(shown, clicks, rng) for shown, clicks in every]
    equal = []
    for shown, clicks in every:
        mixed = rng.multivariate_hypergeometric(
            [shown.sum() - clicks.sum(), clicks.sum()], shown[0]
        )
        equal.append(replay(shown, np.array([mixed[1], clicks.sum() - mixed[1]]), rng))
    once = np.array([one.once for one in real])
    print(f"\n{len(every):,} real pairs, told by one look at the end in {once.mean():.1%}")
    for name in ("sequence", "exact", "naive"):
        told = np.array([getattr(one, name) for one in real])
        both = (told > 0) & once
        false = np.mean([getattr(one, name) > 0 for one in equal])
        print(
            f"{name}: told in {np.mean(told > 0):.1%}, agrees in {np.mean((told > 0) == once):.1%}",
            f"of those told once {both.sum() / once.sum():.1%}, after a median of "
            f"{np.median(told[both]):.0f} % of the impressions; equal pairs {false:.2%}",
            sep="; ",
        )
    wrong = np.mean([one.once for one in equal])
    print(f"equal pairs, one look at the end: {wrong:.2%}")
    assert np.mean([one.sequence > 0 for one in equal]) <= ALPHA
    assert np.mean([one.exact > 0 for one in equal]) <= ALPHA
    assert np.mean([one.naive > 0 for one in equal]) > 2 * ALPHA
