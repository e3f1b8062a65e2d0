"""The report on a table of sequences: words, tables and pictures of ``next_item.py``'s findings.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from training.benchmarks import plots
from training.benchmarks.answers import Answer, Question
from training.benchmarks.next_item import HELD_OUT, Cold, NextItem
from training.benchmarks.page import note, report
from training.benchmarks.ranked import (
    PLACES,
    by_length,
    by_popularity,
    coverage,
    diversity,
    novelty,
)
from training.metrics.bootstrap import interval, replicates
from training.metrics.seeds import over_seeds
from training.pages import card, cards, listing, number, section, table

BY_POPULARITY = f"HR@{PLACES} by how often training bought the target"
BY_LENGTH = f"HR@{PLACES} by the length of the history"
COLD = "Items that training never saw"
NUM_DRAWS = 500
"""Of shoppers, for intervals."""
HOW = (
    "Of each sequence the last item is the test and the one before it validation; training knows "
    "the rest, and so do the floors. Asked about the test, all know the validation item.",
    "All items of the table are ranked for every shopper, none sampled; ties count against the "
    "target. The last epoch is kept; validation chooses the weights of rules and the lead alone.",
    "Values are means over seeds, ± their standard deviation; the lead's 95 % interval is of draws "
    "of shoppers with replacement and, with several seeds, of what other seeds would change.",
    f"Coverage: share of the items that stand in anybody's first {PLACES}. Novelty: bits, -log2 of "
    "an item's share of training's purchases. Diversity: 1 - cosine of who bought two items of a "
    "list. All of the first seed.",
)
LIMITS = (
    "The table knows an order and no time: a shopper's last item may lie before another's first, "
    "so that this is no forecast, and a shop's own figures come from `evaluate`.",
    "A target is what was bought next, not what would have pleased: other good answers count as "
    "misses, for all sources alike.",
)


def page(found: NextItem, q: Question) -> str:
    """The whole page."""
    parts = [
        _cards(found),
        section("What it says", listing(words(found, q))),
        section("Accuracy", table(*accuracy_rows(found)) + _picture(found)),
        section("Beside accuracy", table(*beside_rows(found))),
        _groups(BY_POPULARITY, by_popularity, found),
        _groups(BY_LENGTH, by_length, found),
    ]
    if found.cold:
        text = (
            f"{100 * HELD_OUT:.0f} % of the items, drawn anew by each seed, are kept from a "
            "training of their own; then all items are ranked."
        )
        parts.append(
            section("Items that training never saw", note(text) + table(*cold_rows(found.cold)))
        )
    parts.append(section("How it was measured", listing([*found.table.notes, *HOW])))
    parts.append(section("What this cannot tell", listing(LIMITS)))
    return report(title(found), facts(found, q), parts)


def title(found: NextItem) -> str:
    """The name of the page."""
    return f"Next item in {found.table.name}"


def facts(found: NextItem, q: Question) -> list[str]:
    """What was asked, in a few words each."""
    num, num_items = len(found.dataset.examples("test")), found.dataset.meta["num_items"] - 1
    return [
        f"{num:,} shoppers, {num_items:,} items, all ranked",
        f"seen items {q.seen}",
        f"seeds {', '.join(map(str, q.seeds))}",
    ]


def tables(found: NextItem) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Heads and rows of every table, by its title."""
    told = {
        "Accuracy": accuracy_rows(found),
        "Beside accuracy": beside_rows(found),
        BY_POPULARITY: group_rows(by_popularity, found),
        BY_LENGTH: group_rows(by_length, found),
    }
    return told | {COLD: cold_rows(found.cold)} if found.cold else told


def words(found: NextItem, q: Question) -> Iterator[str]:
    """The findings, a sentence each."""
    floor = best_floor(found.answers)
    for answer in found.answers:
        if not answer.cpu_s:
            continue
        value, low, high = lead(answer, floor)
        sure = "" if low > 0 or high < 0 else "; it may be nothing"
        yield (
            f"{answer.name}: NDCG@{PLACES} {answer.ndcg.mean():.4f}, HR@{PLACES} "
            f"{answer.hit.mean():.4f}, seen items {q.seen}; {value:+.4f} NDCG ({low:+.4f} to "
            f"{high:+.4f}) beside {floor.name}, the best floor{sure}."
        )
        if answer.note:
            yield f"{answer.name}: {answer.note}."


def best_floor(answers: Sequence[Answer]) -> Answer:
    """The rule with the highest NDCG."""
    return max((one for one in answers if not one.cpu_s), key=lambda one: one.ndcg.mean())


def lead(answer: Answer, floor: Answer) -> tuple[float, float, float]:
    """Mean of NDCG above the floor's by the same shoppers, and its 95 % interval."""
    ahead = np.array([one.ndcg for one in answer.ranked]).T - floor.ranked[0].ndcg[:, None]
    everyone, rng = np.arange(len(ahead)), np.random.default_rng(0)
    draws = replicates(lambda rows: ahead[rows].mean(axis=0), everyone, NUM_DRAWS, rng)
    return over_seeds(ahead.mean(axis=0), *np.array([interval(one) for one in draws.T]).T)


def accuracy_rows(found: NextItem) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: sources down; metrics, lead and cost across."""
    floor = best_floor(found.answers)
    rows = []
    for answer in found.answers:
        value, low, high = lead(answer, floor)
        cost = f"{np.mean(answer.cpu_s):,.0f}" if answer.cpu_s else "–"
        size = f"{answer.num_parameters:,}" if answer.cpu_s else "–"
        led = "–" if answer is floor else f"{value:+.4f}\n{low:+.4f} to {high:+.4f}"
        rows.append([answer.name, spread(answer.ndcg), spread(answer.hit), led, cost, size])
    heads = [f"NDCG@{PLACES}", f"HR@{PLACES}", f"lead over {floor.name}, NDCG"]
    return ["source", *heads, "CPU-s a training", "parameters"], rows


def spread(values: np.ndarray) -> str:
    """A mean, with its standard deviation where there are several values."""
    mean = number(float(values.mean()), 4)
    return mean if len(values) < 2 else f"{mean} ± {values.std(ddof=1):.4f}"


def beside_rows(found: NextItem) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of what accuracy does not tell."""
    rows = []
    for answer in found.answers:
        first = answer.ranked[0]
        told = (coverage(first, found.dataset), novelty(first, found.dataset))
        apart = diversity(first, found.dataset)
        rows.append([answer.name, f"{told[0]:.3f}", f"{told[1]:.2f}", f"{apart:.3f}"])
    return ["source", "coverage", "novelty, bits", "diversity"], rows


def group_rows(by: Callable, found: NextItem) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: groups of shoppers down, HR@10 of each source across."""
    names = [answer.name for answer in found.answers]
    rows = []
    for name, which in by(found.dataset, "test"):
        hits = [np.mean([one.hit[which].mean() for one in a.ranked]) for a in found.answers]
        rows.append([name, f"{len(which):,}", *(f"{hit:.4f}" for hit in hits)])
    return ["group", "shoppers", *names], rows


def cold_rows(cold: Sequence[Cold]) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: sources down, HR@10 of cold, warm and all targets across."""
    rows = []
    for answers in zip(*(one.answers for one in cold), strict=True):
        hits = [answer.ranked[0].hit for answer in answers]
        parts = [
            (hit[one.is_cold], hit[~one.is_cold], hit) for hit, one in zip(hits, cold, strict=True)
        ]
        means = np.array([[part.mean() for part in own] for own in parts])
        rows.append([answers[0].name, *(spread(values) for values in means.T)])
    num = f"{np.mean([one.is_cold.sum() for one in cold]):,.0f}"
    return ["source", f"HR@{PLACES}, {num} cold targets", "warm targets", "all"], rows


def _cards(found: NextItem) -> str:
    boxes = []
    floor = best_floor(found.answers)
    for answer in found.answers:
        if answer.cpu_s or answer is floor:
            low = lead(answer, floor)[1]
            mood = "better" if low > 0 else ""
            said = f"NDCG@{PLACES}; HR@{PLACES} {answer.hit.mean():.4f}"
            boxes.append(card(answer.name, f"{answer.ndcg.mean():.4f}", said, mood))
    return cards(boxes)


def _picture(found: NextItem) -> str:
    return plots.ladder(
        [answer.name for answer in found.answers],
        [answer.ndcg for answer in found.answers],
        [bool(answer.cpu_s) for answer in found.answers],
        f"NDCG@{PLACES} by source; a dot is a seed",
    )


def _groups(title: str, by: Callable, found: NextItem) -> str:
    heads, rows = group_rows(by, found)
    shown = [place for place, a in enumerate(found.answers) if a.cpu_s or a.name == "co_occurrence"]
    lines = {found.answers[place].name: [float(row[place + 2]) for row in rows] for place in shown}
    picture = plots.groups([row[0] for row in rows], lines, title)
    return section(title, table(heads, rows) + picture)
