"""The last half of every answer: the decision is durable before it leaves.

In the ledger; or, while that is down, in the spool of this machine, from which the upkeep brings it
into the ledger. Next: ``recommend.py``.
"""

from __future__ import annotations

from dataclasses import replace

from feature_repo.ledger import Decision
from serving.routes.asked import Asked
from serving.routes.parts import Parts, StoreFailed
from serving.upkeep import LEDGER

NOTICE = "the ledger cannot be reached: this decision is kept on this machine until it can"


def keep(asked: Asked, parts: Parts, decision: Decision) -> None:
    """Make `decision` durable, and flag the answer when that is not in the ledger.

    Raises
    ------
    StoreFailed
        When neither takes it.
    """
    try:
        with parts.store(LEDGER):
            parts.ledger.write(decision)
    except StoreFailed:
        put_aside(asked, parts, decision)


def put_aside(asked: Asked, parts: Parts, decision: Decision) -> Decision:
    """Keep `decision` in the spool; gives it as it is kept there, with its notice."""
    asked.stale.append(LEDGER)
    asked.notices.append(NOTICE)
    parts.meters.flags.labels(LEDGER).inc()
    spooled = replace(decision, notices=tuple(asked.notices))
    try:
        parts.spool.append(spooled)
    except OSError as error:
        raise StoreFailed("ledger, and the spool in its place,", error) from error
    return spooled
