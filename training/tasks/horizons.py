"""Leaving at several horizons as one survival curve in discrete time.

The horizon is cut into intervals. The network learns the hazard of each: the chance of a purchase
in it for whoever bought in none before. Its likelihood is a log loss over the intervals in which a
shopper was still waited for and that were over by the cut (Brown, 1975; Singer and Willett, 1993),
so that a window still open teaches what it already showed and nothing is guessed. Survival is the
product of what the hazards leave, and therefore never rises with the horizon. Next:
``retention.py``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl
    from torch import Tensor

NUM_INTERVALS = 3


def ends(horizon: int) -> tuple[int, ...]:
    """Where the intervals of `horizon` end, in its unit, the last with the horizon itself."""
    return tuple(horizon * (k + 1) // NUM_INTERVALS for k in range(NUM_INTERVALS))


def survival_labels(wait: pl.Series, seen: pl.Expr, horizon: int) -> list[pl.Expr]:
    """For each interval: 1.0 without a purchase up to its end, 0.0 with one, null while it is open.

    Parameters
    ----------
    wait
        Time until the next purchase, null where none is known.
    seen
        Time until the cut, after which nothing is known.
    """
    import polars as pl

    return [
        pl.when(seen >= end).then(pl.lit((wait.is_null() | (wait >= end)).cast(pl.Float64)))
        for end in ends(horizon)
    ]


def hazards_taught(survived_BK: Tensor) -> Tensor:
    """What survival labels say of each interval's hazard: NaN after a purchase, or while open."""
    import torch

    before_BK = torch.cat([torch.ones_like(survived_BK[:, :1]), survived_BK[:, :-1]], dim=1)
    return torch.where(before_BK == 1.0, 1.0 - survived_BK, torch.nan)


def survival(hazard_BK: Tensor) -> Tensor:
    """Chance (B, K) of no purchase by the end of each interval: S_k = prod_{j <= k} (1 - h_j)."""
    import torch

    left = [1.0 - hazard_BK[:, 0]]
    for k in range(1, hazard_BK.shape[1]):
        left.append(left[-1] * (1.0 - hazard_BK[:, k]))
    return torch.stack(left, dim=1)
