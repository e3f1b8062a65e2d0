"""Learn from outcomes which action suits whom: a linear contextual bandit.

Per action a Bayesian linear regression of the reward on a few numbers about the shopper. Thompson
sampling (Agrawal and Goyal, 2013) acts by the chance that an action is the best, UCB (Li et al.,
"LinUCB", 2010) by the upper end of what it may earn. Outcomes may come days later: the log that it
learns from holds decisions whose window has closed. It is one small table of numbers, which any
client can evaluate. Next: ``fitted_q.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.policies.inputs import UNSCALED, Floats, Scaled, Scores, matrix, tuples
from training.policies.policy import NOTHING, Context, allowed_actions, explored

RULES = ("thompson", "ucb")
NUM_DRAWS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class LinearBandit:
    """Rewards as w_a · x + noise, x = (1, scaled inputs); w_a has a normal posterior per action.

    precision_a = prior I + Σ x xᵀ / noise², mean_a = precision_a⁻¹ Σ x r / noise².

    ``thompson``: p(a) is the share of `NUM_DRAWS` fixed posterior draws in which a is best, so
    the logged probability is exactly the one drawn from. ``ucb``: the action with the greatest
    mean + width x deviation. Both leave `epsilon` to chance.
    """

    name: ClassVar[str] = "bandit"

    actions: tuple[str, ...] = (NOTHING, "reminder", "coupon")
    inputs: tuple[str, ...] = ()
    """Scores and features that the reward depends on."""
    scaled: Scaled = UNSCALED
    """Their scaling; made by :meth:`fit`."""
    rule: str = "thompson"
    width: float = 1.0
    """Deviations that ``ucb`` adds."""
    prior: float = 1.0
    """Precision of each weight before any outcome."""
    noise: float = 1.0
    """Standard deviation of one reward."""
    means: tuple[tuple[float, ...], ...] = ()
    """(actions, 1 + inputs); empty before any outcome."""
    covariances: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """(actions, 1 + inputs, 1 + inputs)."""
    epsilon: float = 0.05
    """Share of decisions left to chance, so that other policies can be judged by the log."""

    def __post_init__(self) -> None:
        if self.actions[:1] != (NOTHING,):
            raise ValueError(f"bandit: actions are {self.actions}; {NOTHING!r} comes first")
        if self.rule not in RULES:
            raise ValueError(f"bandit: rule is {self.rule!r}; choose one of {RULES}")
        if not 0 <= self.epsilon <= 1:
            raise ValueError(f"bandit: epsilon is {self.epsilon}; it must lie in 0..1")
        for name in ("prior", "noise"):
            if getattr(self, name) <= 0:
                raise ValueError(f"bandit: {name} is {getattr(self, name)}; it must be above 0")

    @property
    def needs(self) -> tuple[str, ...]:
        """Its inputs."""
        return self.inputs

    def probabilities(self, scores: Mapping[str, NDArray[np.floating]], context: Context) -> Floats:
        """``(n, actions)``.

        Raises
        ------
        ValueError
            When an input is missing.
        """
        x = self._design(matrix(scores, self.inputs, "bandit"))
        mean, deviation = self.expected(x)
        allowed = allowed_actions(context, *mean.shape)
        if self.rule == "ucb":
            upper = np.where(allowed, mean + self.width * deviation, -np.inf)
            return explored(upper.argmax(axis=1), allowed, self.epsilon)
        draws = np.random.default_rng(0).standard_normal((NUM_DRAWS, 1, len(self.actions)))
        drawn = np.where(allowed, mean + deviation * draws, -np.inf).argmax(axis=2)
        share = (drawn[:, :, None] == np.arange(len(self.actions))).mean(axis=0)
        chance = allowed / allowed.sum(axis=1, keepdims=True)
        return (1.0 - self.epsilon) * share + self.epsilon * chance

    def expected(self, x: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation ``(n, actions)`` of what each action earns at `x` (n, d)."""
        num_actions, d = len(self.actions), x.shape[1]
        if not self.means:
            spread = np.sqrt((x**2).sum(axis=1) / self.prior)
            return np.zeros((len(x), num_actions)), np.repeat(spread[:, None], num_actions, axis=1)
        means, covariances = np.array(self.means), np.array(self.covariances)
        assert means.shape == (num_actions, d), "a fitted bandit knows all actions and inputs"
        variance = np.einsum("nd,ade,ne->na", x, covariances, x)
        return x @ means.T, np.sqrt(np.maximum(variance, 0.0))

    def fit(
        self,
        scores: Scores,
        actions: NDArray[np.int64],
        rewards: Floats,
        weights: Floats | None = None,
    ) -> Self:
        """The bandit after n decisions whose outcomes are known.

        Parameters
        ----------
        scores
            Inputs (n,) as they were when each was decided.
        actions
            Index (n,) of what was done.
        rewards
            What came of it (n,), profit in the base currency after the action's cost.
        weights
            Of each decision (n,), as to forget old ones in a shop that changes; 1 each by default.
        """
        values = matrix(scores, self.inputs, "bandit")
        noise = max(float(np.std(rewards)), 1e-9)
        fitted = replace(self, scaled=Scaled.of(self.inputs, values), noise=noise)
        x, weights = fitted._design(values), np.ones(len(rewards)) if weights is None else weights
        means, covariances = [], []
        for action in range(len(self.actions)):
            rows = actions == action
            weighted = x[rows] * weights[rows, None] / noise**2
            precision = self.prior * np.eye(x.shape[1]) + weighted.T @ x[rows]
            covariance = np.linalg.inv(precision)
            means.append(tuple((covariance @ (weighted.T @ rewards[rows])).tolist()))
            covariances.append(tuple(map(tuple, covariance.tolist())))
        return replace(fitted, means=tuple(means), covariances=tuple(covariances))

    def to_dict(self) -> dict[str, Any]:
        """Its settings and its table as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, also by way of JSON."""
        values = {name: tuples(value) for name, value in plain.items() if name != "scaled"}
        return cls(**values, scaled=Scaled.from_dict(plain.get("scaled", {})))

    def _design(self, values: Floats) -> Floats:
        """(n, 1 + inputs): a one, and the inputs in units of their spread."""
        scaled = self.scaled(values) if self.scaled.names else np.nan_to_num(values)
        return np.column_stack([np.ones(len(values)), scaled])
