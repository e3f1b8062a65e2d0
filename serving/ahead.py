"""A shopper's next steps: from what the user graph says to names, days and categories.

Next: ``routes/predict.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

Floats = NDArray[np.float32]
TASK = "next_actions"


class NextAction(BaseModel):
    """One of a shopper's next steps. After leaving, every step is leaving."""

    step: int = Field(description="its number, from 1")
    kind: str = Field(description="the likeliest outcome")
    probabilities: dict[str, float] = Field(
        description="of `view`, `click`, `cart`, `purchase`, `return`, and `leave`: nothing more "
        "within the horizon of training"
    )
    days: float = Field(description="median days from now to the step, if it comes")
    at: datetime = Field(description="the same as a moment (UTC)")
    category: str | None = Field(description="its likeliest category, if it comes; null: unknown")
    category_probability: float | None = Field(description="of that category")


@dataclass(frozen=True, slots=True)
class Ahead:
    """What is foreseen of one shopper's U next steps."""

    outcomes: tuple[str, ...]
    """The kinds of behaviour, and at last leaving."""
    kinds: Floats
    """(U, O), chances; each step's sum to 1."""
    days: Floats
    """(U,), median days until the step, if it comes."""
    category_names: tuple[str, ...]
    categories: Floats
    """(U, categories), chances of the step's category, if it comes."""

    @classmethod
    def of(cls, told: Mapping[str, Any], outputs: Mapping[str, NDArray]) -> Self:
        """What the user graph said of one shopper; `told` is the bundle's ``next_actions``."""
        names = tuple(told["categories"])
        return cls(
            outcomes=tuple(told["outcomes"]),
            kinds=outputs["step_kinds"][0],
            days=outputs["step_days"][0],
            category_names=names,
            categories=outputs["step_categories"][0][:, : len(names)],
        )

    @classmethod
    def average(cls, told: Mapping[str, Any]) -> Self:
        """What came of the average shopper, for one of whom nothing is known."""
        kinds = np.array(told["average"]["kinds"], dtype=np.float32)
        days = np.array(told["average"]["days"], dtype=np.float32)
        nothing = np.zeros((len(kinds), 0), dtype=np.float32)
        return cls(tuple(told["outcomes"]), kinds, days, (), nothing)

    def steps(self, asked_at: int) -> list[NextAction]:
        """The steps in the API's words, from the moment `asked_at` (microseconds, UTC) on."""
        now = datetime.fromtimestamp(asked_at / 1e6, UTC)
        found = []
        for place, (chances, days) in enumerate(zip(self.kinds, self.days, strict=True)):
            likely = int(self.categories[place].argmax()) if self.category_names else None
            found.append(
                NextAction(
                    step=place + 1,
                    kind=self.outcomes[int(chances.argmax())],
                    probabilities=dict(zip(self.outcomes, map(float, chances), strict=True)),
                    days=float(days),
                    at=now + timedelta(days=float(days)),
                    category=None if likely is None else self.category_names[likely],
                    category_probability=(
                        None if likely is None else float(self.categories[place, likely])
                    ),
                )
            )
        return found

    def scores(self) -> dict[str, float]:
        """Each chance as ``kind@step``, for the ledger."""
        return {
            f"{outcome}@{step}": float(chance)
            for step, chances in enumerate(self.kinds, 1)
            for outcome, chance in zip(self.outcomes, chances, strict=True)
        }
