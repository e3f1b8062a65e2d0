"""A user's own table of treatments: the question, its columns, and the chances of each row.

Next: ``uplift.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from training.benchmarks.table import (
    read_arms,
    read_features,
    read_numbers,
    read_propensities,
    read_users,
)
from training.effects import LEARNERS, Log
from training.effects.base import BASES
from training.effects.propensities import estimated, foretold, shares
from training.own_table import check_columns, control_first, open_table

MAX_ARMS = 20
MAX_SEGMENTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which column is what, what it earns and costs, and how it is asked."""

    treatment: str
    outcome: str
    propensity: str | None = None
    user: str | None = None
    control: str | None = None
    features: tuple[str, ...] | None = None
    segments: tuple[str, ...] = ()
    value: float = 1.0
    """Of one outcome."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Of treating a row, by arm; 0 where not named."""
    learners: tuple[str, ...] = tuple(LEARNERS)
    bases: tuple[str, ...] = ("linear", "boosting")
    seed: int = 0
    num_seeds: int = 1
    """Cross-fittings, each with its own folds; effects are their means."""
    num_bootstrap: int = 200

    def __post_init__(self) -> None:
        for what, names, known in (
            ("learner", self.learners, LEARNERS),
            ("base", self.bases, BASES),
        ):
            if unknown := [name for name in names if name not in known]:
                raise ValueError(f"there is no {what} {unknown[0]!r}; choose from {list(known)}")


@dataclass(frozen=True, slots=True)
class Table:
    """A user's table, read."""

    log: Log
    is_constant: bool
    """Whether everybody had the same chances."""
    chances: np.ndarray | None
    """(n, A) of all actions, where they were estimated."""
    segments: dict[str, np.ndarray]
    notes: tuple[str, ...]
    users: np.ndarray | None = None
    """Whose row each is, (n,)."""


def read(path: Path, question: Question) -> Table:
    """The table with its columns checked.

    Raises
    ------
    ValueError
        When the file or a column cannot be what it is said to be.
    """
    frame, q = open_table(path), question
    roles = [q.treatment, q.outcome, *filter(None, [q.propensity, q.user])]
    check_columns(frame, (*roles, *q.segments), path.name)
    if len(set(roles)) < len(roles):
        raise ValueError(f"one column has two parts among {roles}; name a different one for each")
    done = read_arms(frame, q.treatment, MAX_ARMS)
    outcome = read_numbers(frame, q.outcome, "outcome")
    if outcome.min() == outcome.max():
        raise ValueError(
            f"column {q.outcome!r} is {outcome[0]:g} in all rows, so nothing can change "
            "it; name another, or add rows"
        )
    features = read_features(frame, q.features, roles, q.outcome, path.name)
    arms = control_first(sorted(set(done)), q.control)
    action = np.searchsorted(sorted(arms), done)
    action = np.array([arms.index(arm) for arm in sorted(arms)])[action]
    propensity = read_propensities(frame, q.propensity) if q.propensity else None
    log, chances, notes = _with_chances(features.values, action, outcome, propensity, arms, q.seed)
    return Table(
        log,
        propensity is None and chances is None,
        chances,
        {name: _labels(frame[name], path.name) for name in q.segments},
        (*features.notes, f"Features: {', '.join(features.columns)}.", *notes),
        read_users(frame, q.user),
    )


def with_costs(question: Question, texts: Sequence[str], arms: Sequence[str]) -> Question:
    """The question with costs of treating, given as ``0.5`` (of each) or ``ARM=0.5``.

    Raises
    ------
    ValueError
        When one is no number at least 0, or of no treatment in `arms`.
    """
    costs = dict(question.costs)
    for text in texts:
        arm, _, amount = text.rpartition("=")
        try:
            cost = float(amount)
        except ValueError:
            cost = -1.0
        if not 0 <= cost < np.inf or arm not in ("", *arms):
            raise ValueError(
                f"--cost {text!r} is none; write 0.5 for all, or TREATMENT=0.5 of one of "
                f"{', '.join(arms)}"
            )
        costs |= dict.fromkeys([arm] if arm else arms, cost)
    return replace(question, costs=costs)


def _with_chances(
    features: np.ndarray,
    action: np.ndarray,
    outcome: np.ndarray,
    propensity: np.ndarray | None,
    arms: tuple[str, ...],
    seed: int,
) -> tuple[Log, np.ndarray | None, list[str]]:
    """The log with logged chances, shares, or estimated ones where features foretell the action."""
    if propensity is not None:
        _check_weights(propensity, action, arms)
        return Log(features, action, outcome, propensity, arms), None, ["Propensities are logged."]
    rows = np.arange(len(action))
    even = shares(action, len(arms))
    log = Log(features, action, outcome, even[rows, action], arms)
    told = foretold(features, action, len(arms), np.random.default_rng(seed))
    if not told:
        return log, None, ["Nothing foretells who was treated, so chances are the arms' shares."]
    chances = estimated(features, action, len(arms), np.random.default_rng(seed))
    found = ", ".join(f"{arms[number]!r} (AUC {value:.2f})" for number, value in told.items())
    warning = (
        f"NOT DRAWN AT RANDOM: features foretell {found}. Chances are estimated from them, and "
        "effects are right only if nothing else decided who was treated."
    )
    least = np.maximum(chances[rows, action], 1e-6)
    return Log(features, action, outcome, least, arms), chances, [warning]


def _check_weights(propensity: np.ndarray, action: np.ndarray, arms: Sequence[str]) -> None:
    """1 / propensity of an arm's rows, over all rows, averages 1 where they are what was used."""
    for number, arm in enumerate(arms):
        weight = (action == number) / propensity
        off, error = abs(weight.mean() - 1.0), weight.std() / np.sqrt(len(weight))
        if off > max(0.02, 4.0 * error):
            raise ValueError(
                f"rows with {arm!r} weigh {weight.mean():.3f} ± {error:.3f} by their propensities "
                "and should weigh 1; the column must hold the chance of what was done in the row, "
                "in rows of the control that of the control"
            )


def _labels(column: pl.Series, name: str) -> np.ndarray:
    """Text (n,) of a segment column, in quarters where it holds many numbers."""
    if column.dtype.is_numeric() and column.n_unique() > MAX_SEGMENTS:
        column = column.qcut(4, allow_duplicates=True)
    if (num := column.n_unique()) > MAX_SEGMENTS:
        raise ValueError(
            f"segment column {column.name!r} of {name} has {num:,} different values; give one with "
            f"{MAX_SEGMENTS} at most, such as bands of it"
        )
    return np.asarray(column.cast(pl.String).fill_null("unknown").to_numpy()).astype(str)
