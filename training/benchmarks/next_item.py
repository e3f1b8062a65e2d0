"""Leave-one-out on a table of sequences: models beside floors, all items ranked for every shopper.

Nothing here claims anything of time: the table knows an order alone. Next: ``next_item_page.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from training.benchmarks.answers import Answer, Question, Tell, by_model, by_rule
from training.benchmarks.sequence_floors import ContentNeighbours, CoOccurrence, Popularity
from training.benchmarks.sequences import Table
from training.benchmarks.trained import Rule
from training.datasets.batches import Dataset
from training.datasets.sequences import write
from training.recipes import LONGEST

HELD_OUT = 0.15
"""Share of the items that the protocol of cold items keeps from training."""


@dataclass(frozen=True, slots=True)
class Cold:
    """A share of the items, drawn by one seed, is kept from its training; all are ranked."""

    answers: tuple[Answer, ...]
    is_cold: np.ndarray
    """Whether each shopper's target was kept from training."""


@dataclass(frozen=True, slots=True)
class NextItem:
    """All that is told of a table of sequences."""

    table: Table
    dataset: Dataset
    answers: tuple[Answer, ...]
    cold: tuple[Cold, ...]
    """One for each seed; none where new items are not asked about."""


def next_item(table: Table, question: Question, folder: Path, tell: Tell) -> NextItem:
    """Train and rank all that `question` asks for; `tell` hears of each step before it begins.

    Parameters
    ----------
    folder
        For datasets and checkpoints; whoever calls removes it.

    Raises
    ------
    ValueError
        When content is asked for and nothing is told of any item.
    """
    if not table.has_content and ("content" in question.inputs or question.asks_cold):
        raise ValueError(
            f"input 'content' needs something told of the items of {table.name}; give --items FILE "
            "with --text, --words, --image or --attribute, or ask for `--inputs ids` without "
            "`--cold`"
        )
    dataset, answers = _answers(table, question, folder, tell)
    seeds = question.seeds if question.asks_cold else ()
    cold = tuple(_cold(table, question, seed, folder / f"cold-{seed}", tell) for seed in seeds)
    return NextItem(table, dataset, answers, cold)


def _answers(
    table: Table,
    question: Question,
    folder: Path,
    tell: Tell,
    held_out: NDArray[np.bool_] | None = None,
) -> tuple[Dataset, tuple[Answer, ...]]:
    """What floors and networks answer; the dataset is the one that knows all of the items."""
    things = {"content": table.things, "ids": table.things.bare()}
    data = {}
    for kind in dict.fromkeys(("content", *question.inputs)):
        place = folder / kind
        data[kind] = write(place, table.sequences, things[kind], longest=LONGEST, held_out=held_out)
    answers = [by_rule(rule, data["content"], question, tell) for rule in _rules(table)]
    for kind in question.inputs:
        leads = held_out is not None and kind == "content"
        answers += by_model(kind, data[kind], question, folder / "runs", tell, leads=leads)
    return data["content"], tuple(answers)


def _rules(table: Table) -> list[Rule]:
    """The floors that a table allows."""
    rules: list[Rule] = [Popularity(), CoOccurrence()]
    return [*rules, ContentNeighbours()] if table.has_content else rules


def _cold(table: Table, question: Question, seed: int, folder: Path, tell: Tell) -> Cold:
    """Keep a share of the items from training, drawn by `seed`, and rank all items.

    What training must not see is no negative of its softmax either: it would be pushed away.
    """
    rng = np.random.default_rng(seed)
    is_held_out = rng.random(len(table.things.ids)) < HELD_OUT
    once = replace(question, seed=seed, num_seeds=1)
    _, answers = _answers(table, once, folder, lambda text: tell(f"cold: {text}"), is_held_out)
    last = table.sequences.offsets[1:] - 1
    return Cold(answers, is_held_out[table.sequences.item[last]])
