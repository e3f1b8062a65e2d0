"""Recommendations that left something to chance, with what was clicked: the log of their lists.

Next: ``training/datasets/slate_log.py``, which makes arrays of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import sqlalchemy as sa

from feature_repo import answers
from feature_repo.answers import Decision
from feature_repo.engine import slices
from feature_repo.tables import decisions, outcomes
from feature_repo.tables import events as event_table
from feature_repo.warehouse import Warehouse


def drawn_lists(
    warehouse: Warehouse, *, policy: str, since: int, until: int, kind: str = "click"
) -> Iterator[tuple[Decision, set[str]]]:
    """Recommendations of policies called `policy` in [since, until), each with its items of `kind`.

    In order of time. The items are those of events that cite the recommendation.
    """
    asked = sa.and_(
        decisions.c.kind == "recommend",
        decisions.c.policy.startswith(policy, autoescape=True),
        decisions.c.decided_at >= since,
        decisions.c.decided_at < until,
    )
    order = (decisions.c.decided_at, decisions.c.decision_id)
    with warehouse.read() as connection:
        names = connection.execute(sa.select(decisions.c.decision_id).where(asked).order_by(*order))
        for part in slices(names.scalars().all()):
            clicked = _clicked(connection, part, kind)
            these = sa.select(decisions).where(decisions.c.decision_id.in_(part)).order_by(*order)
            for row in connection.execute(these).mappings():
                found = answers.decision_of(row)
                yield found, clicked.get(found.decision_id, set())


def _clicked(connection: sa.Connection, part: Sequence[str], kind: str) -> dict[str, set[str]]:
    """Decision to the items of its outcomes of `kind`."""
    query = (
        sa.select(outcomes.c.decision_id, event_table.c.item_id)
        .join(event_table, event_table.c.event_id == outcomes.c.event_id)
        .where(outcomes.c.decision_id.in_(part), outcomes.c.kind == kind)
    )
    found: dict[str, set[str]] = {}
    for decision_id, item_id in connection.execute(query):
        found.setdefault(decision_id, set()).add(item_id)
    return found
