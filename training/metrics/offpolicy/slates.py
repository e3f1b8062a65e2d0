"""What another way of ordering would have earned, from lists that were drawn by Plackett-Luce.

Letters: n lists, N candidates, K places; c (n, K) rewards of the places (clicks), u (n, N) log odds
of the logging policy, the shown candidates first. Two views of shoppers: a place is looked at
whatever stands around it (*item and place*), or one reads from the top, and what is done at a place
depends on those before it (*cascade*). Next: ``../../policies/clicks.py``.
"""

from __future__ import annotations

import numpy as np

from training.metrics.offpolicy.estimates import Estimate, estimate
from training.metrics.offpolicy.support import MIN_EFFECTIVE

STEP = 0.3
"""Of the trapezoid rule, in log time; its error is far below 1e-6."""
REACH = 40.0
"""Log odds below the best beyond which candidates are told apart no more."""
AT_ONCE = 16


def places(logits: np.ndarray, num: int) -> np.ndarray:
    """Chance (n, N, num) that each candidate stands at each place, exactly.

    Give candidate i an exponential waiting time of rate exp(u_i): their order of arrival is a
    Plackett-Luce list. So i stands at place k where exactly k - 1 others come before it:

        P(i at k) = integral of rate_i exp(-rate_i t) PoissonBinomial(k - 1; others by t) dt

    which is one integral over log t in place of a sum over all orders.
    """
    parts = [logits[at : at + AT_ONCE] for at in range(0, len(logits), AT_ONCE)]
    found = [_places(part, num) for part in parts]
    return np.concatenate(found) if found else np.zeros((0, logits.shape[1], num))


def fixed_places(logits: np.ndarray, num: int) -> np.ndarray:
    """The same (n, N, num) for the list in order of `logits`, without chance."""
    order = np.argsort(-logits, axis=1, kind="stable")[:, :num]
    found = np.zeros((*logits.shape, num))
    rows = np.arange(len(logits))[:, None]
    found[rows, order, np.arange(order.shape[1])] = np.isfinite(logits[rows, order])
    return found


def draws(logits: np.ndarray, num: int) -> np.ndarray:
    """Chance (n, num) of the candidate in each column to be drawn after those before it."""
    left = np.logaddexp.accumulate(logits[:, ::-1], axis=1)[:, ::-1]
    there = np.isfinite(logits)
    gap = np.where(there, logits, 0.0) - np.where(there, left, 0.0)
    return np.asarray(np.where(there, np.exp(gap), 1.0)[:, :num])


def fixed_draws(logits: np.ndarray, num: int) -> np.ndarray:
    """Whether (n, num) the candidate in each column is the best of those from it on."""
    best = np.maximum.accumulate(logits[:, ::-1], axis=1)[:, ::-1]
    return np.asarray((logits >= best)[:, :num], dtype=np.float64)


def iips(rewards: np.ndarray, logged: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Item and place: sum_k c_k pi(i at k) / p(i at k) (n,), by the chances (n, K) of those shown.

    Li, Abbasi-Yadkori, Kveton et al., "Offline evaluation of ranking policies with click models",
    2018; called independent IPS where it is held against the next one.
    """
    return np.asarray((rewards * target / logged).sum(axis=1))


def rips(rewards: np.ndarray, logged: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Cascade: sum_k c_k prod_{j<=k} pi_j / p_j (n,), by the chances (n, K) of the draws.

    Reward interaction IPS: McInerney, Brost, Chandar et al., "Counterfactual evaluation of slate
    recommendations with sequential reward interactions", 2020. Right for both kinds of shoppers.
    """
    return np.asarray((rewards * np.cumprod(target / logged, axis=1)).sum(axis=1))


def doubly_robust_places(
    rewards: np.ndarray,
    logged: np.ndarray,
    target: np.ndarray,
    model: np.ndarray,
    expected: np.ndarray,
) -> np.ndarray:
    """A click model mended by :func:`iips`: expected + sum_k (c_k - q_k) pi / p (n,).

    `model` (n, K) is q of what was shown where, `expected` (n,) its sum over the policy's own
    lists. Right where the propensities are, sharper the better the model.
    """
    return np.asarray(expected + iips(rewards - model, logged, target))


def effective(w: np.ndarray) -> float:
    """Lists that weights (n, K) leave at the worst place: (sum w)^2 / sum w^2 (Kish, 1965)."""
    squares = (w**2).sum(axis=0)
    with np.errstate(invalid="ignore"):
        return float(np.nanmin(np.where(squares > 0, w.sum(axis=0) ** 2 / squares, 0.0)))


def refusal(w: np.ndarray) -> str:
    """Why a log with weights (n, K) cannot tell what other lists earn; empty where it can."""
    worth = effective(w)
    if worth >= MIN_EFFECTIVE:
        return ""
    return (
        f"the {len(w):,} lists are worth {worth:,.1f} for this order at its worst place, "
        f"{MIN_EFFECTIVE:.0f} are needed: collect more, or at a higher temperature"
    )


def lead(one: np.ndarray, other: np.ndarray, users: np.ndarray | None = None) -> Estimate:
    """How much more `one` earns a list than `other`, by influence values (n,) of the same lists.

    With `users` (n,), who saw each list, the interval is that of shoppers.
    """
    return estimate(one - other, users=users)


def _places(logits: np.ndarray, num: int) -> np.ndarray:
    u = logits - logits.max(axis=1, keepdims=True)
    there = np.isfinite(u)
    u = np.maximum(u, -REACH)
    rate = np.where(there, np.exp(u), 0.0)
    low = -np.log(rate.sum(axis=1).max()) - 16.0
    t = np.exp(np.arange(low, 4.0 - u[there].min(), STEP))
    waits = rate[:, :, None] * t  # (b, N, Q)
    others = _others(-np.expm1(-waits), num)
    return np.asarray(np.einsum("bnq,bnqk->bnk", STEP * waits * np.exp(-waits), others))


def _others(came: np.ndarray, num: int) -> np.ndarray:
    """Chance (b, N, Q, num) that 0, 1, ... candidates other than i came; `came` (b, N, Q)."""
    b, n, q = came.shape
    before, after = np.zeros((n + 1, b, q, num)), np.zeros((n + 1, b, q, num))
    before[0, ..., 0] = after[n, ..., 0] = 1.0
    for i in range(n):
        before[i + 1] = _one_more(before[i], came[:, i])
        after[n - 1 - i] = _one_more(after[n - i], came[:, n - 1 - i])
    both = [
        np.einsum("nbqj,nbqj->nbq", before[:-1, ..., : k + 1], after[1:, ..., k::-1])
        for k in range(num)
    ]
    return np.moveaxis(np.stack(both, axis=-1), 0, 1)


def _one_more(counts: np.ndarray, came: np.ndarray) -> np.ndarray:
    """Chances (b, Q, num) of counts after one more candidate, which came with chance (b, Q)."""
    found = counts * (1.0 - came)[..., None]
    found[..., 1:] += counts[..., :-1] * came[..., None]
    return np.asarray(found)
