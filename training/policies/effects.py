"""What each action changes, as a small table: learnt from a log, evaluated by anybody.

A model with uplift heads says it too, from the whole history; this says it from named numbers
about the shopper, and is fitted in seconds. Next: ``budgeted.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from training.policies.inputs import UNKNOWN, Floats, Hidden, Scaled, Scores, matrix, tuples

RIDGES = tuple(10.0**power for power in range(6))
"""Effects are small beside the noise of outcomes: the more so, the greater the pull they need."""


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
        ridge: float | None = None,
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
            Pull towards the effect that is the same for all, in rows of the log; None takes for
            each action the one of `RIDGES` with the least error on rows left out (generalised
            cross-validation, Golub, Heath and Wahba, 1979).
        """
        hidden = Hidden(scaled=Scaled.of(inputs, values), width=width, seed=seed)
        phi = hidden(values)
        targets = np.column_stack([pseudo[:, 0], pseudo[:, 1:] - pseudo[:, :1]])
        tried = RIDGES if ridge is None else (ridge,)
        weights = _least_error(phi, targets, tried)
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


def _least_error(phi: Floats, targets: Floats, ridges: Sequence[float]) -> Floats:
    """Weights (actions, features), each of the ridge with the least n RSS / (n - freedom)^2.

    The first feature is 1, and what it adds is free.
    """
    centre, means, num = phi[:, 1:].mean(axis=0), targets.mean(axis=0), len(phi)
    inner, missed = phi[:, 1:] - centre, targets - means
    squares, axes = np.linalg.eigh(inner.T @ inner)
    along = axes.T @ (inner.T @ missed)
    errors, found = [], []
    for ridge in ridges:
        slopes = axes @ (along / (np.maximum(squares, 0.0) + ridge)[:, None])
        freedom = 1.0 + (squares / (squares + ridge)).sum()
        left = 1.0 - min(freedom / num, 1.0 - 1e-9)
        errors.append(((missed - inner @ slopes) ** 2).mean(axis=0) / left**2)
        found.append(np.vstack([means - centre @ slopes, slopes]).T)
    actions = np.arange(targets.shape[1])
    return np.asarray(np.array(found)[np.argmin(errors, axis=0), actions])
