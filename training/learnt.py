"""A policy with its siblings: each learnt without a part of the shoppers, and judged by them.

So every decision of the log can judge what was learnt from the log. What is judged is the way of
learning: siblings know a part less than the policy that serves. Next: ``judging.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from feature_repo.settings import DAY
from training.bundle import Bundle
from training.datasets.decision_log import DecisionLog
from training.policies import POLICIES, Context, Policy
from training.policies.inputs import Floats


@dataclass(frozen=True, slots=True)
class Learnt:
    """What serves, and who is asked about whom."""

    policy: Policy
    siblings: tuple[Policy, ...] = ()
    """Number k did not learn from part k of the shoppers, and has the same actions; none where
    nobody was learnt from, as of a threshold."""

    @classmethod
    def load(cls, bundle: Bundle) -> Learnt:
        """The policy in `bundle`, with its siblings."""
        kind, manifest = POLICIES[bundle.manifest["policy"]], bundle.manifest
        siblings = tuple(kind.from_dict(one) for one in manifest.get("siblings", ()))
        return cls(kind.from_dict(manifest["settings"]), siblings)

    def chances(
        self, log: DecisionLog, budgets: Mapping[str, float], allowed: NDArray[np.bool_] | None
    ) -> Floats:
        """Chances (n, actions of the policy) where `allowed` (the same) is, with whole budgets."""
        if not self.siblings:
            return _chances(self.policy, log, budgets, allowed)
        found, part = np.zeros((len(log.action), len(self.policy.actions))), log.part
        for number, sibling in enumerate(self.siblings):
            rows = np.flatnonzero(part == number)
            if len(rows):
                own = None if allowed is None else allowed[rows]
                found[rows] = _chances(sibling, log.take(rows), budgets, own)
        return found


def _chances(
    policy: Policy,
    log: DecisionLog,
    budgets: Mapping[str, float],
    allowed: NDArray[np.bool_] | None,
) -> Floats:
    day = int(log.decided_at[0] // DAY * DAY)
    context = Context(allowed=allowed, budgets_left=budgets, asked_at=day)
    return policy.probabilities(log.told, context)
