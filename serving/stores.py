"""What the service asks of its shop's stores, bound to one model's feature services.

Next: ``upkeep.py`` for what becomes of them on a bad day, ``routes/parts.py`` for who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from feature_repo import heal, publish, retrieval
from feature_repo.ingest import Report, received_times
from feature_repo.ledger import Ledger
from feature_repo.settings import Settings, SystemClock
from feature_repo.warehouse import Warehouse
from serving.catalogue import Catalogue, build
from serving.predictor import Predictor
from serving.upkeep import Chores

WAIT_S = 5.0
"""How long a request waits for another writer, such as a running import, before it does without."""


class Stores:
    """The warehouse, the ledger in it, and the online rows of one shop."""

    def __init__(
        self, settings: Settings, manifest: Mapping[str, Any], *, sends: bool = False
    ) -> None:
        self.settings, self._schema = settings, manifest["schema"]
        self._service = str(manifest["service"])
        self._item_service = str(manifest["item_service"])
        self.warehouse = Warehouse(settings.warehouse, wait_s=WAIT_S)
        self.ledger = Ledger(self.warehouse, settings.zone, sends=sends)
        self.clock = SystemClock(settings.home)

    def read_user(self, user_id: str, asked_at: int) -> dict[str, Any]:
        """The online row of a shopper: features by name."""
        return retrieval.online_row(user_id, self._service, asked_at, self.settings)

    def unknown_user(self, asked_at: int) -> dict[str, Any]:
        """The row of a shopper never seen; asks no store."""
        return retrieval.unknown_row(self._service, asked_at, self.settings)

    def keep_events(self, frame: pl.DataFrame) -> Report:
        """Events into the warehouse, and those that cite a decision to its outcomes."""
        return publish.keep(self.warehouse, frame, self.clock, source="http")

    def refresh(self, user_ids: list[str]) -> None:
        """Write the online rows of shoppers."""
        publish.refresh(self.warehouse, user_ids, self.settings)

    def record(self, frame: pl.DataFrame) -> Report:
        """Keep events and write the online rows of their shoppers."""
        return publish.record(self.warehouse, frame, self.settings, self.clock, source="outbox")

    def known_times(self, event_ids: list[str]) -> dict[str, int]:
        """Event id to received time, of those that are kept."""
        return received_times(self.warehouse, event_ids)

    def make_catalogue(
        self, predictor: Predictor, count: Callable[[int], object], as_of: int
    ) -> Catalogue:
        """All items as of the midnight `as_of`, with their online rows brought up to it."""
        item_ids = publish.refresh_items(self.warehouse, self.settings, self.clock)
        frame = retrieval.online(sorted(item_ids), self._item_service, as_of, self.settings)
        catalogue = build(frame, predictor.spec, predictor, as_of)
        count(len(catalogue))
        return catalogue

    def chores(self) -> Chores:
        """What the upkeep does with these stores."""
        return Chores(
            absorb=self.ledger.absorb,
            attach=self.ledger.attach_missing,
            refresh=self.refresh,
            heal=lambda: heal.heal(self.warehouse, self.settings, self.clock),
            incarnation=lambda: heal.incarnation(self.settings),
            schema_drift=self._schema_drift,
        )

    def _schema_drift(self) -> str:
        differences = (
            first_difference(trained, retrieval.registered(service, self.settings))
            for service, trained in self._schema.items()
        )
        return next(filter(None, differences), "")


def first_difference(trained: Mapping[str, str], registered: Mapping[str, str]) -> str:
    """The first feature that differs, in words; empty when none does."""
    for name, kind in trained.items():
        if name not in registered:
            return f"feature {name!r} is gone from the registry"
        if registered[name] != kind:
            return f"feature {name!r} was {kind} and is {registered[name]} in the registry"
    for name in registered:
        if name not in trained:
            return f"feature {name!r} of the registry is unknown to the model"
    return ""
