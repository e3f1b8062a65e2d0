"""What ``POST /decide`` asks: by which policy is this shopper decided about, in which arms?

The running experiments are read from the warehouse at most once in ``REFRESH_S``: a stop is obeyed
by every worker within that time. Next: ``routes/decide.py``, which calls it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from feature_repo.experiments import HOLDOUT, LISTS, Arm, Kept
from serving.experiments.assignment import HELD_OUT, SERVED, arms_of, is_held_out
from training.policies import Policy

REFRESH_S = 1.0
NOTHING = "nothing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned:
    """How one shopper is decided about."""

    policy: Policy
    policy_name: str
    """For the ledger: name and version, and the settings that an arm changed."""
    arms: dict[str, str] = field(default_factory=dict)
    """Experiment to arm."""
    leave_alone: str = ""
    """Why nothing may be done, by a holdout or an arm; empty where the policy decides."""


class Assignment:
    """The experiments of one service.

    Parameters
    ----------
    policy, policy_name
        What is served to shoppers in no experiment.
    read
        Gives the running experiments.
    load
        The tag of a promoted policy to that policy; ``ValueError`` when there is none.
    holdout_share
        Of all shoppers.
    """

    def __init__(
        self,
        policy: Policy,
        policy_name: str,
        *,
        read: Callable[[], Sequence[Kept]],
        load: Callable[[str], Policy],
        holdout_share: float = 0.0,
        refresh_s: float = REFRESH_S,
        passing: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._policy_name = policy, policy_name
        self._read, self._load, self._holdout_share = read, load, holdout_share
        self._refresh_s, self._passing = refresh_s, passing
        self._running: tuple[float, Sequence[Kept]] | None = None
        self._made: dict[str, Policy] = {}

    def __call__(self, user_id: str, now: int) -> Assigned:
        """How `user_id` is decided about at the moment `now`."""
        arms: dict[str, str] = {}
        if self._holdout_share:
            held_out = is_held_out(user_id, self._holdout_share)
            arms[HOLDOUT] = HELD_OUT if held_out else SERVED
            if held_out:
                return self._alone(arms, "in the holdout, which shows what all actions bring")
        running = [kept for kept in self.running() if kept.experiment.layer != LISTS]
        dealt = arms_of(running, user_id, now)
        arms |= {name: arm.name for name, arm in dealt.items()}
        for name, arm in dealt.items():
            if arm.policy == NOTHING:
                return self._alone(arms, f"arm {arm.name!r} of experiment {name!r} does nothing")
        policy, policy_name = self._of(list(dealt.values()))
        return Assigned(policy=policy, policy_name=policy_name, arms=arms)

    def running(self) -> Sequence[Kept]:
        """The running experiments, as read a moment ago."""
        passed = self._passing()
        if self._running is None or passed - self._running[0] >= self._refresh_s:
            self._running = (passed, self._read())
        return self._running[1]

    def _alone(self, arms: dict[str, str], why: str) -> Assigned:
        return Assigned(policy=self._policy, policy_name=NOTHING, arms=arms, leave_alone=why)

    def _of(self, arms: Sequence[Arm]) -> tuple[Policy, str]:
        """The policy that the arms of all layers make together, kept for the next shopper."""
        settings = {name: value for arm in arms for name, value in arm.settings.items()}
        named = next((arm.policy for arm in arms if arm.policy), "")
        if not settings and not named:
            return self._policy, self._policy_name
        key = " ".join(
            [named or self._policy_name, *(f"{name}={v:g}" for name, v in sorted(settings.items()))]
        )
        if key not in self._made:
            base = self._load(named) if named else self._policy
            self._made[key] = changed(base, settings)
        return self._made[key], key


def changed(policy: Policy, settings: Mapping[str, float]) -> Policy:
    """`policy` with some settings exchanged.

    Raises
    ------
    ValueError
        When it has no such setting, or does not take the value.
    """
    plain = policy.to_dict()
    if unknown := sorted(set(settings) - set(plain)):
        raise ValueError(
            f"policy {policy.name!r} has no setting {', '.join(unknown)}; it has "
            f"{', '.join(sorted(plain))}"
        )
    return type(policy).from_dict(plain | dict(settings)) if settings else policy
