"""What was decided, with which chances, and what came of it: the log that policies learn from.

By intention to treat: the reward of a decision is what the shopper bought in the window after it,
whether or not a purchase cites the decision, less what its action cost. Features are those known at
the moment of deciding. Next: ``training/learn.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from feature_repo.ledger import NOTHING, Decision, Ledger
from feature_repo.retrieval import point_in_time, schema
from feature_repo.settings import DAY, Settings
from feature_repo.warehouse import Warehouse
from training.policies.inputs import NUMERIC, Floats

MICROS = 1_000_000
FLOOR = 0.05
"""Least chance that learning believes; judging takes chances as they were."""
NUM_PARTS = 5
"""Parts of the shoppers: what is learnt without one of them can be judged by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionLog:
    """Decisions with a choice whose window has closed: n of them, A actions, in order of time.

    A choice is where at least two actions had a chance: of holdouts, and of those whom the limits
    left nothing, every policy says the same.
    """

    actions: tuple[str, ...]
    """The first is "nothing"."""
    told: dict[str, Floats]
    """Numeric features as known then, and the heads' scores as answered then, each (n,)."""
    chances: Floats
    """(n, A) from which each was drawn; 0 for what was not allowed."""
    action: NDArray[np.int64]
    """(n,)"""
    purchased: Floats
    """(n,), 1 where the shopper bought within the window."""
    spent: Floats
    """(n,), spent less returned within the window, base currency."""
    spent_until_next: Floats
    """(n,), spent less returned until the shopper's next decision."""
    cost: Floats
    """(n,), what the action reserved, base currency."""
    users: NDArray[np.str_]
    decided_at: NDArray[np.int64]
    policies: NDArray[np.str_]
    """Name and version of the policy that decided, (n,)."""
    margin: float = 1.0
    """Share of revenue that is profit."""
    num_daily: float = 1.0
    """Decisions of a day, those without a choice too."""

    @property
    def reward(self) -> Floats:
        """Profit of the window (n,), after the action's cost."""
        return self.margin * self.spent - self.cost

    @property
    def propensity(self) -> Floats:
        """Chance (n,) of what was done."""
        return self.chances[np.arange(len(self.action)), self.action]

    @property
    def learning_propensity(self) -> Floats:
        """The same, never under `FLOOR`: what is rare must not outweigh what is learnt."""
        return np.maximum(self.propensity, FLOOR)

    @property
    def part(self) -> NDArray[np.int64]:
        """Which of `NUM_PARTS` (n,) each row's shopper is of, by the id alone: always the same."""
        drawn = [hashlib.sha256(f"judge\0{user}".encode()).digest()[:4] for user in self.users]
        return np.array([int.from_bytes(one, "big") % NUM_PARTS for one in drawn], dtype=np.int64)

    def take(self, rows: NDArray) -> DecisionLog:
        """Some rows, by number or by a mask."""
        alone = {"actions", "told", "margin", "num_daily"}
        names = [one.name for one in fields(self) if one.name not in alone]
        some = {name: getattr(self, name)[rows] for name in names}
        return replace(self, told={n: column[rows] for n, column in self.told.items()}, **some)

    def among(self, actions: Sequence[str]) -> DecisionLog:
        """The rows with one of `actions`, as if only these had been there to choose from."""
        numbers = [self.actions.index(action) for action in actions]
        kept = self.take(np.isin(self.action, numbers))
        chances = kept.chances[:, numbers]
        chances = chances / np.maximum(chances.sum(axis=1, keepdims=True), 1e-12)
        place = {number: at for at, number in enumerate(numbers)}
        action = np.array([place[int(one)] for one in kept.action], dtype=np.int64)
        return replace(kept, actions=tuple(actions), chances=chances, action=action)

    def matrix(self, names: Sequence[str]) -> Floats:
        """The columns `names`, (n, inputs)."""
        if missing := [name for name in names if name not in self.told]:
            raise ValueError(f"the log does not tell {missing}; it tells {sorted(self.told)}")
        columns = [self.told[name] for name in names]
        return np.column_stack(columns) if columns else np.zeros((len(self.action), 0))


def read_log(
    settings: Settings,
    *,
    as_of: int,
    window: int,
    campaign: str = "default",
    service: str = "shopper",
    margin: float = 1.0,
) -> DecisionLog:
    """The decisions of a campaign whose window has closed by `as_of`, microseconds as `window` is.

    Raises
    ------
    ValueError
        When there is none.
    """
    warehouse = Warehouse(settings.warehouse)
    every = Ledger(warehouse).decisions(limit=None, kind="decide")[::-1]
    made = [one for one in every if one.campaign_id == campaign and one.decided_at < as_of]
    closed = [one for one in made if one.decided_at + window <= as_of and _is_choice(one)]
    if not closed:
        raise ValueError(
            f"campaign {campaign!r} has {len(made):,} decisions, and none with a choice whose "
            f"window of {window / DAY:g} days has closed; wait, take a shorter window, or serve a "
            "policy with epsilon above 0"
        )
    named = {action for one in closed for action, chance in one.probabilities.items() if chance > 0}
    actions = (NOTHING, *sorted(named - {NOTHING}))
    users = np.array([one.user_id for one in closed])
    at = np.array([one.decided_at for one in closed], dtype=np.int64)
    events = warehouse.events(
        kinds=["purchase", "return"], known_from=int(at.min()), known_before=as_of
    )
    spent, orders = _sums(events, users, at, at + window)
    return DecisionLog(
        actions=actions,
        told=_scores(closed) | _features(users, at, service, settings),
        chances=np.array([[one.probabilities.get(a, 0.0) for a in actions] for one in closed]),
        action=np.array([actions.index(str(one.action)) for one in closed], dtype=np.int64),
        purchased=(orders > 0).astype(float),
        spent=spent,
        spent_until_next=_sums(events, users, at, _next(users, at, at + window))[0],
        cost=np.array([one.cost_micros / MICROS for one in closed]),
        users=users,
        decided_at=at,
        policies=np.array([str(one.policy) for one in closed]),
        margin=margin,
        num_daily=len(made) / max(1, len({one.decided_at // DAY for one in made})),
    )


def _is_choice(one: Decision) -> bool:
    return sum(chance > 0 for chance in one.probabilities.values()) > 1


def _scores(closed: Sequence[Decision]) -> dict[str, Floats]:
    heads = sorted({head for one in closed for head in one.scores})
    return {h: np.array([float(one.scores.get(h, np.nan)) for one in closed]) for h in heads}


def _features(
    users: NDArray[np.str_], at: NDArray[np.int64], service: str, settings: Settings
) -> dict[str, Floats]:
    """Numeric features as they were known strictly before each decision; NaN is unknown."""
    names = [name for name, kind in schema(service, settings).items() if kind in NUMERIC]
    asked = pl.Series(at).cast(pl.Datetime("us", "UTC"))
    spine = pl.DataFrame({"user_id": users.tolist(), "event_timestamp": asked})
    table = point_in_time(spine, service, settings).select(pl.col(names).cast(pl.Float64))
    return {name: table[name].fill_null(np.nan).to_numpy() for name in names}


def _next(
    users: NDArray[np.str_], at: NDArray[np.int64], ends: NDArray[np.int64]
) -> NDArray[np.int64]:
    """When each one's shopper was decided about again; its window's end for the last."""
    found = ends.copy()
    later: dict[str, int] = {}
    for row in range(len(users) - 1, -1, -1):
        found[row] = later.get(users[row], ends[row])
        later[users[row]] = at[row]
    return found


def _sums(
    events: pl.DataFrame,
    users: NDArray[np.str_],
    after: NDArray[np.int64],
    before: NDArray[np.int64],
) -> tuple[Floats, Floats]:
    """Spent less returned, and lines bought, of each shopper strictly between two moments."""
    value = pl.col("price_micros").fill_null(0) * pl.col("quantity").fill_null(1) / MICROS
    bought = pl.col("kind") == "purchase"
    lines = events.select(
        "user_id", "event_at", value=pl.when(bought).then(value).otherwise(-value), bought=bought
    ).sort("event_at")
    known = {}
    for (user,), own in lines.group_by("user_id", maintain_order=True):
        sums = own.select(pl.col("value", "bought").cast(pl.Float64).cum_sum()).to_numpy()
        known[user] = (own["event_at"].to_numpy(), np.vstack([np.zeros(2), sums]))
    found = np.zeros((len(users), 2))
    for row, user in enumerate(users):
        if user in known:
            times, sums = known[user]
            first = np.searchsorted(times, after[row], side="right")
            last = np.searchsorted(times, before[row], side="left")
            found[row] = sums[max(first, last)] - sums[first]
    return found[:, 0], found[:, 1]
