"""From lists that were drawn and what was clicked to a better order of the next ones.

A click needs a look and a liking (position-based model, Richardson et al., 2007): P(click) =
examination(place) x appeal(item, shopper). Chance put the same items in several places, so the two
can be told apart without believing in any model. Next: ``../../serving/slate_commands.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from training.metrics.offpolicy import slates
from training.metrics.offpolicy.estimates import Estimate, estimate
from training.policies.inputs import Floats
from training.policies.slate import Slate, logits_of, standardised

ROUNDS = 30
EMPTY = ""
"""In place of an item where a list has fewer candidates."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateLog:
    """n lists of up to N candidates, of which up to K were shown; the shown come first."""

    items: NDArray[np.str_]
    """(n, N) ids; empty where a list has fewer."""
    scores: Floats
    """(n, N), of the model; -inf where there is no item."""
    chances: Floats
    """(n, N) as ``Slate.draw`` gives them; 0 where there is no item."""
    num_shown: NDArray[np.int64]
    """(n,)"""
    rewards: Floats
    """(n, K): 1 where the item in a place was clicked; or what it earned."""

    @property
    def logits(self) -> Floats:
        """Log odds (n, N) of the draws."""
        return logits_of(self.chances, self.num_shown)

    @property
    def is_shown(self) -> NDArray[np.bool_]:
        """(n, K), whether there was an item in each place."""
        return np.arange(self.rewards.shape[1]) < self.num_shown[:, None]

    def take(self, rows: NDArray) -> SlateLog:
        """Some lists, by number or by a mask."""
        return replace(self, **{one.name: getattr(self, one.name)[rows] for one in fields(self)})


def examination(log: SlateLog, at: Floats | None = None) -> Floats:
    """Chance (K,) that each place is looked at, in units of the first.

    Neighbours are compared: place k + 1 over place k is the ratio of their clicks, each click in
    place k with the weight p(i at k+1) / (p(i at k) + p(i at k+1)) and the other way round. Each
    item then counts as much in both, so what it is worth cancels: intervention harvesting (Agarwal
    et al., 2019) with exact chances, whose weights are at most 1. `at` (n, N, K) are those.
    """
    num = log.rewards.shape[1]
    at = slates.places(log.logits, num) if at is None else at
    column = np.arange(num)
    own = at[:, column, column]
    ratio = np.ones(num)
    for k in range(num - 1):
        after, before = at[:, k, k + 1], at[:, k + 1, k]
        here = _share(after, own[:, k]) * log.rewards[:, k]
        below = _share(before, own[:, k + 1]) * log.rewards[:, k + 1]
        ratio[k + 1] = (below.sum() + 0.5) / (here.sum() + 0.5)
    return np.asarray(np.cumprod(ratio))


def learn(log: SlateLog, slate: Slate, prior: float = 5.0) -> Slate:
    """`slate` with slope, appeals and examination as the log's clicks have them.

    Clicks ~ Poisson(examination_k exp(a + slope z + appeal_i)), where exp(appeal_i) has a gamma
    prior of mean 1 that weighs as much as `prior` clicks: an item seen a little keeps what its
    score says.
    """
    looked = examination(log)
    shown = log.is_shown
    rows, place = np.nonzero(shown)
    z, item = standardised(log.scores)[rows, place], log.items[rows, place]
    names, index = np.unique(item, return_inverse=True)
    clicks, seen = log.rewards[rows, place], looked[place]
    appeal, line = np.zeros(len(names)), np.zeros(2)
    for _ in range(ROUNDS):
        line = _line(z, clicks, seen * np.exp(appeal[index]), line)
        expected = np.bincount(index, seen * np.exp(line[0] + line[1] * z), len(names))
        appeal = np.log(np.bincount(index, clicks, len(names)) + prior) - np.log(expected + prior)
    return replace(
        slate,
        slope=float(line[1]),
        appeals=dict(zip(names.tolist(), np.round(appeal, 6).tolist(), strict=True)),
        examination=tuple(np.round(looked, 6).tolist()),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlateEvaluation:
    """What lists of a policy would have earned, each."""

    estimates: dict[str, Estimate]
    """``iips`` and ``rips``, and ``doubly_robust`` where the policy has a click model."""
    refusals: dict[str, str]
    """Estimator to why it must not be used; empty where it may."""


def evaluate(
    log: SlateLog,
    target: Slate,
    at: Floats | None = None,
    users: NDArray[np.str_] | None = None,
) -> SlateEvaluation:
    """Ask the log about another policy; a `target` with examination is its own click model.

    `at` (n, N, K), chances of the log's draws, saves their computation where they are at hand; with
    `users` (n,), who saw each list, intervals are those of shoppers.
    """
    num, shown = log.rewards.shape[1], log.is_shown
    at = slates.places(log.logits, num) if at is None else at
    wanted = target.logits(log.scores, log.items.ravel().tolist())
    certain = target.temperature == 0
    wanted_at = (slates.fixed_places if certain else slates.places)(wanted, num)
    step = np.where(shown, log.chances[:, :num], 1.0)
    draws = slates.fixed_draws(wanted, num) if certain else slates.draws(wanted, num)
    p, pi = _own(at, shown, 1.0), _own(wanted_at, shown, 0.0)
    found = {
        "iips": slates.iips(log.rewards, p, pi),
        "rips": slates.rips(log.rewards, step, draws),
    }
    if target.examination:
        q = _click_model(log, target)
        expected = np.einsum("nik,nik->n", wanted_at, q)
        own = _own(q, shown, 0.0)
        found["doubly_robust"] = slates.doubly_robust_places(log.rewards, p, pi, own, expected)
    by_place, by_draw = slates.refusal(pi / p), slates.refusal(np.cumprod(draws / step, axis=1))
    return SlateEvaluation(
        estimates={name: estimate(values, users=users) for name, values in found.items()},
        refusals={name: by_draw if name == "rips" else by_place for name in found},
    )


def _own(values: Floats, shown: NDArray[np.bool_], other: float) -> Floats:
    """Of (n, N, K) those (n, K) of each place's own item; `other` where there is none."""
    column = np.arange(shown.shape[1])
    return np.where(shown, values[:, column, column], other)


def _click_model(log: SlateLog, target: Slate) -> Floats:
    """q (n, N, K): the target's own click model, scaled to the log's clicks."""
    num = log.rewards.shape[1]
    looked = np.zeros(num)
    looked[: len(target.examination)] = target.examination[:num]
    liking = np.exp(target.utilities(log.scores, log.items.ravel().tolist()))
    q = liking[:, :, None] * looked
    total = _own(q, log.is_shown, 0.0).sum()
    return np.asarray(q * (log.rewards.sum() / total if total else 0.0))


def _share(one: Floats, other: Floats) -> Floats:
    both = one + other
    return np.asarray(np.divide(one, both, out=np.zeros_like(both), where=both > 0))


def _line(z: Floats, clicks: Floats, seen: Floats, line: Floats) -> Floats:
    """A Newton step of Poisson regression: clicks ~ seen exp(a + b z), a little held back."""
    x = np.column_stack([np.ones(len(z)), z])
    mean = seen * np.exp(np.clip(x @ line, -30.0, 30.0))
    if not line.any():
        start = np.log((clicks.sum() + 0.5) / (seen.sum() + 0.5))
        return np.array([start, 1e-9])
    slope = x.T @ (clicks - mean) - 1e-6 * line
    curve = (x * mean[:, None]).T @ x + 1e-6 * np.eye(2)
    step = np.linalg.solve(curve, slope)
    return np.asarray(line + np.clip(step, -1.0, 1.0))
