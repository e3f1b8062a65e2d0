"""What the service does by itself after a bad day: notice that a store is back, and catch up.

While a store is down no request waits for it: this thread alone tries it, every `retry_s`. Then it
drains the spool into the ledger, attaches outcomes that a kill left behind, and brings online rows
up to the warehouse. Next: ``routes/parts.py``.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from feature_repo.ledger import Decision
from serving.pace import background_thread
from serving.spool import Spool

log = logging.getLogger(__name__)

FEATURES, ROWS, LEDGER = "features", "rows", "ledger"
"""What can be down: reading online rows, writing them, and the warehouse with its ledger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chores:
    """What the upkeep does with the stores; each raises while its store is down."""

    absorb: Callable[[Sequence[Decision]], object]
    """Keep decisions in the ledger, each once."""
    attach: Callable[[], object]
    """Attach outcomes that were left behind."""
    refresh: Callable[[list[str]], object]
    """Write the online rows of these shoppers."""
    heal: Callable[[], int]
    """Bring all online rows up to the warehouse; how many shoppers were behind."""
    incarnation: Callable[[], str]
    """What changes when the online store was started anew, and may have lost its last writes."""
    schema_drift: Callable[[], str]
    """How the registry differs from the served model, in words; empty when it does not."""


class Upkeep:
    """Which stores are down, which shoppers' rows lag, and the thread that mends both."""

    def __init__(
        self, chores: Chores, spool: Spool, *, retry_s: float = 1.0, look_s: float = 30.0
    ) -> None:
        self._chores, self._spool = chores, spool
        self._retry_s, self._look_s, self._looked_at = retry_s, look_s, -look_s
        self._down: set[str] = set()
        self._lagging: Counter[str] = Counter()
        self._incarnation = ""
        self._must_heal, self._must_attach, self._may_have_lost = True, True, False
        self.schema_drift = ""
        """How the registry differs from what is served; empty when it does not."""
        self._mutex, self._stop = threading.Lock(), threading.Event()
        self._thread = background_thread(self._watch, "upkeep")

    def start(self) -> None:
        """Work in the background."""
        self._thread.start()

    def stop(self) -> None:
        """End the work; returns when it has ended. What waits in the spool stays there."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()
        self._spool.close()

    def is_down(self, store: str) -> bool:
        """Whether `store` failed and has not answered since."""
        return store in self._down

    def failed(self, store: str) -> None:
        """Leave `store` alone until it answers again.

        A warehouse that dies may have kept events whose sender, and whose online rows, never heard
        of it: afterwards all rows are compared.
        """
        if store == LEDGER:
            self._must_attach = self._must_heal = True
        self._down.add(store)

    def lags(self, user_id: str) -> bool:
        """Whether the online rows of this shopper may lack events that were acknowledged."""
        return self._may_have_lost or user_id in self._lagging

    def lag(self, user_ids: Iterable[str]) -> None:
        """Remember shoppers whose events are kept and whose online rows are not written."""
        with self._mutex:
            self._lagging.update(user_ids)

    def catch_up(self) -> None:
        """Do all that is due, each chore by itself: one store down holds up no other."""
        for chore, store in ((self._mend_ledger, LEDGER), (self._mend_rows, ROWS)):
            try:
                chore()
            except Exception as error:
                self.failed(store)
                log.warning("the %s are not back: %s", store, type(error).__name__)
            else:
                self._back(store)
        if time.monotonic() - self._looked_at >= self._look_s:
            self._look()

    def _mend_ledger(self) -> None:
        if self.is_down(LEDGER):
            self._chores.absorb([])
        if not self._spool.is_empty():
            num = self._spool.drain(self._chores.absorb)
            log.info("%d decisions went from the spool into the ledger", num)
            self._must_attach = True
        if self._must_attach:
            self._must_attach = False  # before the work: what fails meanwhile asks for it anew
            self._chores.attach()

    def _mend_rows(self) -> None:
        """Reading the store's incarnation tells that it answers."""
        incarnation = self._chores.incarnation()
        if incarnation != self._incarnation:
            self._may_have_lost, self._must_heal = bool(self._incarnation), True
        self._back(FEATURES)
        if self._must_heal:
            self._heal()
            self._may_have_lost, self._incarnation = False, incarnation
        self._catch_up_with_lagging()

    def _heal(self) -> None:
        self._must_heal = False  # before the work, as above
        try:
            if num := self._chores.heal():
                log.info("the online rows of %d shoppers were behind and are whole again", num)
        except Exception:
            self._must_heal = True
            raise

    def _catch_up_with_lagging(self) -> None:
        with self._mutex:
            lagging = self._lagging.copy()
        if not lagging:
            return
        self._chores.refresh(sorted(lagging))
        with self._mutex:
            self._lagging -= lagging  # whoever was told of again meanwhile stays

    def _back(self, store: str) -> None:
        if store in self._down:
            self._down.discard(store)
            log.info("the %s are back", store)

    def _look(self) -> None:
        """See whether somebody changed the registry under us; what is served stays as it began."""
        self._looked_at = time.monotonic()
        try:
            self.schema_drift = self._chores.schema_drift()
        except Exception as error:
            log.warning("the registry could not be looked at: %s", error)

    def _watch(self) -> None:
        self.catch_up()
        while not self._stop.wait(self._retry_s):
            self.catch_up()
