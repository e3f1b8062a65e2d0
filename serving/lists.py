"""How ``POST /recommend`` orders the list of one shopper: as served, or as an arm says.

Experiments of the layer ``LISTS`` concern lists alone; all others concern decisions. Next:
``routes/recommend.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from feature_repo.experiments import LISTS, Arm, Experiment, Kept
from serving.experiments.assignment import arms_of
from serving.experiments.running import NOTHING
from serving.slate import Ordering
from training.policies.slate import Slate

TEMPERATURE = "temperature"
Load = Callable[[str], Ordering]
"""From the tag of a stored slate to its ordering; ``ValueError`` when there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """How one shopper's list is made."""

    ordering: Ordering
    arms: dict[str, str] = field(default_factory=dict)
    """Experiment to arm."""


def no_slate(tag: str) -> Ordering:
    """Of a service without a store of slates."""
    raise ValueError(f"no slate is stored under {tag!r}; learn one with `python -m serving slate`")


class Lists:
    """The orderings of one service.

    Parameters
    ----------
    served
        Of shoppers in no experiment about lists.
    running
        Gives the running experiments.
    load
        See ``Load``.
    """

    def __init__(
        self,
        served: Ordering | None = None,
        running: Callable[[], Sequence[Kept]] = tuple,
        load: Load = no_slate,
    ) -> None:
        self.served = served or Ordering()
        self._running, self._load = running, load
        self._made: dict[tuple[str, str], Ordering] = {}

    def __call__(self, user_id: str, now: int) -> Arranged:
        """How the list of `user_id` is made at the moment `now`."""
        own = [kept for kept in self._running() if kept.experiment.layer == LISTS]
        dealt = arms_of(own, user_id, now)
        named = {name: arm.name for name, arm in dealt.items()}
        for name, arm in dealt.items():  # one at most: experiments of a layer exclude each other
            key = (name, arm.name)
            if key not in self._made:
                self._made[key] = ordering_of(arm, self.served, self._load)
            return Arranged(ordering=self._made[key], arms=named)
        return Arranged(ordering=self.served)


def ordering_of(arm: Arm, served: Ordering, load: Load) -> Ordering:
    """What `arm` asks for: best first, a stored slate, or what is served at a temperature.

    Raises
    ------
    ValueError
        For a slate that there is not, or a setting that lists do not have.
    """
    if arm.policy:
        return Ordering() if arm.policy == NOTHING else load(arm.policy)
    if unknown := sorted(set(arm.settings) - {TEMPERATURE}):
        raise ValueError(
            f"arm {arm.name!r} sets {', '.join(unknown)} of a list; set {TEMPERATURE}, or name a "
            "stored slate"
        )
    if not arm.settings:
        return served
    temperature = arm.settings[TEMPERATURE]
    slate = replace(served.slate or Slate(), temperature=temperature)
    return Ordering(slate=slate, name=f"{served.name} {TEMPERATURE}={temperature:g}")


def check_lists(experiment: Experiment, served: Ordering, load: Load) -> None:
    """Refuse arms that no list could obey.

    Raises
    ------
    ValueError
        As :func:`ordering_of`.
    """
    for arm in experiment.arms:
        ordering_of(arm, served, load)
