"""A coupon for those likely to leave, a reminder for those in between, and a little chance.

What most shops do, and what a better policy has to beat. Next: ``policy.py`` for the seam.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.policies.policy import NOTHING, Context, allowed_actions, explored


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """The preferred action gets 1 - epsilon, and epsilon is shared by all allowed ones.

    p(a) = (1 - epsilon) [a is preferred] + epsilon / (number of allowed actions). A preferred
    action that is not allowed gives its place to "nothing".
    """

    name: ClassVar[str] = "threshold"
    actions: ClassVar[tuple[str, ...]] = (NOTHING, "reminder", "coupon")

    score: str = "leave_90d"
    """Head whose probability is compared."""
    coupon_threshold: float = 0.6
    """A coupon at or above it."""
    reminder_threshold: float = 0.4
    """A reminder at or above it and below ``coupon_threshold``."""
    epsilon: float = 0.1
    """Share of decisions left to chance, so that other policies can be judged by the log."""

    def __post_init__(self) -> None:
        for name in ("coupon_threshold", "reminder_threshold", "epsilon"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"threshold: {name} is {getattr(self, name)}; it must lie in 0..1")
        if self.reminder_threshold > self.coupon_threshold:
            raise ValueError(
                f"threshold: reminder_threshold {self.reminder_threshold} is above "
                f"coupon_threshold {self.coupon_threshold}; lower it"
            )

    @property
    def needs(self) -> tuple[str, ...]:
        """The one score."""
        return (self.score,)

    def probabilities(
        self, scores: Mapping[str, NDArray[np.floating]], context: Context
    ) -> NDArray[np.float64]:
        """``(n, 3)`` for "nothing", "reminder", "coupon".

        Raises
        ------
        ValueError
            When the score is missing or NaN.
        """
        if self.score not in scores:
            raise ValueError(f"threshold needs the score {self.score!r}; there are {list(scores)}")
        score = np.asarray(scores[self.score], dtype=np.float64)
        if np.isnan(score).any():
            raise ValueError(
                f"score {self.score!r} is NaN for {int(np.isnan(score).sum())} rows; leave them out"
            )
        allowed = allowed_actions(context, len(score), len(self.actions))
        bounds = [self.reminder_threshold, self.coupon_threshold]
        preferred = np.searchsorted(bounds, score, side="right")
        return explored(preferred, allowed, self.epsilon)

    def to_dict(self) -> dict[str, Any]:
        """Its settings as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""
        return cls(**plain)
