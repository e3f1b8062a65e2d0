"""What a treatment changes, for whom, and how well that is known: learners beside their floors.

Every score of a row comes from models that did not see it. Next: ``uplift_page.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from training.benchmarks.treatments import Question, Table
from training.effects import LEARNERS, Log
from training.effects.average import Effect, average_effects
from training.effects.base import BASES
from training.effects.crossfit import cross_fit
from training.effects.outcomes import outcome_model
from training.effects.overlap import LEAST_CHANCE, Reach, check_overlap
from training.effects.pseudo import pseudo_outcomes
from training.effects.targeting import Gain, best_actions, gain
from training.metrics.uplift import Ranked, qini_gain
from training.metrics.uplift_draws import Drawn, Trial, measure

AVERAGE, RANDOM = "average effect", "random"
"""The floors: the same effect for all, and an order by chance."""
SHARES = (0.1, 0.3, 1.0)
"""Of the rows that are treated at most, the greatest expected profits first."""
QUARTERS = ("lowest quarter", "second", "third", "highest quarter")
NUM_POINTS = 200
"""Of a curve on the page."""
Line = tuple[np.ndarray, np.ndarray]
"""A curve's places and heights."""


@dataclass(frozen=True, slots=True)
class Uplift:
    """All that is told of a table."""

    table: Table
    reaches: list[Reach]
    effects: list[Effect]
    """Of everybody."""
    differences: dict[str, float]
    """By arm: its mean outcome minus that of the control, rows weighed by 1 / propensity."""
    segments: dict[str, list[Effect]]
    metrics: dict[str, dict[str, dict[str, Drawn]]]
    """By arm, score and metric."""
    curves: dict[str, dict[str, Line]]
    """By arm and score: share of rows, and outcomes gained for each 1,000 rows (Qini curve)."""
    quarters: list[Effect]
    """Effects by quarters of what the first learner expects."""
    gains: list[tuple[str, Gain]]
    """Profit per row above doing nothing, by way of treating."""


def uplift(
    table: Table, question: Question, tell: Callable[[str], None] = lambda _: None
) -> Uplift:
    """Ask the table; `tell` hears of each learner before it begins.

    Raises
    ------
    ValueError
        When there is no overlap, with the numbers.
    """
    reaches = check_overlap(table.log, table.chances)
    log, q, users = _bounded(table.log), question, table.users
    rng = np.random.default_rng(q.seed)
    tell("average effects")
    base = BASES[q.bases[0]]
    means = cross_fit(log, lambda rest: outcome_model(rest, base), rng, users=users)
    pseudo = pseudo_outcomes(log, means)
    scores = {}
    for learner in q.learners:
        for name in q.bases:
            tell(f"{learner}, {name}")
            scores[f"{learner}, {name}"] = _effects(log, learner, name, q, users)
    tell("intervals")
    metrics, curves = _by_arm(log, scores, table, q)

    def averages(labels: np.ndarray | None = None) -> list[Effect]:
        return average_effects(log, pseudo, labels, users=users)

    return Uplift(
        table,
        reaches,
        averages(),
        _differences(log),
        {name: averages(labels) for name, labels in table.segments.items()},
        metrics,
        curves,
        _quarters(log, averages, next(reversed(scores.values()))),
        _gains(log, scores, pseudo, q, users),
    )


def _bounded(log: Log) -> Log:
    """Few rows with hardly a chance must not outweigh all others."""
    least = np.maximum(log.propensity, LEAST_CHANCE)
    return Log(log.features, log.action, log.outcome, least, log.actions)


def _differences(log: Log) -> dict[str, float]:
    """Plain differences of means, each arm's minus the control's."""
    means = [
        float(np.average(log.outcome[own], weights=1 / log.propensity[own]))
        for own in (log.action == number for number in range(len(log.actions)))
    ]
    return {arm: mean - means[0] for arm, mean in zip(log.actions[1:], means[1:], strict=True)}


def _effects(
    log: Log, learner: str, base: str, q: Question, users: np.ndarray | None
) -> np.ndarray:
    """Cross-fitted effects (n, A), the mean over seeds."""

    def once(seed: int) -> np.ndarray:
        rng = np.random.default_rng(seed)
        fit = LEARNERS[learner]
        return cross_fit(log, lambda rest: fit(rest, BASES[base], rng), rng, users=users)

    return np.asarray(np.mean([once(q.seed + number) for number in range(q.num_seeds)], axis=0))


def _by_arm(
    log: Log, scores: Mapping[str, np.ndarray], table: Table, q: Question
) -> tuple[dict[str, dict[str, dict[str, Drawn]]], dict[str, dict[str, Line]]]:
    """Metrics and Qini curves, each arm held against the control."""
    metrics, curves = {}, {}
    for number, arm in enumerate(log.actions[1:], start=1):
        rows = np.flatnonzero((log.action == 0) | (log.action == number))
        asked = {name: effects[rows, number] for name, effects in scores.items()}
        chance = np.random.default_rng(q.seed).random(len(rows))
        asked |= {AVERAGE: np.zeros(len(rows)), RANDOM: chance}
        given = None if table.is_constant else log.propensity[rows]
        users = None if table.users is None else table.users[rows]
        trial = Trial(log.outcome[rows], log.action[rows] == number, given, users)
        metrics[arm] = measure(asked, trial, num_bootstrap=q.num_bootstrap, seed=q.seed)
        curves[arm] = {name: _curve(score, trial) for name, score in asked.items()}
    return metrics, curves


def _curve(score: np.ndarray, trial: Trial) -> Line:
    sums = Ranked.by(score, trial.outcome, trial.treated, trial.propensity).sums()
    gained = 1_000 * qini_gain(sums) / sums.num_treated[-1]
    share = sums.num / sums.num[-1]
    places = np.unique(np.linspace(0, len(share) - 1, NUM_POINTS).round().astype(int))
    return share[places], gained[places]


def _quarters(
    log: Log, averages: Callable[[np.ndarray], list[Effect]], effects: np.ndarray
) -> list[Effect]:
    """What really happens in quarters of each arm's expected effect."""
    found = []
    for number, arm in enumerate(log.actions[1:], start=1):
        place = np.argsort(np.argsort(effects[:, number], kind="stable"), kind="stable")
        labels = np.array([f"{i}" for i in range(4)])[4 * place // len(place)]
        found += [one for one in averages(labels) if one.action == arm]
    return found


def _gains(
    log: Log,
    scores: Mapping[str, np.ndarray],
    pseudo: np.ndarray,
    q: Question,
    users: np.ndarray | None,
) -> list[tuple[str, Gain]]:
    """Profit of treating everybody alike, and of treating the first by each learner."""
    costs = np.array([q.costs.get(arm, 0.0) for arm in log.actions])
    earned = q.value * pseudo - costs
    found = []
    for number, arm in enumerate(log.actions[1:], start=1):
        everybody = np.full(len(pseudo), number)
        found.append((f"everybody gets {arm}", gain(everybody, earned, users)))
    for name, effects in scores.items():
        for share in SHARES:
            chosen = best_actions(q.value * effects - costs, share)
            found.append((f"{name}: at most {share:.0%}", gain(chosen, earned, users)))
    return found
