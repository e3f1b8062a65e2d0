"""Whether every action had a real chance with everybody; where not, effects are refused.

Next: ``average.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.effects.log import Log

LEAST_CHANCE = 0.01
"""Below it (Crump et al., 2009, trim below 0.1) an action had no real chance."""
MAX_WITHOUT = 0.05
"""Share of rows that may have had none."""
MIN_EFFECTIVE = 100.0
"""Rows that those of an action must be worth."""
MIN_IN_SEGMENT = 30
"""Rows that those of an action must be worth within a segment."""


@dataclass(frozen=True, slots=True)
class Reach:
    """One action in a log."""

    name: str
    num_rows: int
    least_chance: float
    without: float
    """Share of rows, of its own or of all where known, whose chance is under ``LEAST_CHANCE``."""
    effective: float
    """(sum w)^2 / sum w^2 of its rows, w = 1 / chance (Kish, 1965)."""

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why its effect can't be told; empty when it can."""
        found = []
        if self.without > MAX_WITHOUT:
            found.append(
                f"{self.name!r} had a chance under {LEAST_CHANCE} in {100 * self.without:.0f} % of "
                "the rows, so that those who get it and those who don't are different people"
            )
        if self.effective < MIN_EFFECTIVE:
            found.append(
                f"the {self.num_rows:,} rows with {self.name!r} are worth {self.effective:,.0f} "
                f"and {MIN_EFFECTIVE:.0f} are needed (least chance {self.least_chance:.2g})"
            )
        return tuple(found)


def overlap(log: Log, chances: np.ndarray | None = None) -> list[Reach]:
    """How far the log reaches for each action; `chances` (n, A) of all actions, where known."""
    return [
        _reach(
            name,
            log.propensity[log.action == number],
            log.propensity[log.action == number] if chances is None else chances[:, number],
        )
        for number, name in enumerate(log.actions)
    ]


def check_overlap(log: Log, chances: np.ndarray | None = None) -> list[Reach]:
    """``overlap``, and go on only where effects can be told.

    Raises
    ------
    ValueError
        With all that stands against it.
    """
    found = overlap(log, chances)
    if refused := [reason for reach in found for reason in reach.refusals]:
        raise ValueError(
            f"there is no overlap, so no effect can be told: {', and '.join(refused)}; draw some "
            "actions at random, collect more, or leave out the rows where only one could happen"
        )
    return found


def _reach(name: str, own: np.ndarray, everybody: np.ndarray) -> Reach:
    return Reach(
        name=name,
        num_rows=len(own),
        least_chance=float(everybody.min()),
        without=float((everybody < LEAST_CHANCE).mean()),
        effective=effective_size(own),
    )


def effective_size(propensity: np.ndarray) -> float:
    """(sum w)^2 / sum w^2 with w = 1 / `propensity` (n,); 0 without a row."""
    weight = 1.0 / propensity
    return float(weight.sum() ** 2 / (weight**2).sum()) if len(weight) else 0.0
