"""The report on other policies: words, tables and pictures of ``offpolicy.py``'s findings.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from training.benchmarks import plots
from training.benchmarks.offpolicy import ALWAYS, BEST, Judged, OffPolicy, Question
from training.benchmarks.page import cell, digits_for, note, pair, report
from training.effects.overlap import LEAST_CHANCE
from training.metrics.offpolicy.estimators import ESTIMATORS
from training.metrics.offpolicy.support import MIN_EFFECTIVE
from training.pages import card, cards, listing, number, section, span, table

MOST_SHOWN = 30
"""Policies in a picture."""
MOST_PRINTED = 10
"""Single actions on a terminal."""
HOW = (
    "Each estimate is a mean of one value per decision, with its normal 95 % interval. The "
    "model of the reward did not see the decision that it is asked about (five folds).",
    "The direct method's interval does not know what its model misses; the others are right where "
    "the propensities are.",
    "Effective rows: (sum of w) squared over the sum of w squared, w being how much more often the "
    "policy does what was done. A policy is refused under 100 of them, where it does what was "
    "never done, or where the mean of w is not 1.",
)
LIMITS = (
    "Each decision counts as one of its own: where somebody met several, intervals are too narrow.",
    "What a policy changes later (people who get used to it) is not seen in single decisions.",
    "The best of many policies is chosen after the fact: expect it to do somewhat worse.",
)


def page(name: str, found: OffPolicy, q: Question) -> str:
    """The whole page of the log called `name`."""
    facts = [
        f"{len(found.table.action):,} decisions of {name}",
        f"{len(found.table.names)} actions in {q.action}",
        f"reward {q.reward}",
        f"model {q.base}",
        f"seed {q.seed}",
    ]
    heads, rows = estimate_rows(found, found.told)
    parts = [_cards(found), section("What it says", listing(words(found)))]
    if rows:
        parts.append(section("Every estimator", _note() + table(heads, rows)))
    parts.append(_pictures(found))
    if refused := [one for one in found.judged if one.evaluation.refusals]:
        lines = [f"{one.name}: {'; '.join(one.evaluation.refusals)}." for one in refused]
        parts.append(section("What the log cannot judge", listing(lines)))
    parts.append(section("How it was measured", listing([*found.table.notes, *HOW])))
    parts.append(section("What this cannot tell", listing(LIMITS)))
    return report(f"Other policies on {name}", facts, parts)


def words(found: OffPolicy) -> Iterator[str]:
    """The findings, a sentence each."""
    log, num = found.earned, len(found.judged)
    digits = _digits(found)
    yield (f"The log earned {log.value:.{digits}f} a decision ({span(log.low, log.high, digits)}).")
    if not found.told:
        yield f"It cannot judge any of the {num} policies; the reasons stand with each."
        return
    yield f"It can judge {len(found.told)} of {num} policies."
    best = found.told[0]
    value, lead = best.evaluation.estimates[BEST], best.lead
    surely = (
        "more than the log" if lead.low > 0 else "less than the log" if lead.high < 0 else
        "not surely more than the log"
    )  # fmt: skip
    yield (
        f"Surest by doubly robust: {best.name}, {value.value:.{digits}f} "
        f"({span(value.low, value.high, digits)}), {lead.value:+.{digits}f} over the log "
        f"({span(lead.low, lead.high, digits)}): {surely}."
    )


def brief(found: OffPolicy) -> list[Judged]:
    """Those that a terminal shows: all but single actions, and the best of these."""
    singles = [one for one in found.told if one.name.startswith(ALWAYS)]
    others = [one for one in found.judged if not one.name.startswith(ALWAYS)]
    return others + singles[:MOST_PRINTED]


def estimate_rows(found: OffPolicy, judged: Sequence[Judged]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: policies down, what the log is worth and every estimator across."""
    digits, rows = _digits(found), []
    for one in judged:
        reach = one.evaluation.support
        row = [one.name, f"{reach.effective:,.1f}"]
        if one.evaluation.refusals:
            rows.append([*row, *["refused"] * (len(ESTIMATORS) + 1)])
            continue
        made = [one.lead, *(one.evaluation.estimates[name] for name in ESTIMATORS)]
        rows.append([*row, *(cell(e.value, e.low, e.high, digits) for e in made)])
    return ["policy", "worth", "lead over the log", *ESTIMATORS], rows


def _digits(found: OffPolicy) -> int:
    return min(6, max(3, digits_for([found.earned.value])))


def _note() -> str:
    return note(
        "Reward per decision, with 95 % intervals; the lead is by doubly robust. "
        "Worth: effective rows."
    )


def _cards(found: OffPolicy) -> str:
    digits, log = _digits(found), found.earned
    said = f"a decision, {span(log.low, log.high, digits)}"
    boxes = [card("The log itself", number(log.value, digits), said)]
    for one in found.told[:2]:
        value, lead = one.evaluation.estimates[BEST], one.lead
        mood = "better" if lead.low > 0 else "worse" if lead.high < 0 else ""
        said = f"doubly robust, {span(value.low, value.high, digits)}"
        boxes.append(card(one.name, number(value.value, digits), said, mood))
    able = f"{len(found.told)} of {len(found.judged)}"
    mood = "" if found.told else "worse"
    boxes.append(card("Policies it can judge", able, "the others are refused", mood))
    return cards(boxes)


def _pictures(found: OffPolicy) -> str:
    told = found.told[:MOST_SHOWN]
    pictures = []
    if told:
        values = [_interval(one) for one in told]
        names = [one.name for one in told]
        pictures.append(plots.forest(names, values, "Lead over the log", "reward a decision"))
    shown = _shown(found.judged)
    worth = [one.evaluation.support.effective for one in shown]
    pictures.append(plots.sizes([one.name for one in shown], worth, MIN_EFFECTIVE))
    spread = plots.chances({"all": found.table.propensity}, "Overlap", LEAST_CHANCE)
    return section("Leads, and what the log is worth", pair(*pictures, spread))


def _interval(one: Judged) -> tuple[float, float, float]:
    return one.lead.value, one.lead.low, one.lead.high


def _shown(judged: Sequence[Judged]) -> list[Judged]:
    """Those for which the log is worth most."""
    order = sorted(judged, key=lambda one: -one.evaluation.support.effective)
    return order[:MOST_SHOWN]
