"""Decisions of the ledger as tasks are told of them: whom, when, what, and with which chance.

Next: ``../tasks/uplift.py``; ``decision_log.py`` has what policies learn from.
"""

from __future__ import annotations

import polars as pl

from feature_repo.ledger import Ledger
from feature_repo.warehouse import Warehouse

SCHEMA = {"user_id": pl.String, "asked_at": pl.Int64, "action": pl.String,
          "propensity": pl.Float64}  # fmt: skip


def decided(warehouse: Warehouse) -> pl.DataFrame:
    """All decisions with a choice, in order of time: at least two actions had a chance.

    Raises
    ------
    ValueError
        When there is none.
    """
    every = Ledger(warehouse).decisions(limit=None, kind="decide")[::-1]
    rows = [
        (one.user_id, one.decided_at, one.action, one.probabilities[str(one.action)])
        for one in every
        if sum(chance > 0 for chance in one.probabilities.values()) > 1
    ]
    if not rows:
        raise ValueError(
            f"the ledger holds {len(every):,} decisions and none with a choice, so nothing tells "
            "what an action changes; serve a policy with epsilon above 0 first"
        )
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")
