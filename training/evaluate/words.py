"""Numbers in words: what was measured, what it shows, and what this data cannot tell.

Next: ``plots.py``.
"""

from __future__ import annotations

from datetime import UTC, datetime

from training.evaluate.compare import Comparison, Difference
from training.evaluate.measure import EVERYONE
from training.evaluate.report import Report
from training.pages import span

DAY = 86_400_000_000
LABELS = {
    "auc": "AUC",
    "log_loss": "log loss",
    "brier": "Brier",
    "ece": "ECE",
    "mrr": "MRR",
    "ndcg@10": "NDCG@10",
    "f1": "F1",
    "macro_f1": "macro F1",
    "days_error": "error in days",
    "category_hit_rate": "category hit rate",
    "markov": "Markov chain",
    "leave_90d": "no purchase in 90 days",
    "leave_60d": "no purchase in 60 days",
    "leave_30d": "no purchase in 30 days",
    "visit_30d": "a visit within 30 days",
    "return_90d": "something sent back within 90 days",
    "spend_90d": "spend within 90 days",
    "gini": "Gini",
    "rmse": "RMSE",
    "mae": "MAE",
    "total_error": "error of the sum",
    "purchase_30d": "a purchase within 30 days",
}
FEW_SHOPPERS = 500


def label(name: str) -> str:
    """A metric, source or head as people write it."""
    return LABELS.get(name, name.replace("_", " "))


def sentence(name: str) -> str:
    """The same, as it begins a sentence."""
    words = label(name)
    return words[:1].upper() + words[1:]


def day(moment: int | None) -> str:
    """A moment (microseconds, UTC) as a date; None is the beginning."""
    if moment is None:
        return "the beginning"
    return datetime.fromtimestamp(moment / 1e6, UTC).strftime("%-d %b %Y")


def verdict(metric: str, found: Difference) -> str:
    """The difference to the best floor in a sentence."""
    against = f"{label(found.floor)} ({span(found.low, found.high)})"
    by = f"{found.value:+.3f}"
    return {
        "better": f"{by} against the best floor, {against}: better.",
        "worse": f"{by} against the best floor, {against}: worse.",
    }.get(
        found.verdict, f"{by} against the best floor, {against}: the data cannot tell them apart."
    )


def protocol(report: Report) -> list[str]:
    """How it was measured, a sentence each."""
    calendar, counts = report.meta["calendar"], report.meta["counts"]
    lines = [
        f"Training knows what happened before {day(calendar['train'][1])}, validation is "
        f"{day(calendar['valid'][0])} to {day(calendar['valid'][1])}, the test is "
        f"{day(calendar['test'][0])} to {day(calendar['test'][1])}. No example's time or label "
        "window passes the end of its split."
        if calendar
        else "Shoppers were dealt to training, validation and test by chance, each with all of "
        "their rows. Nothing is claimed of time.",
        f"Examples: {counts['train']:,} of training, {counts['valid']:,} of validation, "
        f"{counts['test']:,} of the test. Of the training split at most "
        f"{max(report.num_seen['train'].values(), default=0):,} of a task are measured here, "
        "evenly spread over its time.",
        f"Intervals hold 95 % of {report.draws.num_bootstrap} draws of shoppers with replacement. "
        "A difference is taken on the same draws, against the floor that is best on the test "
        "itself, which is the hardest choice.",
    ]
    if report.ranking:
        lines += [
            "Next basket: all items that existed at the start of the order's week are ranked, none "
            "sampled. Ties count against: among equal scores, items of the basket come last. "
            "“Seen items excluded” takes out of ranking and basket what the shopper bought before.",
            f"{100 * report.coverage:.1f} % of the items in test orders existed when their week "
            "began; the others are no targets. Recall divides by the items that are.",
        ]
    if report.steps:
        lines.append(
            "Next actions: what each shopper did in the horizon after the test's first day, step "
            "by step; after leaving every step is leaving. Accuracy, macro F1 and ECE are of the "
            "likeliest outcome; the error in days is the median distance of the steps that came. "
            "Neither model nor floors are calibrated on validation here."
        )
    if report.heads:
        lines.append(
            "The model and each floor are treated alike: calibrated on validation (Platt), and "
            "called a yes from the threshold with the highest F1 there. Floors learn from training "
            "rows alone."
        )
    return lines


CURVES = (
    "Both losses add up the tasks by their weights. Splits hold the tasks in different shares, so "
    "the two curves may stand at different heights; what counts is where validation stops falling. "
    "The ring marks the epoch that was kept."
)


def limits(report: Report) -> list[str]:
    """What this data cannot tell, a sentence each."""
    lines = [
        f"This is one training from one seed ({report.run['seed']}). The intervals say how much "
        "other shoppers would change the numbers, not how much another seed would.",
        "Nobody was treated at random here: a high risk is no proof that a coupon would help.",
    ]
    steps = () if report.steps is None else report.steps.tables.values()
    differences = [
        d for table in (*report.ranking.values(), *steps) for d in table.differences.values()
    ]
    for found in report.heads.values():
        differences += list(found.tables[EVERYONE].differences.values())
    open_ones = sum(d.verdict == "not told apart" for d in differences)
    if open_ones:
        lines.append(
            f"{open_ones} of {len(differences)} differences to the best floor lie inside their own "
            "noise. Reading several metrics at once, expect one in twenty to look real by chance."
        )
    if report.heads:
        lines.append(_drift(report))
    smallest = min((_shoppers(report)), default=0)
    if smallest < FEW_SHOPPERS:
        lines.append(
            f"Only {smallest:,} shoppers stand behind the smallest table: differences below the "
            "width of its intervals cannot be seen."
        )
    return lines


def _shoppers(report: Report) -> list[int]:
    """Shoppers behind each table."""
    tables: list[Comparison] = list(report.ranking.values())
    tables += [table for found in report.heads.values() for table in found.tables.values()]
    return [table.num_shoppers for table in tables]


def _drift(report: Report) -> str:
    """How the share of yes moved between the splits."""
    name, found = next(iter(report.heads.items()))
    rates = [
        f"{100 * found.base_rates[split]:.1f} % in {word}"
        for split, word in (("train", "training"), ("valid", "validation"), ("test", "the test"))
        if split in found.base_rates
    ]
    told = f"{label(name)} came true for {', '.join(rates)}."
    if report.meta["calendar"] is None:
        return f"Nothing is known of time, and so nothing of seasons: {told}"
    return (
        "The test asks about one stretch of time only, so its season cannot be told from the "
        f"shoppers themselves: {told}"
    )
