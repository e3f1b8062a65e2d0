"""What one decision says: plain values.

Next: ``campaigns.py`` for what it must keep to, ``ledger.py`` which keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOTHING = "nothing"
LATER = "@later"
"""Ends the name of an action that begins at ``scores["act_at"]``, not when it is decided."""
KINDS_OF_ANSWER = ("recommend", "predict", "decide")


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """One answer: what was asked, with which probabilities, and what was chosen."""

    decision_id: str
    kind: str
    """One of ``KINDS_OF_ANSWER``."""
    user_id: str
    decided_at: int
    model_version: str
    feature_version: str
    policy: str | None = None
    action: str | None = None
    """What was done (decide only)."""
    probabilities: dict[str, float] = field(default_factory=dict)
    """Action or item to the probability with which it was chosen: the propensity."""
    scores: dict[str, Any] = field(default_factory=dict)
    reason: str = ""
    notices: tuple[str, ...] = ()
    campaign_id: str | None = None
    cost_micros: int = 0
    request: dict[str, Any] = field(default_factory=dict)
    arms: dict[str, str] = field(default_factory=dict)
    """Experiment to the arm that the shopper is in; the probabilities are those of these arms."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS_OF_ANSWER:
            raise ValueError(f"decision kind is {self.kind!r}; it must be one of {KINDS_OF_ANSWER}")
        if self.cost_micros < 0:
            raise ValueError(
                f"decision {self.decision_id!r}: cost_micros is {self.cost_micros}; "
                "it must be at least 0"
            )


def deed_of(action: str | None) -> str:
    """What is done, whenever it begins: ``coupon`` of ``coupon@later``."""
    return (action or "").removesuffix(LATER)


def begins_at(decision: Decision) -> int:
    """When what was decided is to be done."""
    return int(decision.scores.get("act_at", decision.decided_at))


def row_of(decision: Decision) -> dict[str, Any]:
    """The decision as a row of the ledger's table."""
    values = {name: getattr(decision, name) for name in Decision.__slots__}
    return values | {"notices": list(decision.notices)}


def decision_of(row: Mapping[Any, Any]) -> Decision:
    """What :func:`row_of` gave; what an older version did not keep is empty."""
    values = {name: row[name] for name in Decision.__slots__}
    values |= {"notices": tuple(row["notices"]), "reason": row["reason"] or ""}
    return Decision(**values | {"arms": row["arms"] or {}})
