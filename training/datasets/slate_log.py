"""The ledger's recommendations that left something to chance, as arrays to learn from.

Next: ``../policies/clicks.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from feature_repo.answers import Decision
from feature_repo.slates import drawn_lists
from feature_repo.warehouse import Warehouse
from training.policies.clicks import EMPTY, SlateLog
from training.policies.slate import Slate


def read_slates(
    warehouse: Warehouse, *, since: int, until: int, kind: str = "click"
) -> tuple[SlateLog, NDArray[np.str_]]:
    """The lists of [since, until), and the shopper (n,) of each.

    Raises
    ------
    ValueError
        When there is none.
    """
    found = drawn_lists(warehouse, policy=f"{Slate.name}:", since=since, until=until, kind=kind)
    lists = [one for one in found if one[0].probabilities]
    if not lists:
        raise ValueError(
            "no recommendation of that time left anything to chance; set "
            "NUDGE_SERVING_SLATE_TEMPERATURE to 0.3, let shoppers click, and come back"
        )
    users = np.array([decision.user_id for decision, _ in lists])
    return _arrays(lists), users


def num_shown(decision: Decision) -> int:
    """How many of its candidates were shown: the first ones."""
    return min(int(decision.request["num_items"]), len(decision.probabilities))


def _arrays(lists: Sequence[tuple[Decision, set[str]]]) -> SlateLog:
    n, wide = len(lists), max(len(decision.probabilities) for decision, _ in lists)
    shown = np.array([num_shown(decision) for decision, _ in lists])
    items = np.full((n, wide), EMPTY, dtype=object)
    scores, chances = np.full((n, wide), -np.inf), np.zeros((n, wide))
    rewards = np.zeros((n, int(shown.max())))
    for row, (decision, clicked) in enumerate(lists):
        names = list(decision.probabilities)
        items[row, : len(names)] = names
        scores[row, : len(names)] = [decision.scores[name] for name in names]
        chances[row, : len(names)] = list(decision.probabilities.values())
        rewards[row, : shown[row]] = [name in clicked for name in names[: shown[row]]]
    return SlateLog(
        items=items.astype(str), scores=scores, chances=chances, num_shown=shown, rewards=rewards
    )
