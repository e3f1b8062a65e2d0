"""The report on what a treatment changes: words, tables and pictures of ``uplift.py``'s findings.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from training.benchmarks import plots
from training.benchmarks.page import cell, digits_for, note, pair, report
from training.benchmarks.treatments import Question
from training.benchmarks.uplift import AVERAGE, QUARTERS, RANDOM, Uplift
from training.effects.average import Effect
from training.effects.overlap import LEAST_CHANCE
from training.metrics.uplift_draws import Drawn
from training.pages import card, cards, listing, number, section, span, table

FLOORS = (AVERAGE, RANDOM)
METRICS = {
    "qini_by_perfect_curve": "Qini, by perfect curve",
    "auuc_by_perfect_curve": "AUUC, by perfect curve",
    "qini_unnormalised": "Qini, unnormalised",
    "auuc_unnormalised": "AUUC, unnormalised",
    "uplift_at_0.1_overall": "uplift at 10 %",
    "uplift_at_0.3_overall": "uplift at 30 %",
    "uplift_at_0.1_by_group": "at 10 %, by group",
    "uplift_at_0.3_by_group": "at 30 %, by group",
}
HOW = (
    "By perfect curve: the area between a score's curve and the straight line, as a share of that "
    "of a perfect ranking (scikit-uplift); for outcomes of 0 and 1 alone.",
    "Unnormalised: the curve's mean height in outcomes, which grows with the table (CausalML); its "
    "AUUC is not taken above the straight line, so that the floors have one too.",
    "Every score of a row comes from models that did not see it (five folds). Intervals of metrics "
    "are of draws of rows with replacement, the same draws for all scores; those of effects are "
    "normal ones of doubly robust values (AIPW).",
)
LIMITS = (
    "Each row counts as one of its own: where somebody has several, the intervals are too narrow.",
    "The best of many scores is chosen after the fact: expect it to do somewhat worse next time.",
    "Segments were looked through after the fact: one in twenty looks real by chance.",
)


def page(name: str, found: Uplift, q: Question) -> str:
    """The whole page of the table called `name`."""
    log = found.table.log
    facts = [
        f"{len(log.outcome):,} rows of {name}",
        f"treatment {q.treatment}, control {log.actions[0]}",
        f"outcome {q.outcome}",
        f"seed {q.seed}",
    ]
    parts = [_cards(found), section("What it says", listing(words(found)))]
    for arm in log.actions[1:]:
        parts.append(_arm(arm, found))
    parts += [_quarters(found), *_segments(found), _gains(found, q), _overlap(found)]
    parts.append(section("How it was measured", listing([*found.table.notes, *HOW])))
    parts.append(section("What this cannot tell", listing(LIMITS)))
    return report(f"Uplift in {name}", facts, parts)


def words(found: Uplift) -> Iterator[str]:
    """The findings, a sentence each."""
    for effect in found.effects:
        digits = digits_for([effect.value])
        sure = "" if effect.low > 0 or effect.high < 0 else "; it may be nothing"
        yield (
            f"{effect.action}: {effect.value:+.{digits}f} on average "
            f"({span(effect.low, effect.high, digits)}){sure}; the plain difference of means is "
            f"{found.differences[effect.action]:+.{digits}f}."
        )
    for arm, scores in found.metrics.items():
        learners = {name: one for name, one in scores.items() if name not in FLOORS}
        best = max(learners, key=lambda name: learners[name]["qini_unnormalised"].low)
        qini = learners[best][qini_name(learners[best])]
        means = (
            "so it finds those whom it changes more"
            if qini.low > 0
            else "no score is surely better than treating whomever"
        )
        yield (
            f"{arm}: the surest order is that of {best}, Qini {qini.value:.3f} "
            f"({span(qini.low, qini.high)}), {means}."
        )
    yield from (one for one in found.table.notes if one.startswith("NOT DRAWN"))


def qini_name(metrics: dict[str, Drawn]) -> str:
    """The Qini that there is."""
    by_curve = "qini_by_perfect_curve"
    return by_curve if by_curve in metrics else "qini_unnormalised"


def metric_rows(scores: dict[str, dict[str, Drawn]]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: scores down, metrics across."""
    known = [name for name in METRICS if name in next(iter(scores.values()))]
    rows = []
    digits = {m: digits_for(one[m].value for one in scores.values()) for m in known}
    for name, one in scores.items():
        cells = [cell(one[m].value, one[m].low, one[m].high, min(digits[m], 4)) for m in known]
        rows.append([name, *cells])
    return ["learner, base", *(METRICS[name] for name in known)], rows


def gain_rows(found: Uplift) -> list[list[str]]:
    """Way of treating, share treated, profit per row with its interval."""
    digits = digits_for(one.value for _, one in found.gains)
    return [
        [
            name,
            f"{100 * one.share:.0f} %",
            cell(one.value, one.value - 1.96 * one.error, one.value + 1.96 * one.error, digits),
        ]
        for name, one in found.gains
    ]


def _cards(found: Uplift) -> str:
    boxes = []
    for effect in found.effects:
        digits = digits_for([effect.value])
        mood = "better" if effect.low > 0 else "worse" if effect.high < 0 else ""
        said = f"average effect, {span(effect.low, effect.high, digits)}"
        boxes.append(card(effect.action, f"{effect.value:+.{digits}f}", said, mood))
    return cards(boxes)


def _arm(arm: str, found: Uplift) -> str:
    heads, rows = metric_rows(found.metrics[arm])
    scores = found.metrics[arm]
    metric = qini_name(next(iter(scores.values())))
    values = [(one[metric].value, one[metric].low, one[metric].high) for one in scores.values()]
    pictures = pair(
        plots.curves(found.curves[arm], FLOORS, f"Qini curve of {arm}"),
        plots.forest(list(scores), values, f"Qini of {arm}", METRICS[metric]),
    )
    ranks = [place for place, head in enumerate(heads) if "10 %" not in head and "30 %" not in head]
    firsts = [0, *(place for place in range(len(heads)) if place not in ranks)]
    tables = [
        table([heads[i] for i in places], [[row[i] for i in places] for row in rows])
        for places in (ranks, firsts)
    ]
    return section(f"Whom {arm} changes", tables[0] + pictures + tables[1])


def _quarters(found: Uplift) -> str:
    name = list(next(iter(found.metrics.values())))[-3]
    names = [f"{one.action}: {QUARTERS[int(one.segment)]}" for one in found.quarters]
    text = (
        f"Rows in quarters of the effect that {name} expects, and what really happened in each: "
        "where it knows something, they rise."
    )
    return section("Expected and real", note(text) + _effects(names, found.quarters, "quarter"))


def _segments(found: Uplift) -> Iterator[str]:
    for column, effects in found.segments.items():
        names = [f"{one.segment} ({one.action})" for one in effects]
        yield section(f"Effects by {column}", _effects(names, effects, column))


def _effects(names: Sequence[str], effects: Iterable[Effect], title: str) -> str:
    effects = list(effects)
    digits = digits_for(one.value for one in effects)
    rows = [
        [
            name,
            f"{one.num_rows:,}",
            one.refusal or cell(one.value, one.low, one.high, digits),
            "–" if one.refusal else f"{one.p_value:.3f}",
        ]
        for name, one in zip(names, effects, strict=True)
    ]
    values = [(one.value, one.low, one.high) for one in effects]
    picture = plots.forest(names, values, f"Effect by {title}", "effect, with 95 % intervals")
    return table([title, "rows", "effect", "p"], rows) + picture


def _gains(found: Uplift, q: Question) -> str:
    costs = ", ".join(f"{arm} {cost:g}" for arm, cost in q.costs.items()) or "nothing"
    text = (
        f"Profit above doing nothing, per row of the table: an outcome is worth {q.value:g}, "
        f"treating costs {costs}. The first are those with the greatest expected profit, as long "
        "as it is above 0."
    )
    heads = ["way of treating", "treated", "profit per row"]
    return section("What treating would earn", note(text) + table(heads, gain_rows(found)))


def _overlap(found: Uplift) -> str:
    log = found.table.log
    rows = [
        [one.name, f"{one.num_rows:,}", f"{one.effective:,.0f}", number(one.least_chance, 4),
         f"{100 * one.without:.1f} %"]
        for one in found.reaches
    ]  # fmt: skip
    heads = ["action", "rows", "worth", "least chance", f"rows under {LEAST_CHANCE}"]
    groups = {name: log.propensity[log.action == number] for number, name in enumerate(log.actions)}
    return section(
        "Overlap", pair(table(heads, rows), plots.chances(groups, "Chances", LEAST_CHANCE))
    )
