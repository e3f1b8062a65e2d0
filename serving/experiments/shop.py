"""A shop's own experiment from its warehouse: who was exposed, what they did, what it says.

Next: ``analysis.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import polars as pl

from feature_repo.experiments import HOLDOUT, Arm, Experiment, Kept
from feature_repo.exposures import Experiments
from feature_repo.settings import DAY, iso
from feature_repo.warehouse import Warehouse
from serving.experiments import words
from serving.experiments.analysis import Analysis, Setup, analyse
from serving.experiments.assignment import HELD_OUT, SERVED
from serving.experiments.outcomes import outcomes
from serving.experiments.own_table import check_segments
from serving.experiments.questions import guardrail_of, metric_of

if TYPE_CHECKING:
    from serving.experiments.plots import Days

EARLIER_BUYER = "bought before"
"""The segment that every shop has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An experiment as it stands."""

    kept: Kept
    analysis: Analysis
    exposed: pl.DataFrame
    """user_id, arm, exposed_at."""
    table: pl.DataFrame
    """Of those whose window has closed."""

    @property
    def facts(self) -> list[str]:
        """What it is and how far it is, in a few words."""
        experiment, kept = self.kept.experiment, self.kept
        ended = f", stopped {iso(kept.stopped_at)[:10]}" if kept.stopped_at else ", running"
        return [
            f"layer {experiment.layer}",
            f"since {iso(kept.started_at)[:10]}{ended}",
            f"{len(self.exposed):,} shoppers exposed, {len(self.table):,} of them for "
            f"{experiment.window_days:g} days",
        ]

    @property
    def exposed_counts(self) -> str:
        """How many shoppers of each arm were exposed so far."""
        counted = dict(self.exposed.group_by("arm").len().iter_rows())
        return ", ".join(f"{arm} {counted.get(arm, 0):,}" for arm in self.analysis.setup.arms)

    @property
    def times(self) -> list[int]:
        """When each row of the table counted: its window's end."""
        window = round(self.kept.experiment.window_days * DAY)
        return [int(at) + window for at in self.table["exposed_at"]]

    @property
    def days(self) -> Days:
        """Newly exposed shoppers by arm and UTC day."""
        counted = self.exposed.group_by("arm", day=pl.col("exposed_at") // DAY).len()
        epoch = datetime(1970, 1, 1, tzinfo=UTC).replace(tzinfo=None)
        days: dict[str, dict[datetime, int]] = {arm: {} for arm in self.analysis.setup.arms}
        for arm, day, num in counted.iter_rows():
            days.setdefault(arm, {})[epoch + timedelta(days=day)] = num
        return days


def look(
    name: str,
    warehouse: Warehouse,
    now: int,
    *,
    segments: Sequence[str] | None = None,
    correction: str = "holm",
    holdout_share: float = 0.0,
) -> Seen:
    """What experiment `name` says as of `now`.

    `segments` name attributes of users, beside ``EARLIER_BUYER``; None asks for none.

    Raises
    ------
    ValueError
        When there is no such experiment or segment.
    """
    store = Experiments(warehouse)
    kept = _holdout(store, holdout_share) if name == HOLDOUT else store.get(name)
    exposed = store.exposures(name)
    table = _table(exposed, kept.experiment, warehouse, now)
    columns: list[str] = []
    if segments is not None:
        table, columns = _with_segments(table, warehouse, segments)
        check_segments(table, columns)
    setup = setup_of(kept.experiment, columns, correction)
    return Seen(kept=kept, analysis=analyse(table, setup), exposed=exposed, table=table)


def stop_if_crossed(seen: Seen, warehouse: Warehouse, now: int) -> str:
    """Stop a running experiment of which a guardrail is crossed; why, empty when none is."""
    if seen.kept.stopped_at is not None or not seen.analysis.crossed:
        return ""
    why = " ".join(words.crossed(guarded) for guarded in seen.analysis.crossed)
    Experiments(warehouse).stop(seen.kept.experiment.name, why, now)
    return why


def setup_of(
    experiment: Experiment, segments: Sequence[str] = (), correction: str = "holm"
) -> Setup:
    """The experiment's questions.

    Raises
    ------
    ValueError
        When it names an unknown metric or a guardrail that cannot be read.
    """
    return Setup(
        control=experiment.arms[0].name,
        arms=tuple(arm.name for arm in experiment.arms),
        shares=tuple(experiment.shares),
        metrics=tuple(metric_of(name) for name in experiment.metrics),
        guardrails=tuple(guardrail_of(text) for text in experiment.guardrails),
        segments=tuple(segments),
        correction=correction,
        alpha=experiment.alpha,
        planned_num=experiment.planned_num,
    )


def _table(
    exposed: pl.DataFrame, experiment: Experiment, warehouse: Warehouse, now: int
) -> pl.DataFrame:
    first = exposed["exposed_at"].min()
    since = int(first) - round(experiment.before_days * DAY) if isinstance(first, int) else now
    events = warehouse.events(
        user_ids=exposed["user_id"].to_list(), known_from=since, known_before=now
    )
    costs = Experiments(warehouse).costs(experiment.name)
    return outcomes(exposed, events, costs, experiment, now)


def _holdout(store: Experiments, share: float) -> Kept:
    """The always-on experiment, as if it had been started."""
    exposed = store.exposures(HOLDOUT)
    if exposed.is_empty() or not 0 < share < 1:
        raise ValueError(
            "nobody was held out yet; set NUDGE_SERVING_HOLDOUT_SHARE, as 0.05, and serve with it"
        )
    arms = (Arm(name=HELD_OUT, share=share), Arm(name=SERVED, share=1 - share))
    metrics = ("profit", "purchase", "spend", "orders", "cost", "returned")
    experiment = Experiment(name=HOLDOUT, arms=arms, layer="all", metrics=metrics, window_days=28.0)
    first = exposed["exposed_at"].min()
    assert isinstance(first, int), "there are exposures"
    return Kept(experiment=experiment, position=0.0, started_at=first)


def _with_segments(
    table: pl.DataFrame, warehouse: Warehouse, named: Sequence[str]
) -> tuple[pl.DataFrame, list[str]]:
    """The table with a column for each segment, and their names."""
    earlier = pl.when(pl.col("before") > 0).then(pl.lit("yes")).otherwise(pl.lit("no"))
    table = table.with_columns(earlier.alias(EARLIER_BUYER))
    own = [name for name in named if name != EARLIER_BUYER]
    if own:
        users = warehouse.users(table["user_id"].to_list()).to_dicts()
        told = {user["user_id"]: user | (user["attributes"] or {}) for user in users}
        known = {name for user in told.values() for name in user}
        if unknown := sorted(set(own) - known):
            raise ValueError(
                f"no shopper of this experiment has {', '.join(unknown)}; import users with it, or "
                f"choose from {', '.join(sorted(known)) or 'nothing'}"
            )
        columns = {
            name: [str(told.get(user, {}).get(name) or "unknown") for user in table["user_id"]]
            for name in own
        }
        table = table.with_columns(**{n: pl.Series(n, v, pl.String) for n, v in columns.items()})
    return table, [EARLIER_BUYER, *own]
