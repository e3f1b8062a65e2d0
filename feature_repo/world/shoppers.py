"""The people of the simulated shop: their taste, their rhythm, their life and how they react.

Every chance of a day is a closed form of the state kept here, so the truth about a shopper can be
computed and not only sampled. Next: ``responses.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from feature_repo.world.catalogue import CATEGORIES, COLOURS, MATERIALS, Words, unit

ACTIONS = ("nothing", "reminder", "coupon")
CLASSES = ("persuadable", "sure thing", "lost cause", "sleeping dog")
EFFECT_DAYS = 7
COUPON_DISCOUNT = 0.10
NEVER = -1

_CLASS_SHARES = (0.32, 0.30, 0.20, 0.18)
_GAP_DAYS = np.array([34.0, 17.0, 48.0, 26.0])  # by class: median scale of the own rhythm
_GAP_SIGMA = 0.35
_LIFE_DAYS = np.array([800.0, 1500.0, 400.0, 800.0])  # by class: expected days as a customer
_BROWSE = np.array([0.070, 0.040, 0.030, 0.045])  # by class: chance of a visit without an order
_COMPLAINS = np.array([0.35, 0.35, 0.35, 0.90])  # by class: does a return come with a message
_LIFT = np.array(  # by class and action: added chance of an order on each day of the effect
    [[0.0, 0.020, 0.060], [0.0, 0.001, 0.003], [0.0, 0.0, 0.001], [0.0, 0.0, 0.0]]
)
_DAMP = np.array(  # by class and action: factor on the own chance of an order in the effect
    [[1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 1.0, 1.0], [1.0, 0.45, 0.35]]
)
_OFFENCE = np.array([0.0, 0.0, 0.0, 0.05])  # by class: chance that an action ends it on its day
_OF_A_KIND = (
    "uplift_class", "gap_days", "leaving", "browses", "complains", "cares_for_price",
)  # fmt: skip
_FATIGUE_KEPT, _FATIGUE_PER_ACTION = 0.97, 0.35
_SEASON_SWING, _SEASON_PEAK = 0.25, 330.0  # shopping is most common at the end of November


@dataclass(slots=True)
class Shoppers:
    """All shoppers so far, one entry each, in order of arrival. N shoppers, K tastes."""

    taste: np.ndarray  # (N, K) length = how strongly taste decides
    cares_for_price: np.ndarray  # (N,) utility lost per unit of log price
    habit: np.ndarray  # (N,) utility of an item bought before, when it is used up
    basket: np.ndarray  # (N,) mean number of items of an order beyond the first
    uplift_class: np.ndarray  # (N,) index in CLASSES
    gap_days: np.ndarray  # (N,) scale of the own rhythm
    leaving: np.ndarray  # (N,) chance per day to leave for good
    browses: np.ndarray  # (N,) chance per day of a visit without an order
    complains: np.ndarray  # (N,) chance that a return comes with a message
    arrived_day: np.ndarray  # (N,)
    alive: np.ndarray  # (N,) still a customer; nobody outside sees this
    since_order: np.ndarray  # (N,) days since the last order
    last_category: np.ndarray  # (N,) of the first item of the last order, or NEVER
    return_day: np.ndarray  # (N,) day on which an item will be sent back, or NEVER
    return_item: np.ndarray  # (N,) which item that is
    return_order: np.ndarray  # (N,) day of that order
    return_price: np.ndarray  # (N,) what was paid for it, in micros
    effect: np.ndarray  # (N,) index in ACTIONS of the action at work
    effect_until: np.ndarray  # (N,) first day on which it no longer works
    effect_strength: np.ndarray  # (N,) less than 1 after many actions
    fatigue: np.ndarray  # (N,) how many actions lately
    belief: np.ndarray  # (N,) chance of being alive given all events so far

    @classmethod
    def draw(cls, count: int, words: Words, day: int, rng: np.random.Generator) -> Shoppers:
        """`count` people who come to the shop on `day`."""
        kind = rng.choice(len(CLASSES), size=count, p=_CLASS_SHARES)
        gap = _GAP_DAYS[kind] * np.exp(rng.normal(0.0, _GAP_SIGMA, count))
        price = rng.gamma(2.0, 0.15, count) + 0.45 * (kind == CLASSES.index("persuadable"))
        none, zeros = np.full(count, NEVER), np.zeros(count)
        return cls(
            taste=_draw_taste(count, words, rng),
            cares_for_price=price,
            habit=rng.uniform(1.0, 2.5, count),
            basket=rng.gamma(2.0, 0.8, count),
            uplift_class=kind,
            gap_days=gap,
            leaving=1.0 / (_LIFE_DAYS[kind] * np.exp(rng.normal(0.0, 0.3, count))),
            browses=_BROWSE[kind] * np.exp(rng.normal(0.0, 0.4, count)),
            complains=_COMPLAINS[kind],
            arrived_day=np.full(count, day),
            alive=np.ones(count, dtype=bool),
            since_order=np.floor(rng.uniform(0.2, 1.2, count) * gap).astype(np.int64),
            last_category=none.copy(),
            return_day=none.copy(),
            return_item=none.copy(),
            return_order=none.copy(),
            return_price=none.copy(),
            effect=np.zeros(count, dtype=np.int64),
            effect_until=none.copy(),
            effect_strength=zeros.copy(),
            fatigue=zeros.copy(),
            belief=np.ones(count),
        )

    def __len__(self) -> int:
        return len(self.taste)

    def add(self, others: Shoppers) -> None:
        """Let `others` join, after those already here."""
        for field in fields(self):
            both = (getattr(self, field.name), getattr(others, field.name))
            setattr(self, field.name, np.concatenate(both))

    def change(self, who: np.ndarray, words: Words, day: int, rng: np.random.Generator) -> None:
        """Let `who` become people of another kind, rhythm and taste for price; the rest stays."""
        drawn = Shoppers.draw(len(who), words, day, rng)
        for name in _OF_A_KIND:
            getattr(self, name)[who] = getattr(drawn, name)

    def treat(self, who: np.ndarray, action: np.ndarray, day: int) -> None:
        """Let `action` (indices in ACTIONS) work on the shoppers `who` from `day` on."""
        self.effect[who] = action
        self.effect_until[who] = day + EFFECT_DAYS
        self.effect_strength[who] = np.exp(-self.fatigue[who])
        self.fatigue[who] += _FATIGUE_PER_ACTION

    def rest(self) -> None:
        """A night passes: rhythms go on and actions are slowly forgotten."""
        self.since_order += 1
        self.fatigue *= _FATIGUE_KEPT


def order_probability(
    shoppers: Shoppers, since_order: np.ndarray, day: int, day_of_year: float
) -> np.ndarray:
    """Chance (N,) that each living shopper orders on `day`, `since_order` days after the last.

    h(a) = clip(damp · season · 1.6/g · sigmoid((a - 0.6 g) / 0.15 g) + strength · lift, 0, 0.95)
    with g the shopper's gap scale; `damp` and `lift` belong to the action at work on that day.
    """
    ripe = (since_order - 0.6 * shoppers.gap_days) / (0.15 * shoppers.gap_days)
    own = 1.6 / shoppers.gap_days / (1.0 + np.exp(-np.clip(ripe, -30.0, 30.0)))
    season = 1.0 + _SEASON_SWING * np.cos(2 * np.pi * (day_of_year - _SEASON_PEAK) / 365.25)
    action = np.where(day < shoppers.effect_until, shoppers.effect, 0)
    lift = shoppers.effect_strength * _LIFT[shoppers.uplift_class, action]
    return np.clip(_DAMP[shoppers.uplift_class, action] * season * own + lift, 0.0, 0.95)


def visit_probability(
    shoppers: Shoppers, since_order: np.ndarray, day: int, day_of_year: float
) -> np.ndarray:
    """Chance (N,) that each living shopper comes on `day`, to order or only to look around."""
    orders = order_probability(shoppers, since_order, day, day_of_year)
    return orders + (1.0 - orders) * shoppers.browses


def leave_probability(shoppers: Shoppers, day: int) -> np.ndarray:
    """Chance (N,) that each living shopper leaves for good at the start of `day`."""
    acted_today = (shoppers.effect > 0) & (shoppers.effect_until == day + EFFECT_DAYS)
    offence = np.where(acted_today, _OFFENCE[shoppers.uplift_class], 0.0)
    return 1.0 - (1.0 - shoppers.leaving) * (1.0 - offence)


def _draw_taste(count: int, words: Words, rng: np.random.Generator) -> np.ndarray:
    """Tastes (count, K): two loved categories, a colour and a material, and something own."""
    first, second = (rng.integers(len(CATEGORIES), size=count) for _ in range(2))
    loved = (
        words.category[first]
        + 0.6 * words.category[second]
        + 0.6 * words.colour[rng.integers(len(COLOURS), size=count)]
        + 0.6 * words.material[rng.integers(len(MATERIALS), size=count)]
    )
    own = 0.25 * rng.normal(size=loved.shape)
    return unit(loved + own) * rng.uniform(3.0, 6.0, size=(count, 1))
