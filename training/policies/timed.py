"""When to act: now, at a better hour of today, or not today. Wraps a policy that says what to do.

A message is worth what it changes, and it changes little where nobody reads it. Shoppers have
hours of their own (``serving/moments.py``), so the same coupon may be worth more this evening, or
tomorrow at a better hour than are left today. Next: ``slate.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from feature_repo.answers import LATER
from training.policies.inputs import Floats, Scores, matrix
from training.policies.policy import Context, Policy, allowed_actions
from training.policies.threshold import Threshold

REACHES = ("reach_now", "reach_later", "reach_next")
"""Inputs: how likely the shopper is around soon after now, after the best hour that is left today,
and after the best hour that is left tomorrow when the question is asked again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Timed:
    """The `base` says with which chance to do what; this splits the chance of each action.

    worth(reach) = value[0] + value[1] reach is what an action changes that is sent when the shopper
    is so likely around. Of now, later today and waiting, worth worth(now), worth(later) and
    discount x worth(next), the greatest gets 1 - epsilon of the action's chance, all that are
    allowed share epsilon. To wait is to do nothing: whoever asks again tomorrow decides anew.
    """

    name: ClassVar[str] = "timed"

    base: Policy = field(default_factory=Threshold)
    value: tuple[float, float] = (0.0, 1.0)
    """Of an action at no reach, and what full reach adds; made by :meth:`fit`."""
    discount: float = 0.9
    """What a day of waiting leaves of an action's worth."""
    epsilon: float = 0.1
    """Share of each action's chance that is left to chance in time."""

    def __post_init__(self) -> None:
        for name in ("discount", "epsilon"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"timed: {name} is {getattr(self, name)}; it must lie in 0..1")

    @property
    def actions(self) -> tuple[str, ...]:
        """Those of the base, and each again ``@later``."""
        return (*self.base.actions, *(action + LATER for action in self.base.actions[1:]))

    @property
    def needs(self) -> tuple[str, ...]:
        """Those of the base, and the reaches, which the service tells every policy."""
        return (*self.base.needs, *REACHES)

    @property
    def draws(self) -> Mapping[str, Mapping[str, float]]:
        """Those of the base, by budget."""
        return getattr(self.base, "draws", {})

    def probabilities(self, scores: Scores, context: Context) -> Floats:
        """``(n, actions)``: those of the base, split over now and later; waiting goes to "nothing".

        Raises
        ------
        ValueError
            When an input is missing.
        """
        reach = matrix(scores, REACHES, self.name)
        n, num = len(reach), len(self.base.actions)
        allowed = allowed_actions(context, n, 2 * num - 1)
        now, later = allowed[:, 1:num], allowed[:, num:]
        either = np.column_stack([np.ones(n, dtype=np.bool_), now | later])
        chance = self.base.probabilities(scores, replace(context, allowed=either))[:, 1:]
        worth = self.value[0] + self.value[1] * reach
        worth[:, 2] *= self.discount
        may = np.stack([now, later, np.ones_like(now)], axis=2)
        best = np.where(may, worth[:, None, :], -np.inf).argmax(axis=2)
        share = self.epsilon * may / may.sum(axis=2, keepdims=True)
        share += (1.0 - self.epsilon) * (best[:, :, None] == np.arange(3))
        split = chance[:, :, None] * share
        nothing = 1.0 - split[:, :, :2].sum(axis=(1, 2))
        return np.column_stack([nothing, split[:, :, 0], split[:, :, 1]])

    def fit(
        self, scores: Scores, actions: NDArray[np.int64], rewards: Floats, propensities: Floats
    ) -> Self:
        """The same with `value` as n logged decisions have it.

        Parameters
        ----------
        actions
            Index (n,) in ``actions`` of what was done.
        rewards
            What came of it (n,), profit after the action's cost.
        propensities
            Chance (n,) of what was done. Rewards over the mean of doing nothing are regressed on
            reach with weights of one over them, so that who was chosen does not matter.
        """
        reach = matrix(scores, REACHES, self.name)
        num, idle = len(self.base.actions), actions == 0
        w = 1.0 / propensities
        usual = np.average(rewards[idle], weights=w[idle]) if idle.any() else 0.0
        acted = ~idle
        met = np.where(actions >= num, reach[:, 1], reach[:, 0])[acted]
        x = np.column_stack([np.ones(len(met)), met])
        weighted = x * w[acted, None]
        found = np.linalg.lstsq(weighted.T @ x, weighted.T @ (rewards[acted] - usual), rcond=None)
        return replace(self, value=(float(found[0][0]), float(found[0][1])))

    def to_dict(self) -> dict[str, Any]:
        """Its settings and those of the base as plain values."""
        return {
            "base": {"policy": self.base.name, "settings": self.base.to_dict()},
            "value": self.value,
            "discount": self.discount,
            "epsilon": self.epsilon,
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, also by way of JSON."""
        from training.policies import POLICIES

        base, values = plain["base"], dict(plain)
        made = POLICIES[base["policy"]].from_dict(base["settings"])
        return cls(**values | {"base": made, "value": tuple(plain["value"])})
