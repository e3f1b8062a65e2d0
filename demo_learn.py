"""How ``demo_intervention.py`` makes its second policy: learnt from the ledger, and judged by it.

Every decision kept its probabilities, so two questions can be asked of the log: whom did an action
change, and what would another policy have earned? Next: ``demo_shop.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from demo_shop import ACTIONS, DISCOUNT, RESERVED, SENDING, VALUE
from feature_repo.ledger import Ledger
from feature_repo.retrieval import point_in_time
from feature_repo.settings import DAY, Settings, SystemClock, iso
from feature_repo.warehouse import Warehouse
from serving.promote import save_policy, store
from serving.settings import Promotion
from training.effects import Log, crossfit
from training.effects.base import linear
from training.effects.outcomes import outcome_model
from training.effects.pseudo import pseudo_outcomes
from training.metrics.offpolicy.estimates import Estimate, evaluate_policy
from training.policies import Budgeted, Context, Effects

CAMPAIGN, WINDOW_DAYS, MANY = "default", 5, 1_000_000
ESTIMATOR = "doubly_robust"
TOLERATED = 0.25
"""Profit a decision that a policy may surely not lose against the served one, to be promoted."""
INPUTS = (
    "mean_gap_days", "recency_days_purchase", "lateness", "num_orders", "average_order_value",
    "num_view_90d", "num_message_90d", "num_treatment_30d",
)  # fmt: skip
"""What the effects may depend on: few, since a log of some thousand decisions tells little."""


@dataclass(frozen=True, slots=True)
class Past:
    """Decisions whose window has closed, n of them, all actions allowed when they were made."""

    inputs: tuple[str, ...]
    features: np.ndarray
    """(n, inputs) as they were known then; NaN is unknown."""
    chances: np.ndarray
    """(n, A) from which each was drawn."""
    action: np.ndarray
    ordered: np.ndarray
    """Whether there was an order within the window."""
    users: np.ndarray
    decided_at: np.ndarray
    num_daily: float
    """Decisions of a day, with those for which the budget was gone."""

    @property
    def propensity(self) -> np.ndarray:
        """Chance of what was done."""
        return self.chances[np.arange(len(self.action)), self.action]

    @property
    def reward(self) -> np.ndarray:
        """Profit of the window, after what the action costs."""
        earned = self.ordered * (VALUE - DISCOUNT * (self.action == ACTIONS.index("coupon")))
        return earned - SENDING * (self.action > 0)

    def take(self, rows: np.ndarray) -> Past:
        """Some of them."""
        return replace(
            self,
            **{
                name: getattr(self, name)[rows]
                for name in ("features", "chances", "action", "ordered", "users", "decided_at")
            },
        )


@dataclass(frozen=True, slots=True)
class Judged:
    """What the log says of a policy beside the one that made it."""

    num_rows: int
    effective: float
    refusals: tuple[str, ...]
    own: Estimate
    served: Estimate
    lead: Estimate

    @property
    def passes(self) -> bool:
        """Whether it may act: the log can tell, and it surely loses no more than tolerated."""
        return not self.refusals and self.lead.value > 0 and self.lead.low > -TOLERATED


def past(settings: Settings) -> Past:
    """The log of this shop as training is told of it."""
    warehouse, now = Warehouse(settings.warehouse), SystemClock(settings.home).now()
    made = [one for one in Ledger(warehouse).decisions(limit=MANY) if one.kind == "decide"]
    num_days = len({one.decided_at // DAY for one in made})
    closed = [
        one
        for one in made
        if one.decided_at + WINDOW_DAYS * DAY <= now
        and all(one.probabilities.get(action, 0.0) > 0 for action in ACTIONS)
    ]
    if not closed:
        raise ValueError("no decision's window has closed yet; let some days pass")
    rows = pl.DataFrame(
        {
            "user_id": [one.user_id for one in closed],
            "event_timestamp": pl.Series([one.decided_at for one in closed]).cast(
                pl.Datetime("us", "UTC")
            ),
        }
    )
    table = point_in_time(rows, "shopper", settings).select(INPUTS)
    return Past(
        inputs=INPUTS,
        features=table.cast(pl.Float64).fill_null(np.nan).to_numpy(),
        chances=np.array([[one.probabilities[a] for a in ACTIONS] for one in closed]),
        action=np.array([ACTIONS.index(str(one.action)) for one in closed]),
        ordered=_ordered(closed, warehouse),
        users=np.array([one.user_id for one in closed]),
        decided_at=np.array([one.decided_at for one in closed]),
        num_daily=len(made) / num_days,
    )


def learn(log: Past, epsilon: float = 0.05) -> Budgeted:
    """The budgeted policy with effects of doubly robust pseudo-outcomes."""
    told, users = _told(log, log.ordered), log.users
    means = crossfit.cross_fit(told, _straight, np.random.default_rng(0), users=users)
    effects = Effects.fit(log.inputs, log.features, pseudo_outcomes(told, means), width=0)
    policy = Budgeted(
        actions=ACTIONS,
        effects=effects,
        value=VALUE,
        costs=dict.fromkeys(RESERVED, SENDING),
        discounts={"coupon": DISCOUNT},
        draws={CAMPAIGN: RESERVED},
        epsilon=epsilon,
    )
    fitted = policy.fit(_named(log), log.decided_at)
    return replace(fitted, num_daily=log.num_daily)


def judge(log: Past, budget: float) -> Judged:
    """What policies learnt from one half of the shoppers would have earned with the other half."""
    _, who = np.unique(log.users, return_inverse=True)
    half = (np.random.default_rng(1).random(who.max() + 1) < 0.5)[who]
    context = Context(budgets_left={CAMPAIGN: budget}, asked_at=int(log.decided_at.min()))
    target = np.empty_like(log.chances)
    for asked in (half, ~half):
        target[asked] = learn(log.take(~asked)).probabilities(_named(log.take(asked)), context)
    told, rng = _told(log, log.reward), np.random.default_rng(2)
    model = crossfit.cross_fit(told, _straight, rng, users=log.users)
    logged = (log.reward, log.action, log.propensity)
    own = evaluate_policy(*logged, target, model)
    served = evaluate_policy(*logged, log.chances, model)
    said, other = own.estimates[ESTIMATOR], served.estimates[ESTIMATOR]
    return Judged(
        num_rows=len(log.action),
        effective=own.support.effective,
        refusals=own.refusals,
        own=said,
        served=other,
        lead=said.minus(other),
    )


def keep(policy: Budgeted, settings: Settings) -> str:
    """The tag under which `policy` can be served."""
    with tempfile.TemporaryDirectory() as folder:
        return store(save_policy(Path(folder), policy, SystemClock(settings.home).now()))


def promote(tag: str, settings: Settings) -> None:
    """Serve the policy `tag` with the model that there is, from the next start on."""
    served = Promotion.read(settings.home)
    assert served is not None, "a model was promoted before"
    now = iso(SystemClock(settings.home).now())
    replace(served, policy=tag, promoted_at=now).keep(settings.home)


def _ordered(closed: Sequence, warehouse: Warehouse) -> np.ndarray:
    first = min(one.decided_at for one in closed)
    events = warehouse.events(kinds=["purchase"], known_from=first)
    by_user = events.group_by("user_id").agg("event_at")
    times = {user: np.array(at) for user, at in by_user.iter_rows()}
    empty = np.zeros(0, dtype=np.int64)
    return np.array(
        [
            bool(
                (
                    (times.get(one.user_id, empty) >= one.decided_at)
                    & (times.get(one.user_id, empty) < one.decided_at + WINDOW_DAYS * DAY)
                ).any()
            )
            for one in closed
        ],
        dtype=float,
    )


def _told(log: Past, outcome: np.ndarray) -> Log:
    return Log(log.features, log.action, outcome, log.propensity, ACTIONS)


def _straight(log: Log):  # noqa: ANN202
    return outcome_model(log, linear)


def _named(log: Past) -> dict[str, np.ndarray]:
    return dict(zip(log.inputs, log.features.T, strict=True))
