"""What an experiment found, in sentences that a shopkeeper reads. Next: ``page.py``."""

from __future__ import annotations

import math
from collections.abc import Iterable

from serving.experiments.analysis import Analysis, Finding, Guarded
from serving.experiments.questions import Metric
from training.metrics.experiment.confidence_sequence import FIRST_CHANGES, FIRST_LOOK


def verdict(found: Analysis) -> list[str]:
    """The answer, arm by arm, and what stands in its way."""
    if found.is_mismatched:
        return [
            f"No conclusion: shoppers fell into the arms in other shares than planned "
            f"({counts(found)}; p = {found.mismatch:.1g}). Find what loses or moves them first."
        ]
    first = found.setup.metrics[0]
    lines = [crossed(guarded) for guarded in found.crossed]
    lines += [sentence(finding) for finding in found.of(first)]
    return lines or [f"Nothing to compare yet: {counts(found)}."]


def sentence(finding: Finding) -> str:
    """What is known of one effect."""
    metric, (low, high) = finding.metric, finding.interval
    if not finding.is_enough:
        return (
            f"{finding.arm}: too early to say anything of {metric.words} (each arm needs "
            f"{FIRST_LOOK} users, {FIRST_CHANGES} of them unlike most)."
        )
    between = span(metric, low, high)
    if not finding.is_told:
        return f"{finding.arm}: no effect on {metric.words} is told yet; it lies within {between}."
    verb = "raises" if finding.effect.value > 0 else "lowers"
    return (
        f"{finding.arm} {verb} {metric.words} by {amount(metric, abs(finding.effect.value), '')} "
        f"({between}){lift(finding)}. This holds however often it was looked at."
    )


def crossed(guarded: Guarded) -> str:
    """Why an experiment was stopped."""
    finding, rail = guarded.finding, guarded.guardrail
    side = "at least" if rail.is_ceiling else "at most"
    return (
        f"Guardrail {rail} is crossed by {finding.arm}: the effect on {rail.metric.words} is "
        f"surely {side} {amount(rail.metric, guarded.bound)}."
    )


def guard(guarded: Guarded) -> str:
    """Where one guardrail stands."""
    if guarded.is_crossed:
        return crossed(guarded)
    if not guarded.finding.is_enough:
        return f"{guarded.finding.arm}, {guarded.guardrail}: too early to say."
    return (
        f"{guarded.finding.arm}, {guarded.guardrail}: not crossed, the effect is "
        f"{amount(guarded.guardrail.metric, guarded.finding.effect.value)} so far."
    )


def counts(found: Analysis) -> str:
    """How many users each arm has."""
    return ", ".join(f"{arm} {num:,}" for arm, num in found.counts.items())


def amount(metric: Metric, value: float, plus: str = "+") -> str:
    """A difference in the metric's unit: points of a proportion, else plain."""
    if math.isinf(value):
        return "any amount" if value > 0 else "minus any amount"
    if metric.kind == "proportion":
        return f"{100 * value:{plus}.2f} points"
    return f"{value:{plus}.3g}"


def span(metric: Metric, low: float, high: float) -> str:
    """An interval of differences, its unit said once."""
    if math.isinf(low) or math.isinf(high) or metric.kind != "proportion":
        return f"{amount(metric, low)} to {amount(metric, high)}"
    return f"{100 * low:+.2f} to {100 * high:+.2f} points"


def level(metric: Metric, value: float) -> str:
    """The metric itself."""
    return f"{100 * value:.2f} %" if metric.kind == "proportion" else f"{value:.4g}"


def lift(finding: Finding) -> str:
    """The effect as a share of the control's."""
    share = finding.effect.lift
    return f", {100 * share:+.1f} % of the control" if math.isfinite(share) else ""


def method(found: Analysis) -> Iterable[str]:
    """How it was measured."""
    setup = found.setup
    yield (
        f"One value for each user. Effects are arm minus {setup.control}; intervals are "
        f"{1 - setup.alpha:.0%} confidence sequences (Waudby-Smith et al., 2024), narrowest near "
        f"{setup.planned_num:,} users: they hold at all looks together, so one may stop any day."
    )
    if len(setup.arms) > 2:
        num = len(setup.arms) - 1
        yield f"With {num} treated arms each has alpha {setup.arm_alpha:.3g} (Bonferroni)."
    cut = next((finding.variance_cut for finding in found.findings), 0.0)
    if cut > 0:
        yield (
            f"CUPED: what was known of each user before takes {cut:.0%} of the noise out of "
            f"{setup.metrics[0].words} (Deng et al., 2013)."
        )
    if any(metric.kind == "ratio" for metric in setup.metrics):
        yield "Ratios are sums over sums, clustered by user (delta method, Deng et al., 2018)."
    if setup.segments:
        yield f"P-values of segments are corrected for their number ({setup.correction.title()})."
    yield (
        "The sample ratio is tested at every look at once by a mixture over other shares (Lindon "
        f"and Malek, 2022): {counts(found)}, p = {found.mismatch:.2g}."
    )
