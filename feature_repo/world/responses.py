"""One day in the simulated shop: who leaves, who orders, who looks around, who sends back.

Each function draws from the generator it is given and writes into the day's diary; chances come
from ``shoppers.py`` and ``memory.py``. Next: ``diary.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from feature_repo.settings import SECOND
from feature_repo.world.catalogue import Catalogue
from feature_repo.world.diary import Diary
from feature_repo.world.memory import CARTED, VIEWED, Memory, click_probability, utility
from feature_repo.world.shoppers import (
    ACTIONS,
    COUPON_DISCOUNT,
    NEVER,
    Shoppers,
    leave_probability,
    order_probability,
)

HOUR = 3_600 * SECOND
PENNY = 10_000
LEAVES_AFTER_RETURN = 0.2
NUM_SHOWN, MAX_LOOKS, MAX_BASKET = 3, 5, 8
_RETURN_PROBABILITY, _ASKS_PROBABILITY, _SEARCH_PROBABILITY = 0.07, 0.06, 0.3
_LOOSELY, _MORE_LOOKS, _CARTS = 0.7, 1.2, 0.2
_COMPLAINTS = (
    "The {} arrived broken and I want my money back",
    "Very disappointed, the {} looks nothing like the picture",
    "The {} is poor quality, I am sending it back",
    "This is the second time my {} came damaged, never again",
)
_QUESTIONS = ("When will my {} arrive?", "Can I change the address for the {}?")


@dataclass(slots=True)
class Today:
    """What the functions of one day share. N shoppers."""

    day: int
    day_of_year: float
    starts_at: int
    shoppers: Shoppers
    catalogue: Catalogue
    memory: Memory
    diary: Diary
    rng: np.random.Generator


@dataclass(frozen=True, slots=True)
class Visits:
    """Visits of a day: who (m,), when they begin (m,) in microseconds, what is wanted (m, I)."""

    who: np.ndarray
    starts_at: np.ndarray
    wants: np.ndarray


def live(today: Today) -> None:
    """Let the day happen, in the order in which ``truth.py`` counts its chances."""
    people, chance = today.shoppers, today.rng.random((3, len(today.shoppers)))
    people.alive &= chance[0] >= leave_probability(people, today.day)
    orders = chance[1] < order_probability(people, people.since_order, today.day, today.day_of_year)
    send_back(today)
    orders &= people.alive
    browses = people.alive & ~orders & (chance[2] < people.browses)
    look_around(today, _visits(today, np.flatnonzero(browses)))
    ordering = _visits(today, np.flatnonzero(orders))
    look_around(today, ordering)
    order(today, ordering)


def treat(today: Today, who: np.ndarray, action: np.ndarray) -> None:
    """The shop acts on `who` (n,): `action` indexes ACTIONS, none of them "nothing"."""
    today.shoppers.treat(who, action, today.day)
    at = np.full(len(who), today.starts_at + 5 * HOUR)
    today.diary.write("treatment", who, at, text=[ACTIONS[a] for a in action])


def send_back(today: Today) -> None:
    """Items due today go back; some say why, and some leave the shop over it."""
    people, rng = today.shoppers, today.rng
    due = np.flatnonzero(people.alive & (people.return_day == today.day))
    item, n = people.return_item[due], len(due)
    at = today.starts_at + (8 * HOUR + rng.integers(0, 13 * 3_600, n) * SECOND)
    today.diary.write(
        "return",
        due,
        at,
        item=item,
        order_day=people.return_order[due],
        quantity=np.ones(n, dtype=np.int64),
        price_micros=people.return_price[due],
    )
    says = rng.random(n) < people.complains[due]
    _say(today, due[says], at[says] + 300 * SECOND, item[says], _COMPLAINTS)
    people.alive[due] &= rng.random(n) >= LEAVES_AFTER_RETURN
    people.return_day[due] = NEVER


def look_around(today: Today, visits: Visits) -> None:
    """Every visit: shown, clicked, searched, looked at, sometimes put in the cart."""
    rng, who = today.rng, visits.who
    _show(today, visits)
    looks = _ranked_draw(_LOOSELY * visits.wants, MAX_LOOKS, rng)
    count = 1 + rng.poisson(_MORE_LOOKS, len(who))
    row, place = np.nonzero(np.arange(looks.shape[1]) < count[:, None])
    item, at = looks[row, place], visits.starts_at[row] + (60 + 45 * place) * SECOND
    today.diary.write("view", who[row], at, item=item)
    today.memory.look(who[row], item, VIEWED)
    kept = rng.random(len(row)) < _CARTS
    _cart(today, who[row][kept], at[kept] + 15 * SECOND, item[kept])
    _search(today, visits, looks[:, 0])


def order(today: Today, visits: Visits) -> None:
    """Visits that end with an order of one or several items, all lines at one moment.

    The basket follows the same wishes as the looks before it, but is drawn anew: what was looked at
    minutes ago hints at it and does not give it away.
    """
    people, rng, who = today.shoppers, today.rng, visits.who
    wanted = _ranked_draw(visits.wants, MAX_BASKET, rng)
    count = 1 + rng.poisson(people.basket[who])
    row, place = np.nonzero(np.arange(wanted.shape[1]) < count[:, None])
    _pay(today, who[row], visits.starts_at[row] + HOUR // 2, wanted[row, place])
    people.last_category[who] = today.catalogue.category[wanted[:, 0]]
    people.since_order[who] = NEVER  # the night makes it 0
    _plan_returns(today, visits, wanted, np.minimum(count, wanted.shape[1]))


def _visits(today: Today, who: np.ndarray) -> Visits:
    """Visits of `who` (m,) at hours of the day, knowing what they want before they come."""
    hour = np.clip(today.rng.normal(15.0, 3.5, len(who)), 6.0, 22.0)
    appeal = today.catalogue.appeal(today.day, today.day_of_year)
    return Visits(
        who=who,
        starts_at=today.starts_at + np.floor(hour * 3_600).astype(np.int64) * SECOND,
        wants=utility(today.shoppers, today.catalogue, today.memory, who, appeal),
    )


def _ranked_draw(logits: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """`count` items per row without replacement, (m, count); the first follows the softmax.

    Adding Gumbel noise and sorting draws from the Plackett-Luce model (Yellott, 1977).
    """
    count = min(count, logits.shape[1])
    noisy = logits + rng.gumbel(size=logits.shape)
    best = np.argpartition(-noisy, count - 1, axis=1)[:, :count]
    ranks = np.argsort(-np.take_along_axis(noisy, best, axis=1), axis=1)
    return np.take_along_axis(best, ranks, axis=1)


def _show(today: Today, visits: Visits) -> None:
    """The shop's own list: popular things, the same for everybody; some get a click."""
    appeal = today.catalogue.appeal(today.day, today.day_of_year)
    shown = _ranked_draw(np.tile(appeal, (len(visits.who), 1)), NUM_SHOWN, today.rng)
    row = np.repeat(np.arange(len(shown)), shown.shape[1])
    item, who, at = shown.ravel(), visits.who[row], visits.starts_at[row]
    today.diary.write("impression", who, at, item=item)
    clicked = today.rng.random(len(row)) < click_probability(visits.wants)[row, item]
    who, item, at = who[clicked], item[clicked], at[clicked]
    today.diary.write("click", who, at + 20 * SECOND, item=item)
    today.diary.write("view", who, at + 25 * SECOND, item=item)
    today.memory.look(who, item, VIEWED)


def _search(today: Today, visits: Visits, item: np.ndarray) -> None:
    """Some type what they look for: a colour or a material, and the noun."""
    searches = today.rng.random(len(item)) < _SEARCH_PROBABILITY
    by_colour = today.rng.random(len(item)) < 0.5
    words = [today.catalogue.texts[i].split(" ", 3) for i in item[searches]]
    queries = [
        f"{w[1] if colour else w[2]} {w[3]}"
        for w, colour in zip(words, by_colour[searches], strict=True)
    ]
    at = visits.starts_at[searches] + 40 * SECOND
    today.diary.write("search", visits.who[searches], at, text=queries)


def _cart(today: Today, who: np.ndarray, at: np.ndarray, item: np.ndarray) -> None:
    """Put one of each in the cart."""
    one, price = np.ones(len(who), dtype=np.int64), today.catalogue.price_micros[item]
    today.diary.write("cart", who, at, item=item, quantity=one, price_micros=price)
    today.memory.look(who, item, CARTED)


def _pay(today: Today, who: np.ndarray, at: np.ndarray, item: np.ndarray) -> None:
    """One purchase line per item, coupon taken off; some ask about their order later."""
    consumed, rng = today.catalogue.consumed[item], today.rng
    today.diary.write(
        "purchase",
        who,
        at,
        item=item,
        order_day=np.full(len(who), today.day),
        quantity=1 + rng.poisson(np.where(consumed, 1.2, 0.2)),
        price_micros=_price(today, who, item),
    )
    today.memory.buy(who, item)
    asks = rng.random(len(who)) < _ASKS_PROBABILITY / 2
    _say(today, who[asks], at[asks] + HOUR, item[asks], _QUESTIONS)


def _price(today: Today, who: np.ndarray, item: np.ndarray) -> np.ndarray:
    """What `who` (n,) pays for one `item` (n,) today, in micros: coupons take a tenth off."""
    people, price = today.shoppers, today.catalogue.price_micros[item]
    works = (people.effect[who] == ACTIONS.index("coupon")) & (today.day < people.effect_until[who])
    paid = np.round(price * np.where(works, 1.0 - COUPON_DISCOUNT, 1.0) / PENNY) * PENNY
    return paid.astype(np.int64)


def _plan_returns(today: Today, visits: Visits, wanted: np.ndarray, count: np.ndarray) -> None:
    """Some orders disappoint: one of their items will go back within two weeks."""
    people, rng, who = today.shoppers, today.rng, visits.who
    which = np.floor(rng.random(len(who)) * count).astype(np.int64)
    days = rng.integers(3, 15, len(who))
    bad = (rng.random(len(who)) < _RETURN_PROBABILITY) & (people.return_day[who] == NEVER)
    people.return_day[who[bad]] = today.day + days[bad]
    item = wanted[np.arange(len(who)), which][bad]
    people.return_item[who[bad]] = item
    people.return_price[who[bad]] = _price(today, who[bad], item)
    people.return_order[who[bad]] = today.day


def _say(
    today: Today, who: np.ndarray, at: np.ndarray, item: np.ndarray, lines: tuple[str, ...]
) -> None:
    """Write a message about the noun of `item`."""
    line = today.rng.integers(len(lines), size=len(who))
    nouns = [today.catalogue.texts[i].split(" ", 3)[3] for i in item]
    text = [lines[k].format(noun) for k, noun in zip(line, nouns, strict=True)]
    today.diary.write("message", who, at, text=text)
