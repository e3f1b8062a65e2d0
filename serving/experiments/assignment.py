"""Which arms a shopper is in: by hashing alone, so that every worker and every day agree.

Three independent draws of a shopper's id: whether held out of everything, where in each layer, and
which arm of the experiment whose room that is. Ramping up widens the room and moves nobody within
it; an arm's draw is salted with the experiment's name, so that the next experiment in the same room
deals its shoppers anew. Next: ``running.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from feature_repo.experiments import HOLDOUT, Arm, Kept

HELD_OUT, SERVED = "held_out", "served"


def place(salt: str, user_id: str) -> float:
    """A number in 0..1, uniform over shoppers, the same for ever, unrelated between salts.

    The first 53 bits of SHA-256 over the salt, a NUL and the id.
    """
    digest = hashlib.sha256(f"{salt}\0{user_id}".encode()).digest()
    return (int.from_bytes(digest[:8], "big") >> 11) / (1 << 53)


def is_held_out(user_id: str, share: float) -> bool:
    """Whether the shopper gets no intervention at all; a growing share keeps those held out."""
    return place(HOLDOUT, user_id) < share


def arm_of(kept: Kept, user_id: str, now: int) -> Arm | None:
    """The shopper's arm; None outside the room that the experiment has reached by `now`."""
    experiment = kept.experiment
    into = place(f"layer {experiment.layer}", user_id) - kept.position
    if not 0 <= into < experiment.ramped(now - kept.started_at):
        return None
    drawn, edge = place(f"arm {experiment.name}", user_id), 0.0
    for arm in experiment.arms:
        edge += arm.share
        if drawn < edge:
            return arm
    return experiment.arms[-1]


def arms_of(running: Iterable[Kept], user_id: str, now: int) -> dict[str, Arm]:
    """Experiment to the shopper's arm, of those that the shopper is in."""
    found = {kept.experiment.name: arm_of(kept, user_id, now) for kept in running}
    return {name: arm for name, arm in found.items() if arm is not None}
