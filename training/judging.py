"""What a policy would have earned by the log of others, beside the one that is served.

Each decision is judged by what did not learn from its shopper, and intervals are those of
shoppers. Next: ``keeping.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from training.datasets.decision_log import DecisionLog
from training.effects import Log
from training.effects.base import linear
from training.effects.crossfit import cross_fit
from training.effects.log import MIN_ROWS
from training.effects.outcomes import outcome_model
from training.learnt import Learnt
from training.metrics.offpolicy.estimates import Estimate, evaluate_policy
from training.policies.inputs import Floats

ESTIMATOR = "doubly_robust"
RARE = 0.01
TOLERANCE = 0.05
"""Share of what the served policy earns that another may surely not lose."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What the log says of a policy, profit a decision in the base currency."""

    num_rows: int
    effective: float
    """So many of its own decisions would tell as much."""
    refusals: tuple[str, ...]
    """Why the log can't tell; empty when it can."""
    own: Estimate
    served: Estimate
    lead: Estimate

    def objection(self, tolerance: float = TOLERANCE) -> str:
        """Why it may not be promoted; empty when it may.

        The lower end of the lead's 95 % interval must lie above -`tolerance` x what the served
        policy earns.
        """
        if self.refusals:
            return "the log cannot tell: " + " and ".join(self.refusals)
        least = -tolerance * abs(self.served.value)
        if self.lead.low > least:
            return ""
        return (
            f"it may earn {-self.lead.low:.3f} a decision less than the served policy (lead "
            f"{self.lead.value:+.3f}, {self.lead.low:+.3f} to {self.lead.high:+.3f}), and "
            f"{-least:.3f} is tolerated"
        )

    def lines(self, beside: str) -> list[str]:
        """What the log says, `beside` naming the other policy."""
        return [
            f"{self.num_rows:,} decisions, each judged by what did not learn from its shopper, "
            f"worth {self.effective:,.0f} of its own",
            f"it would earn {_told(self.own)} a decision, {beside} {_told(self.served)}",
            f"lead {self.lead.value:+.3f} ({self.lead.low:+.3f} to {self.lead.high:+.3f})",
            *(f"the log cannot tell: {reason}" for reason in self.refusals),
        ]

    def to_dict(self) -> dict[str, object]:
        """As plain values, for a promotion, a bundle or a report."""
        shown = {"own": self.own, "served": self.served, "lead": self.lead}
        return {
            "num_rows": self.num_rows,
            "effective": round(self.effective, 1),
            "refusals": list(self.refusals),
        } | {
            f"{name}_{part}": round(getattr(one, part), 6)
            for name, one in shown.items()
            for part in ("value", "low", "high")
        }


def _told(one: Estimate) -> str:
    return f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def judge(
    log: DecisionLog, asked: Learnt, served: Learnt | None, budgets: Mapping[str, float]
) -> Judged:
    """Estimate `asked` beside `served` on the same rows; None: beside what the log did.

    Parameters
    ----------
    budgets
        Of a whole day, base currency: the log does not tell what was left at each moment.

    Raises
    ------
    ValueError
        When the log does not tell an input of a policy, or is too small.
    """
    if len(log.action) < MIN_ROWS:
        raise ValueError(
            f"{len(log.action)} decisions are left to judge a policy by, and {MIN_ROWS} are "
            "needed; go on collecting"
        )
    own = chances_under(asked, log, budgets)
    other = log.chances if served is None else chances_under(served, log, budgets)
    names = dict.fromkeys((*asked.policy.needs, *(served.policy.needs if served else ())))
    model, why = _model(log, log.matrix(list(names)))
    logged = (log.reward, log.action, log.propensity)
    found, beside = (
        evaluate_policy(*logged, target, model, users=log.users) for target in (own, other)
    )
    estimator = ESTIMATOR if model is not None else "snips"
    said, against = found.estimates[estimator], beside.estimates[estimator]
    refusals = [*found.refusals, *(f"of the served policy, {r}" for r in beside.refusals)]
    if unknown := _unknown(asked, log, budgets):
        refusals.append(f"it never did {', '.join(unknown)}, which the policy would do")
    return Judged(
        num_rows=len(log.action),
        effective=found.support.effective,
        refusals=(*refusals, *why),
        own=said,
        served=against,
        lead=said.minus(against),
    )


def chances_under(asked: Learnt, log: DecisionLog, budgets: Mapping[str, float]) -> Floats:
    """The chances (n, A) of the log's actions under `asked`, of what was allowed then."""
    actions = asked.policy.actions
    allowed = np.zeros((len(log.action), len(actions)), dtype=np.bool_)
    known = {name: number for number, name in enumerate(log.actions)}
    for number, name in enumerate(actions):
        if name in known:
            allowed[:, number] = log.chances[:, known[name]] > 0
    allowed[:, 0] = True
    said = asked.chances(log, budgets, allowed)
    found = np.zeros_like(log.chances)
    for number, name in enumerate(actions):
        if name in known:
            found[:, known[name]] = said[:, number]
    return found


def _unknown(asked: Learnt, log: DecisionLog, budgets: Mapping[str, float]) -> list[str]:
    """Actions that it would take in more than `RARE` of the rows and the log never took."""
    shares = asked.chances(log, budgets, None).mean(axis=0)
    both = zip(asked.policy.actions, shares, strict=True)
    return [action for action, share in both if action not in log.actions and share > RARE]


def _model(log: DecisionLog, values: Floats) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """Cross-fitted rewards (n, A) under each action; without one, why."""
    try:
        told = Log(values, log.action, log.reward, log.propensity, log.actions)
        rng = np.random.default_rng(2)
        model = cross_fit(told, lambda rest: outcome_model(rest, linear), rng, users=log.users)
    except ValueError as error:
        return None, (str(error),)
    return model, ()
