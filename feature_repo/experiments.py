"""What an experiment is: arms, layer, ramp-up, metrics and guardrails, as plain values.

An experiment holds a room of its layer, and its shoppers are dealt by their ids alone, in
``serving/experiments/assignment.py``. Next: ``exposures.py``, which keeps them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from feature_repo.settings import DAY

HOLDOUT = "holdout"
"""The experiment that always runs where a share of shoppers is held out."""
LISTS = "recommend"
"""The layer of experiments about lists of items; all others are about decisions."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Arm:
    """One way of treating shoppers."""

    name: str
    share: float
    """Of the experiment's shoppers; the shares of all arms sum to 1."""
    policy: str = ""
    """"nothing", the tag of a promoted policy, or empty for the one that is served."""
    settings: Mapping[str, float] = field(default_factory=dict)
    """Settings of the policy that differ in this arm."""

    @property
    def changes(self) -> set[str]:
        """What the arm sets: "policy", and names of settings."""
        return ({"policy"} if self.policy else set()) | set(self.settings)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """A question put to shoppers at random. The first arm is the control."""

    name: str
    arms: tuple[Arm, ...]
    layer: str = "decide"
    traffic: float = 1.0
    """Share of the layer's shoppers that it holds once ramped up."""
    steps: tuple[tuple[float, float], ...] = ((0.0, 1.0),)
    """(days since the start, share of `traffic` from then on), rising."""
    metrics: tuple[str, ...] = ("purchase",)
    """Names of outcomes; the first is what the experiment is decided by."""
    guardrails: tuple[str, ...] = ()
    """Bounds on effects, as ``returned<0.5``: it is stopped once one is surely crossed."""
    window_days: float = 7.0
    """Outcomes count this long from a shopper's first exposure."""
    before_days: float = 28.0
    """Spend this long before it serves CUPED."""
    margin: float = 1.0
    """Share of revenue that is profit, before an action's cost."""
    planned_num: int = 2_000
    """Shoppers in all arms for which the always-valid interval is narrowest."""
    alpha: float = 0.05

    def __post_init__(self) -> None:
        self._check_arms()
        for name, low, high in (("traffic", 0, 1), ("alpha", 0, 0.5), ("margin", 0, 1)):
            if not low < getattr(self, name) <= high:
                value = getattr(self, name)
                self._refuse(f"{name} is {value}; it must lie above {low} and up to {high}")
        if self.window_days <= 0 or self.before_days <= 0 or self.planned_num < 1:
            self._refuse("window, days before and planned shoppers; they must be above 0")
        if not self.metrics:
            self._refuse("it measures nothing; name a metric")
        days, shares = zip(*self.steps, strict=True)
        rising = list(days) == sorted(days) and list(shares) == sorted(shares) and days[0] == 0
        if not rising or not shares[0] > 0 or shares[-1] > 1:
            self._refuse(
                f"ramp-up steps {list(self.steps)}; begin at day 0 and rise to a share of 1 at most"
            )

    def _check_arms(self) -> None:
        names = [arm.name for arm in self.arms]
        if len(names) < 2 or len(set(names)) < len(names) or not all(names):
            self._refuse(f"arms {names}; give at least two different ones")
        shares = [arm.share for arm in self.arms]
        if min(shares) <= 0 or abs(sum(shares) - 1) > 1e-6:
            self._refuse(f"shares of the arms {shares}; each above 0, and 1 together")

    def _refuse(self, why: str) -> None:
        raise ValueError(f"experiment {self.name!r}: {why}")

    @property
    def shares(self) -> list[float]:
        """Of the arms, in their order."""
        return [arm.share for arm in self.arms]

    @property
    def changes(self) -> set[str]:
        """What its arms set."""
        found = set().union(*(arm.changes for arm in self.arms))
        return {f"list {one}" for one in found} if self.layer == LISTS else found

    def ramped(self, elapsed: int) -> float:
        """Share of the whole layer that it takes `elapsed` microseconds after its start."""
        reached = [share for days, share in self.steps if days * DAY <= elapsed]
        return self.traffic * (reached[-1] if reached else 0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """An experiment in the warehouse."""

    experiment: Experiment
    position: float
    """Where in the layer, 0..1, its room begins."""
    started_at: int
    stopped_at: int | None = None
    stop_reason: str | None = None


def check_layers(experiment: Experiment, running: Sequence[Kept]) -> None:
    """Layers are independent of each other: refuse to set what another one sets."""
    for other in (kept.experiment for kept in running):
        both = sorted(experiment.changes & other.changes)
        if both and other.layer != experiment.layer:
            raise ValueError(
                f"experiment {other.name!r} in layer {other.layer!r} sets {', '.join(both)} too; "
                f"start this one in that layer, where a shopper is in one of them at most"
            )


def room(experiment: Experiment, running: Sequence[Kept]) -> float:
    """Where the first gap of the layer that is wide enough begins, 0..1.

    Raises
    ------
    ValueError
        When there is none.
    """
    taken = sorted(
        (kept.position, kept.position + kept.experiment.traffic)
        for kept in running
        if kept.experiment.layer == experiment.layer
    )
    begin = 0.0
    for low, high in taken:
        if low - begin >= experiment.traffic - 1e-9:
            return begin
        begin = max(begin, high)
    if 1.0 - begin >= experiment.traffic - 1e-9:
        return begin
    used = sum(high - low for low, high in taken)
    raise ValueError(
        f"layer {experiment.layer!r} has {1 - used:.0%} of its shoppers left, {experiment.name!r} "
        f"wants {experiment.traffic:.0%} in one piece; take less traffic, or stop another first"
    )
