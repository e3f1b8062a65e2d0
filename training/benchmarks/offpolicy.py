"""What other policies would have earned, from a user's own log: every estimator, or a refusal.

Next: ``offpolicy_page.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from training.benchmarks.table import (
    Features,
    read_arms,
    read_features,
    read_numbers,
    read_propensities,
    read_users,
)
from training.effects.base import BASES, Base
from training.effects.crossfit import NUM_FOLDS, folds
from training.metrics.offpolicy.estimates import Estimate, Evaluation, estimate, evaluate_policy
from training.own_table import check_columns, open_table

MAX_ACTIONS = 500
UNIFORM = "uniform"
ALWAYS = "always "
"""Before the name of the one action that a policy takes."""
BEST = "doubly_robust"
"""The estimator that the first line of the report goes by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Which column is what, and which policies are asked about."""

    action: str
    reward: str
    propensity: str
    user: str | None = None
    policies: tuple[str, ...] = ()
    """Beginnings of columns: PREFIX before the name of an action holds its chance."""
    features: tuple[str, ...] | None = None
    base: str = "boosting"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.base not in BASES:
            raise ValueError(f"there is no base {self.base!r}; choose from {list(BASES)}")


@dataclass(frozen=True, slots=True)
class Table:
    """A user's log of n decisions among A actions, read."""

    names: tuple[str, ...]
    """Of the actions."""
    action: np.ndarray
    reward: np.ndarray
    propensity: np.ndarray
    features: Features | None
    given: dict[str, np.ndarray]
    """Policies (n, A) that the user has in columns."""
    notes: tuple[str, ...]
    users: np.ndarray | None = None
    """Whose decision each was, (n,)."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One policy, what it would have earned, and its lead over what the log earned."""

    name: str
    evaluation: Evaluation
    lead: Estimate


@dataclass(frozen=True, slots=True)
class OffPolicy:
    """All that is told of a log."""

    table: Table
    earned: Estimate
    """What the log itself earned, per decision."""
    judged: list[Judged]

    @property
    def told(self) -> list[Judged]:
        """Those that the log can judge, the surest first: by the lower end of their lead."""
        able = [one for one in self.judged if not one.evaluation.refusals]
        return sorted(able, key=lambda one: -one.lead.low)


def read(path: Path, question: Question) -> Table:
    """The log with its columns checked.

    Raises
    ------
    ValueError
        When the file or a column cannot be what it is said to be.
    """
    frame, q = open_table(path), question
    roles = [q.action, q.reward, q.propensity, *filter(None, [q.user])]
    check_columns(frame, roles, path.name)
    if len(set(roles)) < len(roles):
        raise ValueError(f"one column has two parts among {roles}; name a different one for each")
    done = read_arms(frame, q.action, MAX_ACTIONS)
    given = {}
    columns = list(roles)
    names = np.array(sorted(set(done), key=_order))
    place = {name: number for number, name in enumerate(names)}
    action = np.array([place[name] for name in done])
    for prefix in q.policies:
        extra = [one.removeprefix(prefix) for one in frame.columns if one.startswith(prefix)]
        if unseen := sorted(set(extra) - set(names)):
            raise ValueError(
                f"columns {prefix}… name {unseen[0]!r}, which was never done; the actions are "
                f"{', '.join(names)}"
            )
        given[prefix] = _policy(frame, prefix, names)
        columns += [f"{prefix}{name}" for name in extra]
    features, notes = _features(frame, q, columns, path.name)
    return Table(
        tuple(map(str, names)),
        action,
        read_numbers(frame, q.reward, "reward"),
        read_propensities(frame, q.propensity),
        features,
        given,
        notes,
        read_users(frame, q.user),
    )


def off_policy(
    table: Table, question: Question, tell: Callable[[str], None] = lambda _: None
) -> OffPolicy:
    """Ask every estimator about every policy; `tell` hears of each before it begins."""
    tell("a model of the reward")
    model = reward_model(table, BASES[question.base], question.seed)
    judged = []
    for name, target in policies(table):
        tell(name)
        logged = (table.reward, table.action, table.propensity)
        found = evaluate_policy(*logged, target, model, users=table.users)
        lead = estimate(found.estimates[BEST].influence - table.reward, users=table.users)
        judged.append(Judged(name, found, lead))
    return OffPolicy(table, estimate(table.reward, users=table.users), judged)


def policies(table: Table) -> Iterator[tuple[str, np.ndarray]]:
    """The user's own, even chances, and each action always: names with chances (n, A)."""
    num, num_actions = len(table.action), len(table.names)
    yield from table.given.items()
    yield UNIFORM, np.full((num, num_actions), 1 / num_actions)
    for number, name in enumerate(table.names):
        yield f"{ALWAYS}{name}", np.tile(np.eye(num_actions)[number], (num, 1))


def reward_model(table: Table, base: Base, seed: int) -> np.ndarray:
    """Mean rewards (n, A) of every action, by one model that did not see the row."""
    num_actions = len(table.names)
    known = np.zeros((len(table.action), 0)) if table.features is None else table.features.values
    place = folds(table.action, NUM_FOLDS, np.random.default_rng(seed), table.users)
    found = np.empty((len(known), num_actions))
    for fold in range(NUM_FOLDS):
        asked = place == fold
        seen = _with_action(known[~asked], table.action[~asked], num_actions)
        model = base(seen, table.reward[~asked])
        for number in range(num_actions):
            same = np.full(int(asked.sum()), number)
            found[asked, number] = model(_with_action(known[asked], same, num_actions))
    return found


def _order(name: str) -> tuple[int, str]:
    """Whole numbers by their size, then words."""
    return (int(name), "") if name.isdecimal() else (10**20, name)


def _with_action(features: np.ndarray, action: np.ndarray, num_actions: int) -> np.ndarray:
    """Features with a column of 0 and 1 for each action, (n, d + A)."""
    return np.column_stack([features, action[:, None] == np.arange(num_actions)])


def _features(
    frame: pl.DataFrame, q: Question, taken: Sequence[str], name: str
) -> tuple[Features | None, tuple[str, ...]]:
    """What the model of the reward knows of a row; a log of nothing else has none."""
    if q.features is None and set(frame.columns) <= set(taken):
        return None, ("No other column: the model of the reward knows the action alone.",)
    found = read_features(frame, q.features, taken, q.reward, name)
    return found, (*found.notes, f"The reward's model knows: {', '.join(found.columns)}.")


def _policy(frame: pl.DataFrame, prefix: str, names: np.ndarray) -> np.ndarray:
    """Chances (n, A) from the columns PREFIX + action.

    Raises
    ------
    ValueError
        When one is missing, or a row does not sum to 1.
    """
    columns = [f"{prefix}{name}" for name in names]
    check_columns(frame, columns, f"policy {prefix!r}")
    found = np.column_stack([read_numbers(frame, one, "chance") for one in columns])
    wrong = (np.abs(found.sum(axis=1) - 1) > 1e-4) | (found < 0).any(axis=1)
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"policy {prefix!r} is none in {int(wrong.sum()):,} of {len(found):,} rows: in row "
            f"{first + 1:,} its chances sum to {found[first].sum():g}; they are at least 0 and "
            "sum to 1"
        )
    return np.asarray(found / found.sum(axis=1, keepdims=True))
