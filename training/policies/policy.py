"""The seam between what is predicted and what is done: scores to probabilities of actions.

A policy never just names an action. Its probabilities are logged with the decision, so that any
other policy can later be judged on what this one did. Next: ``threshold.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

NOTHING = "nothing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """What is known at the moment of deciding beside the scores."""

    allowed: NDArray[np.bool_] | None = None
    """``(n, actions)``, what budget and frequency cap leave; None = everything. "nothing" is
    always allowed."""
    budgets_left: Mapping[str, float] = field(default_factory=dict)
    """Budget to what is left of it today."""
    asked_at: int = 0
    """The moment of deciding, microseconds since 1970 (UTC)."""


class Policy(Protocol):
    """Scores of n shoppers to a distribution over actions for each."""

    name: ClassVar[str]

    @property
    def actions(self) -> tuple[str, ...]:
        """Names of the actions; the first is "nothing"."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the scores and features that it reads."""

    def probabilities(
        self, scores: Mapping[str, NDArray[np.floating]], context: Context
    ) -> NDArray[np.float64]:
        """``(n, actions)``: rows sum to 1 and are 0 where an action is not allowed.

        `scores` holds ``(n,)`` probabilities by the name of their head, and numeric features.
        """

    def to_dict(self) -> dict[str, Any]:
        """Its settings as plain values, for a bundle of kind policy."""

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave."""


def allowed_actions(context: Context, num_rows: int, num_actions: int) -> NDArray[np.bool_]:
    """The mask ``(n, actions)`` of `context`, checked.

    Raises
    ------
    ValueError
        For a mask of another shape, or one that forbids to do nothing.
    """
    shape = (num_rows, num_actions)
    if context.allowed is None:
        return np.ones(shape, dtype=np.bool_)
    if context.allowed.shape != shape:
        raise ValueError(f"allowed has the shape {context.allowed.shape}; it must have {shape}")
    if not context.allowed[:, 0].all():
        row = int(np.argmin(context.allowed[:, 0]))
        raise ValueError(f"allowed forbids {NOTHING!r} in row {row}; leave its first column True")
    return context.allowed


def explored(
    preferred: NDArray[np.int64], allowed: NDArray[np.bool_], epsilon: float
) -> NDArray[np.float64]:
    """Probabilities ``(n, actions)``: 1 - epsilon for `preferred`, epsilon shared by all allowed.

    A preferred action that is not allowed gives its place to "nothing".
    """
    rows = np.arange(len(preferred))
    preferred = np.where(allowed[rows, preferred], preferred, 0)
    wanted = epsilon * allowed / allowed.sum(axis=1, keepdims=True)
    wanted[rows, preferred] += 1.0 - epsilon
    return wanted
