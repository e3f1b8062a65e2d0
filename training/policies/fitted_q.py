"""Today's coupon changes tomorrow's effect: offline reinforcement learning by fitted Q.

Coupons tire, and some shoppers learn to wait for them, so the best action today is not the one
with the greatest effect today. Fitted Q iteration (Ernst, Geurts and Wehenkel, 2005) learns from
logged days what an action earns from now on; a pessimism dial keeps it near what the log has seen
(a lower bound over an ensemble, after An et al., "Uncertainty-based offline RL", 2021). Next:
``slate.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.policies.inputs import UNKNOWN, Floats, Hidden, Scaled, matrix, tuples
from training.policies.policy import NOTHING, Context, allowed_actions, explored


@dataclass(frozen=True, slots=True, kw_only=True)
class Transitions:
    """Logged steps of shoppers from one decision to the next: n of them, d inputs.

    A shopper's last decision in the log has no next one and is no step.
    """

    states: Floats
    """(n, d), inputs when it was decided, what was done lately among them."""
    actions: NDArray[np.int64]
    """(n,)."""
    rewards: Floats
    """(n,), profit until the next decision about the same shopper."""
    next_states: Floats
    """(n, d), inputs at the shopper's next decision."""
    users: NDArray[np.int64]
    """(n,), whose step it is: the ensemble draws shoppers, not steps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FittedQ:
    """The action whose lead over doing nothing is greatest, of those that are surely ahead.

    lead(a) = mean - pessimism x deviation of Q_a(s) - Q_nothing(s) over the ensemble; that of doing
    nothing is 0, so where the log can't tell, nothing is done.

    Q_a(s) = w_a · phi(s), see ``inputs.Hidden``; ridge regression finds w exactly.
    """

    name: ClassVar[str] = "fitted_q"

    actions: tuple[str, ...] = (NOTHING, "reminder", "coupon")
    inputs: tuple[str, ...] = ()
    """Scores and features that make the state."""
    hidden: Hidden = UNKNOWN
    """phi; made by :meth:`fit`."""
    weights: tuple[tuple[tuple[float, ...], ...], ...] = ()
    """(members, actions, features of phi); empty before it was fitted."""
    discount: float = 0.95
    """What a profit after the next decision counts against one before it."""
    pessimism: float = 1.0
    seed: int = 0
    epsilon: float = 0.05
    """Share of decisions left to chance, so that other policies can be judged by the log."""

    def __post_init__(self) -> None:
        if self.actions[:1] != (NOTHING,):
            raise ValueError(f"fitted_q: actions are {self.actions}; {NOTHING!r} comes first")
        for name in ("epsilon", "discount"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"fitted_q: {name} is {getattr(self, name)}; it must lie in 0..1")
        if self.discount == 1:
            raise ValueError("fitted_q: discount is 1, so that no sum ends; take 0.99 or less")

    @property
    def needs(self) -> tuple[str, ...]:
        """Its inputs."""
        return self.inputs

    def probabilities(self, scores: Mapping[str, NDArray[np.floating]], context: Context) -> Floats:
        """``(n, actions)``.

        Raises
        ------
        ValueError
            When an input is missing, or it was not fitted.
        """
        if not self.weights:
            raise ValueError("fitted_q was not fitted; give it a log by fit()")
        q = self.q_values(matrix(scores, self.inputs, "fitted_q"))
        ahead = q - q[:, :, :1]
        cautious = ahead.mean(axis=0) - self.pessimism * ahead.std(axis=0)
        allowed = allowed_actions(context, *cautious.shape)
        preferred = np.where(allowed, cautious, -np.inf).argmax(axis=1)
        return explored(preferred, allowed, self.epsilon)

    def q_values(self, states: Floats) -> Floats:
        """(members, n, actions): discounted profit from now on, by each of the ensemble."""
        return np.einsum("nf,maf->mna", self.hidden(states), np.array(self.weights))

    def fit(
        self,
        log: Transitions,
        *,
        num_members: int = 8,
        num_iterations: int = 60,
        ridge: float = 1.0,
    ) -> Self:
        """The policy of a log: Q(s, a) <- r + discount max_a' Q(s', a'), again and again.

        Each member of the ensemble learns from its own draw of the shoppers and is held to weights
        of its own drawing (randomised priors, Osband, Aslanides and Cassirer, 2018): they agree
        where the log tells, and nowhere else.

        Raises
        ------
        ValueError
            When an action that it may take is not in the log.
        """
        counts = np.bincount(log.actions, minlength=len(self.actions))
        if not counts.all():
            never = [self.actions[a] for a in np.flatnonzero(counts == 0)]
            raise ValueError(f"fitted_q: the log never shows {never}; explore first, or leave out")
        hidden = Hidden(scaled=Scaled.of(self.inputs, log.states), seed=self.seed)
        now, later = hidden(log.states), hidden(log.next_states)
        rng = np.random.default_rng(self.seed + 1)
        _, who = np.unique(log.users, return_inverse=True)
        members, scale = [], max(float(np.std(log.rewards)), 1e-9)
        for _ in range(num_members):
            weight = rng.poisson(1.0, who.max() + 1)[who].astype(float)
            prior = scale * rng.standard_normal((len(self.actions), now.shape[1]))
            members.append(_iterate(now, later, log, weight, prior, self, num_iterations, ridge))
        return replace(self, hidden=hidden, weights=tuples([member.tolist() for member in members]))

    def to_dict(self) -> dict[str, Any]:
        """Its settings and weights as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, also by way of JSON."""
        values = {name: tuples(value) for name, value in plain.items() if name != "hidden"}
        return cls(**values, hidden=Hidden.from_dict(plain.get("hidden", {})))


def _iterate(
    now: Floats,
    later: Floats,
    log: Transitions,
    weight: Floats,
    prior: Floats,
    policy: FittedQ,
    num_iterations: int,
    ridge: float,
) -> Floats:
    """Weights (actions, features) of one member: regressions whose solution is prepared once."""
    num_actions = len(policy.actions)
    solvers = []
    for action in range(num_actions):
        rows = np.flatnonzero(log.actions == action)
        weighted = now[rows] * weight[rows, None]
        gram = weighted.T @ now[rows] + ridge * np.eye(now.shape[1])
        held = ridge * np.linalg.solve(gram, prior[action])
        solvers.append((rows, np.linalg.solve(gram, weighted.T), held))
    w = np.zeros_like(prior)
    for _ in range(num_iterations):
        target = log.rewards + policy.discount * (later @ w.T).max(axis=1)
        w = np.array([solve @ target[rows] + held for rows, solve, held in solvers])
    return w
