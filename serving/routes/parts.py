"""What a request works with: the parts of the running service, put together once at start.

Each part is a seam: tests give fakes with the same few methods. Next: ``asked.py``.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

import polars as pl
from fastapi import Depends, Request

from feature_repo.disk import is_full
from feature_repo.ingest import Report
from feature_repo.ledger import Campaign, Decision, LimitState
from feature_repo.settings import Clock, iso
from serving.catalogue import Shelf
from serving.experiments.running import Assigned
from serving.lists import Lists
from serving.outbox import Background
from serving.predictor import Predictor
from serving.routes.meters import Meters
from serving.settings import ServingSettings
from serving.sights import Sights
from serving.spool import Spool
from serving.upkeep import LEDGER, Upkeep
from training.policies import Policy

log = logging.getLogger(__name__)

STORES = {"events": LEDGER}
"""What a request calls a store, where the upkeep calls it differently: one warehouse has both."""


class StoreFailed(Exception):
    """A store did not do its part; the request may be tried again."""

    def __init__(self, store: str, cause: Exception | None = None) -> None:
        why = "it failed a moment ago" if cause is None else type(cause).__name__
        if is_full(cause):
            why = "no space is left on its disk"
        super().__init__(
            f"the {store} could not be used ({why}); nothing was decided or kept, try again in a "
            "moment"
        )


class NotYet(StoreFailed):
    """A decision that waits in the spool is asked for."""

    def __init__(self, decision_id: str) -> None:
        Exception.__init__(
            self,
            f"decision {decision_id!r} is kept, and not in the ledger yet; try again in a moment",
        )


class NotFound(Exception):
    """What the request names does not exist."""


class Ledger(Protocol):
    """The part of ``feature_repo.ledger.Ledger`` that requests use."""

    def write(self, decision: Decision) -> None:
        """Keep `decision`."""

    def decide(
        self, user_id: str, campaign_id: str, now: int, choose: Callable[[LimitState], Decision]
    ) -> Decision:
        """Read limits, choose, reserve and keep, in one transaction."""

    def campaign(self, campaign_id: str) -> Campaign:
        """The campaign; ``ValueError`` when there is none."""

    def get(self, decision_id: str) -> Decision | None:
        """The decision, if there is one."""

    def decisions(self, user_id: str | None = None, limit: int = 50) -> list[Decision]:
        """The newest first."""

    def outcomes(self, decision_id: str) -> list[dict[str, Any]]:
        """Events that cited the decision."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The running service."""

    settings: ServingSettings
    clock: Clock
    predictor: Predictor
    shelf: Shelf
    policy: Policy
    policy_name: str
    policy_version: str
    assign: Callable[[str, int], Assigned]
    """(user id, moment of asking) to the policy that decides, by the running experiments."""
    ledger: Ledger
    read_user: Callable[[str, int], dict[str, Any]]
    """(user id, moment of asking) to the row of the model's feature service, by name."""
    unknown_user: Callable[[int], dict[str, Any]]
    """Moment of asking to the row of a shopper never seen, without asking the online store."""
    record: Callable[[pl.DataFrame], Report]
    """Take events: warehouse and outcomes."""
    refresh: Callable[[list[str]], None]
    """Write the online rows of these shoppers."""
    known_times: Callable[[list[str]], dict[str, int]]
    """Event ids to the received times of those that are kept, by id."""
    new_id: Callable[[], str]
    """A fresh decision id."""
    sights: Sights
    """What is looked at beside one shopper."""
    meters: Meters
    spool: Spool
    upkeep: Upkeep
    lists: Lists = field(default_factory=Lists)
    """How recommendations are put in order."""
    outbox: Background | None = None
    """What sends messages; None where whoever asks acts on the answer."""

    @property
    def model_version(self) -> str:
        """Content hash of the served model."""
        return self.predictor.bundle.version

    @property
    def feature_version(self) -> str:
        """Hash of the feature schema that the model was trained on."""
        return str(self.predictor.bundle.manifest["schema_hash"])

    def outcomes(self, decision_id: str) -> list[dict[str, Any]]:
        """The events that cited a decision, with times and values as people read them."""
        return [
            {
                "event_id": outcome["event_id"],
                "kind": outcome["kind"],
                "event_at": iso(outcome["event_at"]),
                "value": outcome["value_micros"] / 1_000_000,
            }
            for outcome in self.ledger.outcomes(decision_id)
        ]

    @contextmanager
    def store(self, name: str) -> Iterator[None]:
        """Turn any failure of a store into :class:`StoreFailed`, and keep its trace in the log.

        A store that failed is not asked again until the upkeep found it back: no request waits.
        """
        place = STORES.get(name, name)
        if self.upkeep.is_down(place):
            self.meters.failures.labels(name).inc()
            raise StoreFailed(name)
        try:
            with self.meters.stage(name):
                yield
        except NotFound:
            raise
        except Exception as error:
            log.exception("the %s failed", name)
            self.meters.failures.labels(name).inc()
            self.upkeep.failed(place)
            raise StoreFailed(name, error) from error


def running_parts(request: Request) -> Parts:
    """The parts that the service was started with."""
    parts = getattr(request.app.state, "parts", None)
    assert isinstance(parts, Parts), "the application was started"
    return parts


Running = Annotated[Parts, Depends(running_parts)]
