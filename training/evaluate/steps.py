"""Next actions on the test: model beside floors at each step, and one shopper to look at.

Next: ``steps_page.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from feature_repo.events import KIND_CODES
from training.datasets.batches import Dataset
from training.evaluate.answers import MODEL
from training.evaluate.compare import Comparison, Draws, compare
from training.floors import FLOORS, StepFloor
from training.floors.reading import examples_of, step_labels
from training.metrics.steps import (
    KINDS,
    LEAVE,
    NUM_STEPS,
    Foreseen,
    hit_rate,
    step_metrics,
    time_error,
)

TASK, ALL_STEPS = "next_actions", "all steps"
DAY = 86_400_000_000
Foresee = Callable[[str, np.ndarray], Foreseen]
"""What a model says of the next steps after examples of a split, by their numbers."""
PAST_DAYS = 60.0
"""What the picture shows of a shopper's past."""


@dataclass(frozen=True, slots=True)
class Story:
    """One shopper's past, what was foreseen and what came."""

    user: str
    past: list[tuple[float, str]]
    """Days before the moment of asking (negative), and the kind."""
    kinds: np.ndarray
    """(U, O), foreseen chances."""
    days: np.ndarray
    """(U,), foreseen."""
    came: list[tuple[float, str]]
    """Days after the moment of asking, and the kind."""


@dataclass(frozen=True, slots=True)
class StepsReport:
    """What was measured, by the mean over all steps and for each step."""

    tables: dict[str, Comparison]
    shares: dict[str, list[float]]
    """By outcome: how often it came at each step."""
    story: Story | None
    """None when nobody does enough to be worth looking at."""


def steps_report(dataset: Dataset, foresee: Foresee, draws: Draws) -> StepsReport | None:
    """Measure the test examples; None when there is none."""
    rows = examples_of(dataset, "test", TASK)
    if not len(rows):
        return None
    labels = step_labels(dataset, "test", rows)
    said = {MODEL: foresee("test", rows)}
    for name, kind_of_floor in FLOORS.items():
        floor = kind_of_floor()
        if isinstance(floor, StepFloor):
            floor.fit(dataset)
            said[name] = floor.foresee(dataset, "test", rows)
    users = np.asarray(dataset.examples("test").user[rows])
    parts = {ALL_STEPS: slice(None)} | {f"step {n + 1}": slice(n, n + 1) for n in range(NUM_STEPS)}
    kind = labels[0]
    return StepsReport(
        tables={name: _table(said, labels, steps, users, draws) for name, steps in parts.items()},
        shares={
            outcome: (kind == place).mean(axis=0).tolist()
            for place, outcome in enumerate((*KINDS, "leave"))
        },
        story=_story(dataset, rows, said[MODEL], labels),
    )


def _table(
    said: Mapping[str, Foreseen],
    labels: tuple[np.ndarray, np.ndarray, np.ndarray],
    steps: slice,
    users: np.ndarray,
    draws: Draws,
) -> Comparison:
    """All metrics of all sources at `steps`."""
    kind, days, category = (part[:, steps] for part in labels)
    has_categories = not np.isnan(category).all()

    def metrics(rows: np.ndarray) -> dict[str, dict[str, float]]:
        found = {}
        for source, one in said.items():
            numbers = step_metrics(one.kinds[rows][:, steps], kind[rows])
            plain = {name: value for name, value in numbers.items() if "/" not in name}
            plain["days_error"] = time_error(one.days[rows][:, steps], days[rows])
            if has_categories:
                guessed = one.categories[rows][:, steps]
                plain["category_hit_rate"] = hit_rate(guessed, category[rows])
            found[source] = plain
        return found

    return compare(metrics, users, draws)


def _story(
    dataset: Dataset,
    rows: np.ndarray,
    said: Foreseen,
    labels: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> Story | None:
    """Of those with a past and two steps to come, the one about whom the model is middling."""
    kind, days, _ = labels
    found = dataset.examples("test")
    busy = np.diff(found.history.offsets)[rows] >= NUM_STEPS
    chosen = np.flatnonzero(busy & ((kind != LEAVE).sum(axis=1) >= 2))
    if not len(chosen):
        return None
    chances = np.take_along_axis(said.kinds[chosen], kind[chosen][:, :, None], axis=2)
    losses = -np.log(np.maximum(chances[:, :, 0], 1e-15)).mean(axis=1)
    place = int(chosen[np.argsort(losses, kind="stable")[len(losses) // 2]])
    row = rows[place : place + 1]
    history, asked_at = found.history.take(row), int(found.asked_at[row[0]])
    names = {KIND_CODES[name]: name for name in KINDS}
    past = {
        ((int(at) - asked_at) / DAY, names[int(code)])
        for at, code in zip(history.at, history.kind, strict=True)
        if int(code) in names and asked_at - int(at) < PAST_DAYS * DAY
    }
    came = [
        (float(day), KINDS[int(one)])
        for day, one in zip(days[place], kind[place], strict=True)
        if one != LEAVE
    ]
    user = str(found.user[row[0]])
    return Story(user, sorted(past), said.kinds[place], said.days[place], came)


def to_dict(found: StepsReport | None) -> dict[str, Any]:
    """Plain values for JSON; empty when nothing was measured."""
    if found is None:
        return {}
    return {
        "test": {name: table.to_dict() for name, table in found.tables.items()},
        "shares": found.shares,
    }
