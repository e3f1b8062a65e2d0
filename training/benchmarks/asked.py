"""How a user's own table is asked by training: how far ahead, how often, by which network.

What each table tells besides is the ``Question`` of its own module. Next: ``shop.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from training.models.config import check_positive
from training.recipes import RECIPES
from training.run import Calendar, Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What every question about such a table tells."""

    horizon_days: int = 90
    """Days after a moment in which what is asked about comes about."""
    num_seeds: int = 1
    size: str = "tiny"
    """Of the network: tiny, small or base."""
    num_epochs: int = 3
    """Passes over the training examples."""

    def __post_init__(self) -> None:
        check_positive(self, "horizon_days", "num_seeds", "num_epochs")


def run_of(task: str, asked: Asked, *, share: float = 1.0, calendar: Calendar | None = None) -> Run:
    """The recipe of a shop with `task` alone, of whose examples an epoch draws a `share`."""
    run = replace(
        RECIPES["shopper"](asked.size), name=task, tasks=(task,), task_weights=(1.0,),
        task_shares=(share,), calendar=calendar, horizon_days=asked.horizon_days,
    )  # fmt: skip
    return replace(run, optim=replace(run.optim, num_epochs=asked.num_epochs))
