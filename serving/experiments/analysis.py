"""From a table of users to what an experiment found: shares, effects, guardrails, segments.

The table has one row for each user in order of arrival: an `arm`, the metrics' columns, and, where
it is known, `before`, a value from before the experiment. Next: ``words.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from serving.experiments.questions import Guardrail, Metric
from training.metrics.experiment import confidence_sequence as sequence
from training.metrics.experiment import corrections, cuped, sample_ratio
from training.metrics.experiment.effects import (
    Effect,
    Sample,
    effect,
    sample,
    welch_interval,
    welch_p_value,
)

NUM_LOOKS = 40
"""Points of the effect's curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What was laid down before the data came."""

    control: str
    arms: tuple[str, ...]
    """All of them, the control first."""
    shares: tuple[float, ...]
    metrics: tuple[Metric, ...]
    guardrails: tuple[Guardrail, ...] = ()
    segments: tuple[str, ...] = ()
    """Columns whose values part the users."""
    correction: str = "holm"
    alpha: float = 0.05
    planned_num: int = 2_000

    def __post_init__(self) -> None:
        if self.correction not in corrections.CORRECTIONS:
            names = ", ".join(corrections.CORRECTIONS)
            raise ValueError(f"there is no correction {self.correction!r}; choose from {names}")

    @property
    def arm_alpha(self) -> float:
        """Alpha of one treated arm: all of them together err with `alpha` (Bonferroni)."""
        return self.alpha / (len(self.arms) - 1)

    def planned(self, arm: str) -> int:
        """Planned users of `arm` and the control."""
        share = dict(zip(self.arms, self.shares, strict=True))
        return max(1, round(self.planned_num * (share[self.control] + share[arm])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One metric of one treated arm against the control."""

    metric: Metric
    arm: str
    effect: Effect
    """After CUPED where `before` was known."""
    interval: tuple[float, float]
    """Always valid."""
    p_value: float
    """Always valid."""
    once: tuple[float, float]
    """Of one look (Welch)."""
    once_p_value: float
    plain: tuple[Sample, Sample]
    """Control and treated arm as they are, without CUPED."""
    variance_cut: float
    is_enough: bool
    """Whether both arms are numerous enough to conclude anything."""
    segment: str = ""

    @property
    def is_told(self) -> bool:
        """Whether the effect is told from 0."""
        low, high = self.interval
        return self.is_enough and (low > 0 or high < 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """One guardrail for one arm."""

    guardrail: Guardrail
    finding: Finding
    bound: float
    """The always-valid one-sided bound on the effect."""

    @property
    def is_crossed(self) -> bool:
        """Whether the effect surely lies beyond the guardrail."""
        rail = self.guardrail
        beyond = self.bound > rail.bound if rail.is_ceiling else self.bound < rail.bound
        return self.finding.is_enough and beyond


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """All that was found."""

    setup: Setup
    counts: dict[str, int]
    """Users by arm."""
    mismatch: float
    """P-value that the counts fit the shares, at any time of stopping."""
    findings: list[Finding]
    """Metric by metric, arm by arm; the first is what the experiment is decided by."""
    guarded: list[Guarded] = field(default_factory=list)
    segments: list[tuple[Finding, float]] = field(default_factory=list)
    """Findings of the first metric by segment, with p-values corrected for their number."""
    curves: dict[str, list[tuple[int, Finding]]] = field(default_factory=dict)
    """Treated arm to (users so far, finding of the first metric then)."""

    @property
    def is_mismatched(self) -> bool:
        """Whether users fell into the arms in other shares than they should."""
        return self.mismatch < sample_ratio.ALARM

    @property
    def crossed(self) -> list[Guarded]:
        """Guardrails that were crossed."""
        return [guarded for guarded in self.guarded if guarded.is_crossed]

    def of(self, metric: Metric) -> list[Finding]:
        """The findings of one metric."""
        return [finding for finding in self.findings if finding.metric == metric]


def analyse(table: pl.DataFrame, setup: Setup) -> Analysis:
    """What `table` says about the arms of `setup`."""
    counted = dict(table.group_by("arm").len().iter_rows())
    counts = {arm: counted.get(arm, 0) for arm in setup.arms}
    first = setup.metrics[0]
    return Analysis(
        setup=setup,
        counts=counts,
        mismatch=sample_ratio.p_value(list(counts.values()), setup.shares),
        findings=[f for metric in setup.metrics for f in find(table, metric, setup)],
        guarded=[found for rail in setup.guardrails for found in _guard(table, rail, setup)],
        segments=_segments(table, first, setup),
        curves=_curves(table, first, setup),
    )


def find(table: pl.DataFrame, metric: Metric, setup: Setup, segment: str = "") -> list[Finding]:
    """Every treated arm against the control; arms without users are left out."""
    parts = {arm: table.filter(pl.col("arm") == arm) for arm in setup.arms}
    present = {arm: part for arm, part in parts.items() if len(part) and _has(part, metric)}
    if setup.control not in present or len(present) < 2:
        return []
    values = [metric.values(part) for part in present.values()]
    adjusted = cuped.Adjusted(values, 0.0)
    if "before" in table.columns:
        before = [part["before"].cast(pl.Float64).to_numpy() for part in present.values()]
        adjusted = cuped.adjust(values, before)
    found = []
    for place, arm in enumerate(present):
        if arm == setup.control:
            continue
        difference = effect(adjusted.values[0], adjusted.values[place])
        rho2 = sequence.tuning(setup.planned(arm), setup.arm_alpha)
        found.append(
            Finding(
                metric=metric,
                arm=arm,
                effect=difference,
                interval=sequence.interval(difference, rho2, setup.arm_alpha),
                p_value=sequence.p_value(difference, rho2),
                once=welch_interval(difference, setup.arm_alpha),
                once_p_value=welch_p_value(difference),
                plain=(sample(values[0]), sample(values[place])),
                variance_cut=adjusted.variance_cut,
                is_enough=sequence.may_look([values[0], values[place]]),
                segment=segment,
            )
        )
    return found


def _has(users: pl.DataFrame, metric: Metric) -> bool:
    """Whether the metric can be taken of these users: a ratio needs something to divide by."""
    return metric.kind != "ratio" or float(users[metric.per].cast(pl.Float64).sum()) > 0


def _guard(table: pl.DataFrame, rail: Guardrail, setup: Setup) -> Iterable[Guarded]:
    """All guardrails of all arms together stop an innocent experiment with alpha at most."""
    alpha = setup.arm_alpha / len(setup.guardrails)
    bound_of = sequence.lower_bound if rail.is_ceiling else sequence.upper_bound
    for finding in find(table, rail.metric, setup):
        rho2 = sequence.tuning(setup.planned(finding.arm), min(2 * alpha, 0.5))
        bound = bound_of(finding.effect, rho2, alpha)
        yield Guarded(guardrail=rail, finding=finding, bound=bound)


def _segments(table: pl.DataFrame, metric: Metric, setup: Setup) -> list[tuple[Finding, float]]:
    found = []
    for column in setup.segments:
        for value in table[column].cast(pl.String).fill_null("unknown").unique().sort():
            own = pl.col(column).cast(pl.String).fill_null("unknown") == value
            found += find(table.filter(own), metric, setup, f"{column} {value}")
    correct = corrections.CORRECTIONS[setup.correction]
    p_values = correct([f.p_value if f.is_enough else 1.0 for f in found])
    return list(zip(found, p_values, strict=True))


def _curves(
    table: pl.DataFrame, metric: Metric, setup: Setup
) -> dict[str, list[tuple[int, Finding]]]:
    """The first metric at looks spread evenly over the users in their order of arrival."""
    curves: dict[str, list[tuple[int, Finding]]] = {arm: [] for arm in setup.arms[1:]}
    for end in looks(len(table)):
        for finding in find(table.head(end), metric, setup):
            if finding.is_enough:
                curves[finding.arm].append((end, finding))
    return curves


def looks(num: int) -> Sequence[int]:
    """Numbers of users at which to look, the last being all `num`."""
    ends = np.unique(np.linspace(0, num, min(NUM_LOOKS, num) + 1).round().astype(int))
    return [int(end) for end in ends if end > 0]
