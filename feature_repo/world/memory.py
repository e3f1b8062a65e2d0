"""What each shopper of the simulated shop remembers of each item, and what that makes them want.

Utility is the one formula behind every choice: the next item of an order is drawn from its softmax,
clicks are its logistic. Next: ``responses.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.world.catalogue import MICROS, Catalogue
from feature_repo.world.shoppers import NEVER, Shoppers

VIEWED, CARTED = 0.6, 1.2
_KEPT_OVERNIGHT = 0.93
_DURABLE_HABIT = 0.35
_FOLLOWS = 1.2
_REFERENCE_PRICE = 9.0
_CLICK_SLOPE, _CLICK_BASE = 0.7, -1.6


@dataclass(slots=True)
class Memory:
    """Interest (N, I), raised by looking and forgotten by night; bought (N, I), kept for ever."""

    interest: np.ndarray
    bought: np.ndarray

    @classmethod
    def blank(cls, num_shoppers: int, num_items: int) -> Memory:
        """Nobody has seen anything yet."""
        shape = (num_shoppers, num_items)
        return cls(interest=np.zeros(shape, np.float32), bought=np.zeros(shape, bool))

    def grow(self, num_shoppers: int, num_items: int) -> None:
        """Make room for newcomers, who remember nothing."""
        rows, columns = self.interest.shape
        if (rows, columns) != (num_shoppers, num_items):
            room = ((0, num_shoppers - rows), (0, num_items - columns))
            self.interest = np.pad(self.interest, room)
            self.bought = np.pad(self.bought, room)

    def look(self, who: np.ndarray, item: np.ndarray, weight: float) -> None:
        """Raise the interest of `who` (n,) in `item` (n,)."""
        np.add.at(self.interest, (who, item), np.float32(weight))

    def buy(self, who: np.ndarray, item: np.ndarray) -> None:
        """What is bought is no longer longed for, but known."""
        self.bought[who, item] = True
        self.interest[who, item] = 0.0

    def rest(self) -> None:
        """A night passes."""
        self.interest *= np.float32(_KEPT_OVERNIGHT)


def utility(
    shoppers: Shoppers, catalogue: Catalogue, memory: Memory, who: np.ndarray, appeal: np.ndarray
) -> np.ndarray:
    """How much each of `who` (m,) wants each item: (m, I), in logits.

    u = taste · vector + appeal - c log(price / 9) + habit · bought + interest + 1.2 [follows],
    where habit counts 0.35-fold for things that are not used up and [follows] marks the category
    that is wanted after that of the last order.
    """
    price = np.log(catalogue.price_micros / MICROS / _REFERENCE_PRICE)
    used_up = np.where(catalogue.consumed, 1.0, _DURABLE_HABIT)
    last = shoppers.last_category[who]
    wanted = np.where(last == NEVER, NEVER, catalogue.follows[last])
    total: np.ndarray = shoppers.taste[who] @ catalogue.vectors.T + appeal
    total -= shoppers.cares_for_price[who, None] * price
    total += shoppers.habit[who, None] * (memory.bought[who] * used_up)
    total += memory.interest[who]
    total += _FOLLOWS * (catalogue.category == wanted[:, None])
    return total


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities along the last axis."""
    weights = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return weights / weights.sum(axis=-1, keepdims=True)


def click_probability(wants: np.ndarray) -> np.ndarray:
    """Chance of a click on a shown item, from utilities (m, I): σ(0.7 (u - mean u) - 1.6)."""
    relative = wants - wants.mean(axis=-1, keepdims=True)
    return 1.0 / (1.0 + np.exp(-(_CLICK_SLOPE * relative + _CLICK_BASE)))
