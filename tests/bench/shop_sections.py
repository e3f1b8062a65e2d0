"""What a shop is asked about quality, with goals and words: the sections of Online Retail.

Next: ``sharing.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tests.bench.quality_page import Goal, Section
from tests.bench.sharing import sharing
from tests.bench.shop_quality import SHOWN, Shop
from tests.bench.shop_tables import LEAD, Report, Row, bars, beside_floors, facts
from training.evaluate.answers import ALL_ITEMS, NEW_ITEMS
from training.evaluate.measure import ACTIVE, EVERYONE
from training.evaluate.steps import ALL_STEPS
from training.evaluate.words import label

SEEDS = (0, 1, 2, 3, 4)
Told = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class ShopSection(Section):
    """What is asked of the shop's fits."""

    tell: Callable[[Shop], Told]
    """Its figures."""

    @property
    def shown(self) -> str:
        """The commands as the page shows them."""
        return self.command

    @property
    def work(self) -> str:
        """The home and its fits are made once for all sections."""
        return "shop"


BASKET = ("ndcg@10", "recall@10")
HEADS = ("leave_90d", "leave_60d", "leave_30d", "return_90d")
ABOUT = ("auc", "log_loss", "ece")
SPEND = ("gini", "deviance", "total_error")
STEPS = ("log_loss", "accuracy", "macro_f1", "ece")
BY_STEP = "log loss, step by step"


def basket(variant: str) -> list[Row]:
    """The next basket under one seen-item rule."""
    path = ("next_item", "test", variant)
    return [Row(label(metric), path, metric) for metric in BASKET]


def staying(population: str, head: str) -> list[Row]:
    """A chance of retention."""
    path = ("retention", head, "test", population)
    return [Row(f"{label(head)}, {label(metric)}", path, metric) for metric in ABOUT]


def spend(population: str) -> list[Row]:
    """What is spent."""
    path = ("amounts", "spend_90d", "test", population)
    return [Row(f"{label('spend_90d')}, {label(metric)}", path, metric) for metric in SPEND]


def steps(part: str, metrics: Sequence[str] = STEPS) -> list[Row]:
    """What is done next."""
    path = ("next_actions", "test", part)
    return [Row(label(metric), path, metric) for metric in metrics]


def next_basket(shop: Shop) -> Told:
    """Both seen-item rules."""
    reports = _reports(shop)
    asked = [
        f"{reports[0]['next_item']['test'][variant]['num_examples']:,} orders with {variant}"
        for variant in (ALL_ITEMS, NEW_ITEMS)
    ]
    return {
        "title": "The next basket, Online Retail",
        "facts": facts(reports, *asked, "all items ranked"),
        "bars": bars(f"NDCG@10, {ALL_ITEMS}", reports, basket(ALL_ITEMS)[0]),
        "tables": {v: beside_floors(reports, basket(v)) for v in (ALL_ITEMS, NEW_ITEMS)},
    }


def retention(shop: Shop) -> Told:
    """All horizons and spend, for both populations."""
    reports = _reports(shop)
    tables, asked = {}, []
    for population in (EVERYONE, ACTIVE):
        rows = [row for head in HEADS for row in staying(population, head)] + spend(population)
        tables[population] = beside_floors(reports, rows)
        num = staying(population, "leave_90d")[0].of(reports[0])["num_shoppers"]
        left = reports[0]["retention"]["leave_90d"]["base_rates"][population]
        asked.append(f"{num:,} shoppers: {population} ({100 * left:.1f} % leave)")
    return {
        "title": "Retention, Online Retail",
        "facts": facts(reports, *asked),
        "bars": bars("AUC of leaving, 90 days", reports, staying(EVERYONE, "leave_90d")[0]),
        "tables": tables,
    }


def next_actions(shop: Shop) -> Told:
    """All steps together, and the log loss of each."""
    reports = _reports(shop)
    parts = [part for part in reports[0]["next_actions"]["test"] if part != ALL_STEPS]
    by_step = [replace(row, words=p) for p in parts for row in steps(p, ("log_loss",))]
    num = reports[0]["next_actions"]["test"][ALL_STEPS]["num_shoppers"]
    return {
        "title": "The next five steps, Online Retail",
        "facts": facts(reports, f"{num:,} shoppers", "no floor nor the model is calibrated"),
        "bars": bars("log loss (less is better)", reports, steps(ALL_STEPS)[0]),
        "tables": {
            ALL_STEPS: beside_floors(reports, steps(ALL_STEPS)),
            BY_STEP: beside_floors(reports, by_step),
        },
    }


def one_or_several(shop: Shop) -> Told:
    """The three tasks in one network beside a network each."""
    included, excluded = (basket(variant)[0] for variant in (ALL_ITEMS, NEW_ITEMS))
    auc, loss, _ = staying(EVERYONE, "leave_90d")
    return sharing(
        shop,
        [
            ("next_item", replace(included, words=f"NDCG@10, {ALL_ITEMS}")),
            ("next_item", replace(excluded, words=f"NDCG@10, {NEW_ITEMS}")),
            ("retention", auc),
            ("retention", loss),
            ("retention", spend(EVERYONE)[0]),
            ("next_actions", replace(steps(ALL_STEPS)[0], words="next actions, log loss")),
        ],
    )


def _reports(shop: Shop) -> list[Report]:
    return [shop.fit(seed).report for seed in SEEDS]


def ahead(table: str, rows: Sequence[Row]) -> tuple[Goal, ...]:
    """To beat every floor with an interval that says so."""
    return tuple(
        Goal(words=f"{table}: {row.words} ahead of every floor", table=table, row=row.words,
             column=LEAD)
        for row in rows
    )  # fmt: skip


HOW = (
    "The model is the `shopper` recipe as it is: one network for three tasks, mean ± standard "
    "deviation over seeds. A lead above 0 is the model's, whichever way its metric runs, against "
    "the floor that is best on the test itself; its 95 % interval is of draws of shoppers and of "
    "what other seeds would change ([evaluation](evaluation.md#how-sure-it-is))."
)
SHOP: tuple[ShopSection, ...] = (
    ShopSection(
        name="shop-next-basket",
        title="The next basket, Online Retail",
        command=SHOWN.format(settings=""),
        line=HOW,
        reading=(
            "With seen items and without, the network orders a basket better than every floor and "
            "finds more of it. Where they are included all of its lead in order over counting what "
            "this shopper bought before is due to the weight that validation gives to that very "
            "count ([training](training.md#the-network))."
        ),
        goals=(*ahead(ALL_ITEMS, basket(ALL_ITEMS)), *ahead(NEW_ITEMS, basket(NEW_ITEMS))),
        tell=next_basket,
    ),
    ShopSection(
        name="shop-retention",
        title="Retention, Online Retail",
        command=SHOWN.format(settings=""),
        line=f"{HOW} Model and floors are calibrated on validation.",
        reading=(
            "One goal of eight is reached: the chances of those who bought lately are closer to "
            "what they did than every floor's. In order the network, logistic regression on three "
            "numbers and BG/NBD's four cannot be told apart; its chances of 90 days are calibrated "
            "worse than logistic regression's among all customers (one snapshot of another season "
            "calibrates all sources). What is sent back is told better than by the floors among "
            "the active, and spend worse by Tweedie's deviance among all."
        ),
        goals=(
            *ahead(EVERYONE, staying(EVERYONE, "leave_90d")),
            *ahead(ACTIVE, staying(ACTIVE, "leave_90d")),
            *ahead(EVERYONE, spend(EVERYONE)[:2]),
        ),
        tell=retention,
    ),
    ShopSection(
        name="shop-next-actions",
        title="The next five steps, Online Retail",
        command=SHOWN.format(settings=""),
        line=HOW,
        reading=(
            "Ahead of every floor at every step. The kinds are purchases and returns alone, and "
            "the shop tells no categories."
        ),
        goals=ahead(ALL_STEPS, steps(ALL_STEPS, ("log_loss",))),
        tell=next_actions,
    ),
    ShopSection(
        name="shop-sharing",
        title="One network or several",
        command=SHOWN.format(
            settings=""" \\
    --set 'tasks=["retention"]' --set 'task_weights=[1.0]' --set 'task_shares=[0.3]'"""
        ),
        line=(
            "The `shopper` recipe with its three tasks, and with each task alone: the same "
            "examples, epochs, size and seeds. A gain above 0 is that of sharing, whichever way "
            "the metric runs."
        ),
        reading=(
            "Sharing costs quality here, though little: .005 AUC of leaving and as much of its "
            "log loss, and .006 Gini of spend, with either seed; the next basket and next actions "
            "gain with one seed and lose with the other. It saves two thirds of the parameters, a "
            "third of the training and two thirds of an answer, since a request reads the "
            "history once. Two seeds."
        ),
        tell=one_or_several,
    ),
)
