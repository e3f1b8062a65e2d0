"""A simulated shop: it steps day by day from a seed and answers what is done to its shoppers.

    world = World(seed=7)
    events = world.step({"shopper-00003": "coupon"})     # one day, events.EVENT_SCHEMA
    world.truth.purchase_probability(horizon_days=90)    # what no model may see

The same seed and the same actions give the same events. It knows no wall clock. First read
``catalogue.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import polars as pl

from feature_repo.events import EVENT_SCHEMA
from feature_repo.settings import DAY, iso
from feature_repo.world.catalogue import CATEGORIES, YEAR_DAYS, Catalogue
from feature_repo.world.diary import Diary
from feature_repo.world.memory import Memory
from feature_repo.world.responses import LEAVES_AFTER_RETURN, Today, live, treat
from feature_repo.world.shoppers import (
    EFFECT_DAYS,
    Shoppers,
    leave_probability,
    visit_probability,
)
from feature_repo.world.truth import Truth, action_index, index_of

DEFAULT_START_AT = 19_723 * DAY  # 2024-01-01T00:00:00Z
NEW_SHOPPERS_PER_DAY = 0.0015  # of those at the opening
NEW_ITEMS_PER_DAY = 0.0012


class World:
    """The shop, its shoppers, and the truth about them.

    Parameters
    ----------
    seed
        Where all randomness comes from.
    num_shoppers, num_items
        How many there are at the opening. More come later: about 0.15 % and 0.12 % of these a day.
    start_at
        Midnight UTC of the first day, microseconds.
    currency
        ISO 4217 code of all prices.
    paired
        Whether nights draw from luck of their own: two shops of one seed then have the same
        newcomers whatever was done in them, and each shopper the same luck of the day.
    changes
        Share of the shoppers who become people of another kind each night: what was learnt of them
        gets old. The truth speaks of the kind that each is now, as if it stayed.

    Raises
    ------
    ValueError
        When an argument is out of range.
    """

    def __init__(
        self,
        seed: int = 7,
        num_shoppers: int = 60,
        num_items: int = 120,
        start_at: int = DEFAULT_START_AT,
        *,
        currency: str = "GBP",
        paired: bool = False,
        changes: float = 0.0,
    ) -> None:
        _check(seed, num_shoppers, num_items, start_at)
        if not 0 <= changes <= 1:
            raise ValueError(f"changes is {changes}; it is a share, 0 to 1")
        rng = np.random.default_rng([seed, 0])
        self.seed, self.start_at, self.day = seed, start_at, 0
        self._currency, self.paired, self.changes = currency, paired, changes
        self._newcomers = (num_shoppers * NEW_SHOPPERS_PER_DAY, num_items * NEW_ITEMS_PER_DAY)
        self._catalogue = Catalogue.open(num_items, rng)
        self._shoppers = Shoppers.draw(num_shoppers, self._catalogue.words, 0, rng)
        self._memory = Memory.blank(num_shoppers, num_items)
        self._decisions: dict[int, tuple[str, int]] = {}

    @property
    def now(self) -> int:
        """Midnight UTC at which the next day begins, microseconds."""
        return self.start_at + self.day * DAY

    @property
    def truth(self) -> Truth:
        """The truth at this moment. It follows the world: ask before the next step."""
        return Truth(self._shoppers, self._catalogue, self._memory, self.day, self._day_of_year)

    @property
    def items(self) -> pl.DataFrame:
        """The catalogue at this moment: item_id, category, text, price_micros, first_at."""
        items = self._catalogue
        return pl.DataFrame(
            {
                "item_id": [items.item_id(index) for index in range(len(items))],
                "category": [CATEGORIES[index] for index in items.category],
                "text": items.texts,
                "price_micros": items.price_micros,
                "first_at": self.start_at + np.maximum(items.born_day, 0) * DAY,
            }
        )

    def step(
        self, actions: Mapping[str, str] | None = None, decisions: Mapping[str, str] | None = None
    ) -> pl.DataFrame:
        """Play one day and return its events in order of time.

        Parameters
        ----------
        actions
            What the shop does this morning: user id → "coupon", "reminder" or "nothing".
        decisions
            User id → decision id. That shopper's events of the next seven days cite it.

        Raises
        ------
        ValueError
            When a user or an action is unknown.
        """
        who, action = self._read(actions or {})
        for user, decision in (decisions or {}).items():
            index = index_of(user, len(self._shoppers))
            self._decisions[index] = (decision, self.day + EFFECT_DAYS)
        today = self._today()
        treat(today, who, action)
        silence = self._chance_of_silence()
        live(today)
        events = today.diary.frame(
            prefix=f"sim-{self.seed}-{self.day:05d}-",
            texts=self._catalogue.texts,
            decisions=self._cited(),
            currency=self._currency,
        )
        self._update_belief(today.diary, silence)
        self._pass_night(today.rng)
        return events

    def run(self, num_days: int) -> pl.DataFrame:
        """Play `num_days` days in which the shop does nothing, and return all their events."""
        days = [self.step() for _ in range(num_days)]
        return pl.concat(days) if days else pl.DataFrame(schema=EVENT_SCHEMA)

    @property
    def _day_of_year(self) -> float:
        return float((self.start_at // DAY + self.day) % YEAR_DAYS)

    def _today(self) -> Today:
        return Today(
            day=self.day,
            day_of_year=self._day_of_year,
            starts_at=self.now,
            shoppers=self._shoppers,
            catalogue=self._catalogue,
            memory=self._memory,
            diary=Diary(),
            rng=np.random.default_rng([self.seed, 1, self.day]),
        )

    def _read(self, actions: Mapping[str, str]) -> tuple[np.ndarray, np.ndarray]:
        """Shoppers and actions as indices, in order of shopper, without those left alone."""
        pairs = sorted(
            (index_of(user, len(self._shoppers)), action_index(action))
            for user, action in actions.items()
        )
        acted = np.array([pair for pair in pairs if pair[1]], dtype=np.int64).reshape(-1, 2)
        return acted[:, 0], acted[:, 1]

    def _cited(self) -> list[str | None]:
        """The decision (N,) that each shopper's events of today cite."""
        cited: list[str | None] = [None] * len(self._shoppers)
        for index, (decision, until) in self._decisions.items():
            if self.day < until:
                cited[index] = decision
        return cited

    def _chance_of_silence(self) -> np.ndarray:
        """Chance (N,) that a shopper who is alive this morning does not appear today."""
        people = self._shoppers
        return 1.0 - visit_probability(people, people.since_order, self.day, self._day_of_year)

    def _update_belief(self, diary: Diary, silence: np.ndarray) -> None:
        """Bayes' rule: whoever appears is alive, who returned something may be gone after it."""
        people = self._shoppers
        stays = people.belief * (1.0 - leave_probability(people, self.day))
        quiet = stays * silence / (1.0 - stays + stays * silence)
        visited = diary.seen(len(people), ("impression",))
        returned = diary.seen(len(people), ("return",))
        people.belief = np.where(returned, 1.0 - LEAVES_AFTER_RETURN, quiet)
        people.belief[visited] = 1.0

    def _pass_night(self, rng: np.random.Generator) -> None:
        """Memories fade, tastes of the crowd drift, newcomers arrive; tomorrow is the present."""
        if self.paired:
            rng = np.random.default_rng([self.seed, 2, self.day])
        self.day += 1
        self._memory.rest()
        self._shoppers.rest()
        self._catalogue.pass_day(rng)
        if self.changes:
            own = np.random.default_rng([self.seed, 4, self.day])
            who = np.flatnonzero(own.random(len(self._shoppers)) < self.changes)
            self._shoppers.change(who, self._catalogue.words, self.day, own)
        shoppers, items = (int(n) for n in rng.poisson(self._newcomers))
        self._catalogue.add(items, self.day, rng)
        self._shoppers.add(Shoppers.draw(shoppers, self._catalogue.words, self.day, rng))
        self._memory.grow(len(self._shoppers), len(self._catalogue))


def _check(seed: int, num_shoppers: int, num_items: int, start_at: int) -> None:
    """Refuse what no shop can be made of."""
    for name, value, least in (
        ("seed", seed, 0),
        ("num_shoppers", num_shoppers, 1),
        ("num_items", num_items, 2),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}; it must be at least {least}")
    if start_at % DAY:
        raise ValueError(f"start_at is {iso(start_at)}; it must be midnight UTC")
