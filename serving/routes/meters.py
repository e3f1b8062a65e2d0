"""What the service counts, for Prometheus. Next: ``parts.py``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)


class Meters:
    """Counters and histograms of one service, in a registry of their own.

    BentoML's ``/metrics`` collects from the files of all its workers, so whatever is counted here
    appears there beside BentoML's own figures.
    """

    def __init__(self) -> None:
        # Imported here: prometheus_client looks at its environment when it is first imported, and
        # BentoML sets that up before the service starts.
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry = CollectorRegistry()
        self.answers = Counter(
            "nudge_answers", "Answers given", ["endpoint"], registry=self.registry
        )
        self.flags = Counter(
            "nudge_flags", "What answers lacked or found stale", ["flag"], registry=self.registry
        )
        self.actions = Counter(
            "nudge_actions", "Actions decided", ["campaign", "action"], registry=self.registry
        )
        self.events = Counter("nudge_events", "Events sent", ["result"], registry=self.registry)
        self.failures = Counter(
            "nudge_store_failures", "Store calls that failed", ["store"], registry=self.registry
        )
        self.stages = Histogram(
            "nudge_stage_seconds",
            "Seconds within a request, by stage",
            ["stage"],
            buckets=BUCKETS,
            registry=self.registry,
        )
        self.outbox = Gauge(
            "nudge_outbox_messages",
            "Messages of decided actions, by state",
            ["state"],
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.items = Gauge(
            "nudge_catalogue_items",
            "Items in the catalogue",
            registry=self.registry,
            multiprocess_mode="mostrecent",
        )
        self.catalogue_late = Gauge(
            "nudge_catalogue_late_seconds",
            "Age of a new day whose catalogue is not in use yet",
            registry=self.registry,
            multiprocess_mode="livemax",
        )

    def tell_outbox(self, counts: Mapping[str, int]) -> None:
        """Show how many messages wait, were sent and are dead."""
        sent = counts["sent"] + counts["done"]
        for state, num in (
            ("waiting", counts["waiting"]),
            ("sent", sent),
            ("dead", counts["dead"]),
        ):
            self.outbox.labels(state).set(num)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a part of a request: ``read``, ``score`` or ``ledger``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages.labels(name).observe(time.perf_counter() - start)

    def text(self) -> bytes:
        """All figures of this process in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry)
