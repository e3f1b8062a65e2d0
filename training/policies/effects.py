"""What each action changes, as a small table: learnt from a log, evaluated by anybody.

A model with uplift heads says it too, from the whole history; this says it from named numbers
about the shopper, and is fitted in seconds. Next: ``budgeted.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from training.policies.inputs import UNKNOWN, Floats, Hidden, Scaled, Scores, matrix, tuples


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """P(outcome | nothing) = w_0 · phi(x), and each action adds w_a · phi(x); clipped to 0..1."""

    inputs: tuple[str, ...] = ()
    hidden: Hidden = UNKNOWN
    weights: tuple[tuple[float, ...], ...] = ()
    """(actions, features of phi); the first row is the chance under "nothing"."""

    @classmethod
    def fit(
        cls,
        inputs: tuple[str, ...],
        values: Floats,
        pseudo: Floats,
        *,
        ridge: float = 1.0,
        width: int = 16,
        seed: int = 0,
    ) -> Self:
        """Regress on `values` (n, inputs) the doubly robust pseudo-outcomes.

        Parameters
        ----------
        pseudo
            (n, actions): whose mean given x is the mean outcome under each action, such as
            mu_a(x) + [a was taken] / p(a) (y - mu_a(x)) (the last stage of the DR-learner, Kennedy,
            "Towards optimal doubly robust estimation of heterogeneous causal effects", 2023).
        ridge
            Pull towards the effect that is the same for all, in rows of the log.
        """
        hidden = Hidden(scaled=Scaled.of(inputs, values), width=width, seed=seed)
        phi = hidden(values)
        targets = np.column_stack([pseudo[:, 0], pseudo[:, 1:] - pseudo[:, :1]])
        held = ridge * np.eye(phi.shape[1])
        held[0, 0] = 0.0  # the common effect is free
        weights = np.linalg.solve(phi.T @ phi + held, phi.T @ targets).T
        return cls(inputs=inputs, hidden=hidden, weights=tuples(weights.tolist()))

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` gave, also by way of JSON."""
        values = {name: tuples(value) for name, value in plain.items() if name != "hidden"}
        return cls(**values, hidden=Hidden.from_dict(plain.get("hidden", {})))

    def chances(self, scores: Scores, policy: str) -> Floats:
        """P(outcome | action) ``(n, actions)``; `policy` is named when an input is missing."""
        said = self.hidden(matrix(scores, self.inputs, policy)) @ np.array(self.weights).T
        return np.clip(np.column_stack([said[:, 0], said[:, :1] + said[:, 1:]]), 0.0, 1.0)
