"""What the simulated shop knows about itself and no model may see: the known truth of tests.

Everything is a closed form of the present state, for the day that the next ``step`` will play.
Nothing here draws a random number. Next: ``shop.py``.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from feature_repo.world.catalogue import Catalogue
from feature_repo.world.diary import user_id
from feature_repo.world.memory import Memory, click_probability, softmax, utility
from feature_repo.world.responses import LEAVES_AFTER_RETURN
from feature_repo.world.shoppers import (
    ACTIONS,
    CLASSES,
    EFFECT_DAYS,
    NEVER,
    Shoppers,
    leave_probability,
    order_probability,
    visit_probability,
)

Chance = Callable[[Shoppers, np.ndarray, int, float], np.ndarray]
"""Of something on one day, (N,): ``order_probability`` and its like."""
Knowing = Literal["everything", "events"]


@dataclass(frozen=True, slots=True)
class Truth:
    """A view on a world at its present moment. N shoppers and I items have come so far."""

    shoppers: Shoppers
    catalogue: Catalogue
    memory: Memory
    day: int
    day_of_year: float

    @property
    def users(self) -> list[str]:
        """Ids of all shoppers so far, in the order of every (N,) below."""
        return [user_id(index) for index in range(len(self.shoppers))]

    @property
    def items(self) -> list[str]:
        """Ids of all items so far, in the order of every (I,) below."""
        return [self.catalogue.item_id(index) for index in range(len(self.catalogue))]

    @property
    def taste(self) -> np.ndarray:
        """Taste vectors (N, K): the direction is what is liked, the length how strongly."""
        return self.shoppers.taste

    @property
    def item_vectors(self) -> np.ndarray:
        """Places of the items in the space of taste, (I, K), length one."""
        return self.catalogue.vectors

    @property
    def alive(self) -> np.ndarray:
        """Who (N,) is still a customer."""
        return self.shoppers.alive

    @property
    def uplift_class(self) -> np.ndarray:
        """persuadable, sure thing, lost cause or sleeping dog, (N,)."""
        return np.array(CLASSES)[self.shoppers.uplift_class]

    def next_item_probabilities(self, user: str) -> np.ndarray:
        """Chance (I,) of each item to be the first of `user`'s order, if there is one now.

        softmax of ``memory.utility``. Further items of the order follow the Plackett-Luce model:
        the same softmax over what is left.
        """
        return softmax(self._wants(self._who(user)))[0]

    def choice_probabilities(self) -> np.ndarray:
        """``next_item_probabilities`` of all shoppers at once, (N, I)."""
        return softmax(self._wants(np.arange(len(self.shoppers))))

    def click_probability(self, user: str) -> np.ndarray:
        """Chance (I,) of a click by `user` on each item, if it is shown now."""
        return click_probability(self._wants(self._who(user)))[0]

    def purchase_probability(
        self, horizon_days: int, knowing: Knowing = "everything"
    ) -> np.ndarray:
        """Chance (N,) of an order within the next `horizon_days`, if the shop does not act again.

        With l_k the chance to leave at the start of day k, r_k that of leaving over an item sent
        back that day, and h_k the chance of an order, of those alive and without order S_k = 1,

            P = Σ_k S_k (1 - l_k) (1 - r_k) h_k,   S_{k+1} = S_k (1 - l_k) (1 - r_k) (1 - h_k),

        which is exact: all of them are known numbers until the first order. `knowing` everything
        starts from life itself (S_0 is 0 or 1) and the returns under way. Knowing "events" is the
        best that an observer of all events can do who knows every rate but not who is still alive:
        S_0 = P(alive | events) by Bayes' rule over silent days, returns under way ignored.
        """
        people = self.shoppers
        start = people.alive.astype(float) if knowing == "everything" else people.belief
        returns = knowing == "everything"
        ordered, _ = first_time(
            order_probability, people, start, self.day, self.day_of_year, horizon_days, returns
        )
        return ordered

    def conversion_probability(self, action: str, horizon_days: int = EFFECT_DAYS) -> np.ndarray:
        """Chance (N,) of an order within `horizon_days` if `action` is taken on the coming day.

        Raises
        ------
        ValueError
            When `action` is not one of the three.
        """
        return self._within(order_probability, action, horizon_days)

    def visit_probability(self, action: str, horizon_days: int = EFFECT_DAYS) -> np.ndarray:
        """Chance (N,) of a visit within `horizon_days` if `action` is taken on the coming day.

        Every order is one too.

        Raises
        ------
        ValueError
            When `action` is not one of the three.
        """
        return self._within(visit_probability, action, horizon_days)

    def treated(self, action: str) -> Shoppers:
        """Copies of all shoppers (N,) to whom `action` is done this morning."""
        people = copy.deepcopy(self.shoppers)
        if index := action_index(action):
            everyone = np.arange(len(people))
            people.treat(everyone, np.full(len(people), index), self.day)
        return people

    def _within(self, chance: Chance, action: str, horizon_days: int) -> np.ndarray:
        """Chance (N,) that it comes within `horizon_days`, `action` being the last one."""
        people = self.treated(action)
        alive = people.alive.astype(float)
        came, _ = first_time(chance, people, alive, self.day, self.day_of_year, horizon_days)
        return came

    def _who(self, user: str) -> np.ndarray:
        """The index of `user`, (1,)."""
        return np.array([index_of(user, len(self.shoppers))])

    def _wants(self, who: np.ndarray) -> np.ndarray:
        """Utilities (m, I) of `who` (m,) now."""
        appeal = self.catalogue.appeal(self.day, self.day_of_year)
        return utility(self.shoppers, self.catalogue, self.memory, who, appeal)


def first_time(
    chance: Chance,
    people: Shoppers,
    start: np.ndarray,
    day: int,
    day_of_year: float,
    horizon_days: int,
    count_returns: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """The sum of ``Truth.purchase_probability`` from S_0 = `start` (N,), of `chance` for h_k.

    Gives the chances (N,) that it comes within `horizon_days` from `day`, and of living on without.
    """
    waiting, came = start.copy(), np.zeros(len(people))
    for ahead in range(horizon_days):
        waiting *= 1.0 - leave_probability(people, day + ahead)
        if count_returns:
            due = (people.return_day == day + ahead) & (people.return_day != NEVER)
            waiting *= np.where(due, 1.0 - LEAVES_AFTER_RETURN, 1.0)
        since, season = people.since_order + ahead, day_of_year + ahead
        comes = waiting * chance(people, since, day + ahead, season)
        came += comes
        waiting -= comes
    return came, waiting


def action_index(action: str) -> int:
    """Where `action` stands in ACTIONS.

    Raises
    ------
    ValueError
        When it is not one of them.
    """
    if action not in ACTIONS:
        raise ValueError(
            f"action {action!r} is unknown to the simulated shop; take one of {ACTIONS}"
        )
    return ACTIONS.index(action)


def index_of(user: str, num_shoppers: int) -> int:
    """Which shopper has the id `user`.

    Raises
    ------
    ValueError
        When nobody has it.
    """
    number = user.rpartition("-")[2]
    index = int(number) if number.isdecimal() else num_shoppers
    if index >= num_shoppers or user_id(index) != user:
        raise ValueError(
            f"nobody in the simulated shop is called {user!r}; "
            f"ids run from {user_id(0)} to {user_id(num_shoppers - 1)}"
        )
    return index
