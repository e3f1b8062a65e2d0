"""The experiments of a shop in its warehouse, and which shopper was exposed to which arm when.

Next: ``ledger.py``, which writes an exposure together with the decision that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import polars as pl
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from feature_repo.answers import Decision
from feature_repo.engine import is_postgres
from feature_repo.experiments import HOLDOUT, Arm, Experiment, Kept, check_layers, room
from feature_repo.tables import experiments as table
from feature_repo.tables import exposures, reservations
from feature_repo.warehouse import Warehouse

COST_SCHEMA = pl.Schema(
    {"user_id": pl.String(), "reserved_at": pl.Int64(), "cost_micros": pl.Int64()}
)
EXPOSURE_SCHEMA = pl.Schema({"user_id": pl.String(), "arm": pl.String(), "exposed_at": pl.Int64()})


class Experiments:
    """The experiments of one shop."""

    def __init__(self, warehouse: Warehouse) -> None:
        self._warehouse = warehouse

    def start(self, experiment: Experiment, now: int) -> Kept:
        """Keep `experiment` as running from `now` on, in a free room of its layer.

        Raises
        ------
        ValueError
            When the name was used, the layer is full, or another layer sets the same thing.
        """
        with self._warehouse.begin(lock="experiments") as connection:
            every = _all(connection)
            if experiment.name == HOLDOUT or experiment.name in {k.experiment.name for k in every}:
                raise ValueError(
                    f"an experiment {experiment.name!r} was there before; take another name, so "
                    "that its shoppers are dealt anew"
                )
            running = [kept for kept in every if kept.stopped_at is None]
            check_layers(experiment, running)
            kept = Kept(experiment=experiment, position=room(experiment, running), started_at=now)
            connection.execute(sa.insert(table), _row(kept))
        return kept

    def stop(self, name: str, reason: str, now: int) -> Kept:
        """No shopper is dealt to it any more; what came of it stays.

        Raises
        ------
        ValueError
            When it is not running.
        """
        kept = self.get(name)
        if kept.stopped_at is not None:
            raise ValueError(
                f"experiment {name!r} was stopped before ({kept.stop_reason}); start another one"
            )
        with self._warehouse.begin(lock="experiments") as connection:
            running = (table.c.name == name) & table.c.stopped_at.is_(None)
            changed = {"stopped_at": now, "stop_reason": reason}
            connection.execute(sa.update(table).where(running).values(changed))
        return self.get(name)

    def get(self, name: str) -> Kept:
        """The experiment of that name; ``ValueError`` when there is none."""
        every = {kept.experiment.name: kept for kept in self.all()}
        if name not in every:
            raise ValueError(f"there is no experiment {name!r}; there are {sorted(every)}")
        return every[name]

    def all(self) -> list[Kept]:
        """Every experiment, in the order of their starts."""
        with self._warehouse.read() as connection:
            return _all(connection)

    def running(self) -> list[Kept]:
        """Those that are not stopped."""
        return [kept for kept in self.all() if kept.stopped_at is None]

    def exposures(self, name: str) -> pl.DataFrame:
        """Who was exposed: user_id, arm and exposed_at (microseconds), in order of time."""
        query = sa.select(exposures.c.user_id, exposures.c.arm, exposures.c.exposed_at)
        mine = query.where(exposures.c.experiment == name)
        return self._warehouse.frame(
            mine.order_by(exposures.c.exposed_at, exposures.c.user_id), EXPOSURE_SCHEMA
        )

    def costs(self, name: str) -> pl.DataFrame:
        """What actions reserved for the exposed: user_id, reserved_at, cost_micros."""
        mine = (exposures.c.experiment == name) & (exposures.c.user_id == reservations.c.user_id)
        query = sa.select(
            reservations.c.user_id, reservations.c.reserved_at, reservations.c.cost_micros
        ).join(exposures, mine)
        return self._warehouse.frame(query, COST_SCHEMA)


def expose(connection: sa.Connection, decisions: Sequence[Decision]) -> None:
    """Remember who was exposed by `decisions` for the first time, in their transaction."""
    rows = [
        {
            "experiment": name,
            "user_id": decision.user_id,
            "arm": arm,
            "exposed_at": decision.decided_at,
        }
        for decision in decisions
        for name, arm in decision.arms.items()
    ]
    if rows:
        insert = postgresql.insert if is_postgres(connection) else sqlite.insert
        connection.execute(insert(exposures).on_conflict_do_nothing(), rows)


def _all(connection: sa.Connection) -> list[Kept]:
    rows = connection.execute(sa.select(table).order_by(table.c.started_at, table.c.name))
    return [_kept(dict(row)) for row in rows.mappings()]


def _row(kept: Kept) -> dict[str, Any]:
    plain = asdict(kept)
    settings = plain.pop("experiment")
    return plain | {"name": settings["name"], "layer": settings["layer"], "settings": settings}


def _kept(row: dict[str, Any]) -> Kept:
    settings = row["settings"]
    told = {name: tuple(settings[name]) for name in ("metrics", "guardrails")}
    told["arms"] = tuple(Arm(**arm) for arm in settings["arms"])
    told["steps"] = tuple((days, share) for days, share in settings["steps"])
    when = {name: row[name] for name in ("position", "started_at", "stopped_at", "stop_reason")}
    return Kept(experiment=Experiment(**settings | told), **when)
