"""The report on what shoppers of a table do next: words, tables and pictures.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Iterator

from training.benchmarks.next_actions import Found
from training.benchmarks.page import cell, note, pair, report
from training.benchmarks.step_table import Question
from training.evaluate import steps_page
from training.evaluate.answers import MODEL
from training.evaluate.compare import Comparison
from training.evaluate.steps import ALL_STEPS
from training.evaluate.words import label
from training.metrics.steps import OUTCOMES
from training.pages import card, cards, listing, number, section, table

HOW = (
    "A step is one kind of behaviour at one moment. Everyone known is asked about once a week in "
    "training, and on one day in validation and in the test; what they do within the horizon after "
    "it is their label, and whoever does nothing more leaves. Every horizon closes inside its "
    "split, and features know what was known before the moment.",
    "Numbers are means over five steps; intervals hold 95 % of 200 draws of shoppers. Floors are "
    "counted on training; neither they nor the model are calibrated on validation.",
)
LIMITS = (
    "The test asks on one day: its season cannot be told from the shoppers.",
    "The category is that of the item as the table tells it last.",
)


def title(name: str) -> str:
    """The name of the page of the table called `name`."""
    return f"Next actions in {name}"


def facts(name: str, found: Found, q: Question) -> list[str]:
    """What was asked, in a few words each."""
    return [
        f"{found.num_events:,} behaviours of {found.num_shoppers:,} shoppers in {name}",
        f"horizon {q.horizon_days} days",
        f"size {q.size}, {q.num_seeds} seeds" if q.num_seeds > 1 else f"size {q.size}, seed 0",
    ]


def tables(found: Found) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Heads and rows of every table, by the steps that it is about."""
    return {part: metric_rows(found, part) for part in found.reports[0].tables}


def page(name: str, found: Found, q: Question) -> str:
    """The whole page of the table called `name`."""
    first = found.reports[0]
    parts = [_cards(found), section("What it says", listing(words(found)))]
    if first.story is not None:
        picture = note(steps_page.story_note(first.story)) + steps_page.time_line(first.story)
        parts.append(section("One shopper, past and next steps", picture))
    for part in (ALL_STEPS, *list(first.tables)[1:]):
        body = table(*metric_rows(found, part))
        if part == ALL_STEPS:
            body += pair(steps_page.by_step(first), table(*share_rows(found)))
        parts.append(section(f"Next actions, {part}", body))
    parts.append(section("How it was measured", listing([*found.table.notes, *HOW])))
    parts.append(section("What this cannot tell", listing(LIMITS)))
    return report(title(name), facts(name, found, q), parts)


def words(found: Found) -> Iterator[str]:
    """The findings, a sentence each."""
    whole = found.reports[0].tables[ALL_STEPS]
    counts = found.counts
    yield (
        f"{counts['train']:,} examples of training, {counts['valid']:,} of validation, "
        f"{counts['test']:,} of the test."
    )
    for metric in ("log_loss", "accuracy"):
        gap, (mean, spread) = whole.differences[metric], found.spread(ALL_STEPS, metric)
        num = len(found.reports)
        seeds = f" ({mean:.3f} ± {spread:.3f} over {num} seeds)" if num > 1 else ""
        yield (
            f"{label(metric)} {whole.sources[MODEL][metric].value:.3f}{seeds}; {gap.value:+.3f} "
            f"against {label(gap.floor)} ({number(gap.low)} to {number(gap.high)}): {gap.verdict}."
        )


def metric_rows(found: Found, part: str = ALL_STEPS) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: sources down, metrics across; the model's spread over seeds below."""
    compared: Comparison = found.reports[0].tables[part]
    metrics = list(compared.sources[MODEL])
    rows = [
        [label(source), *(cell(one.value, one.low, one.high) for one in numbers.values())]
        for source, numbers in compared.sources.items()
    ]
    if len(found.reports) > 1:
        spreads = [found.spread(part, metric) for metric in metrics]
        rows.append([f"model, {len(found.reports)} seeds",
                     *(f"{mean:.3f} ± {spread:.3f}" for mean, spread in spreads)])  # fmt: skip
    return ["", *map(label, metrics)], rows


def share_rows(found: Found) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: how often each outcome came at each step of the test."""
    shares = found.reports[0].shares
    steps = range(1, len(next(iter(shares.values()))) + 1)
    rows = [[outcome, *(f"{100 * one:.1f} %" for one in shares[outcome])] for outcome in OUTCOMES]
    return ["came", *(f"step {step}" for step in steps)], rows


def _cards(found: Found) -> str:
    whole = found.reports[0].tables[ALL_STEPS]
    boxes = []
    for metric in ("log_loss", "accuracy", "macro_f1"):
        gap = whole.differences[metric]
        said = f"{gap.value:+.3f} against {label(gap.floor)}: {gap.verdict}"
        mood = gap.verdict if gap.verdict in ("better", "worse") else ""
        boxes.append(card(label(metric), number(whole.sources[MODEL][metric].value), said, mood))
    return cards(boxes)
