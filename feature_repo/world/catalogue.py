"""The items of the simulated shop: what they are called, what they cost, how wanted they are.

An item is a style, a colour, a material and a noun. Each word has a place in a small space of
taste and an item stands at the sum of its words, so a reader of texts can tell who will like an
item that nobody bought yet. Next: ``shoppers.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

NUM_TASTES = 8
YEAR_DAYS = 365.25

STYLES = ("plain", "striped", "vintage", "large", "small", "patterned")
COLOURS = ("red", "blue", "green", "black", "white", "yellow", "pink", "grey", "orange", "purple")
MATERIALS = ("wool", "cotton", "glass", "oak", "steel", "leather", "ceramic", "linen")
NOUNS: dict[str, tuple[str, ...]] = {
    "kitchen": ("mug", "teapot", "bowl", "jug"),
    "garden": ("planter", "bird feeder", "watering can", "garden lantern"),
    "bedroom": ("blanket", "pillow", "quilt", "night lamp"),
    "desk": ("notebook", "pen holder", "desk lamp", "letter tray"),
    "wardrobe": ("scarf", "belt", "hat", "gloves"),
    "children": ("puzzle", "doll", "building blocks", "music box"),
    "party": ("candle", "garland", "cake stand", "gift wrap"),
    "travel": ("rucksack", "water bottle", "wallet", "umbrella"),
}
CATEGORIES = tuple(NOUNS)
CONSUMED = {"candle", "gift wrap", "notebook", "garland", "bird feeder"}

_WORD_WEIGHTS = {"noun": 1.0, "colour": 0.55, "material": 0.55, "style": 0.25}
_PRICE_MEDIAN, _PRICE_SIGMA = 9.0, 0.6
_SEASON_SWING = 0.7
_NOVELTY, _NOVELTY_DAYS = 0.8, 30.0
_DRIFT, _RETURN_TO_BASE = 0.06, 0.02
_REPRICING_PROBABILITY = 1 / 60
MICROS = 1_000_000


@dataclass(frozen=True, slots=True)
class Words:
    """Where each word stands in the space of taste; every place is a unit vector (NUM_TASTES,)."""

    category: np.ndarray
    noun: np.ndarray
    colour: np.ndarray
    material: np.ndarray
    style: np.ndarray

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Words:
        """Random places; the nouns of one category lie close together."""
        category = unit(rng.normal(size=(len(CATEGORIES), NUM_TASTES)))
        nouns = np.repeat(category, [len(NOUNS[name]) for name in CATEGORIES], axis=0)
        return cls(
            category=category,
            noun=unit(nouns + 0.25 * rng.normal(size=nouns.shape)),
            colour=unit(rng.normal(size=(len(COLOURS), NUM_TASTES))),
            material=unit(rng.normal(size=(len(MATERIALS), NUM_TASTES))),
            style=unit(rng.normal(size=(len(STYLES), NUM_TASTES))),
        )


@dataclass(slots=True)
class Catalogue:
    """All items so far, one row each, in order of arrival. I items, K tastes."""

    words: Words
    vectors: np.ndarray  # (I, K) unit vectors
    category: np.ndarray  # (I,) index in CATEGORIES
    consumed: np.ndarray  # (I,) is it bought again and again
    price_micros: np.ndarray  # (I,) today's price
    base: np.ndarray  # (I,) long-run popularity, in logits
    popularity: np.ndarray  # (I,) popularity today: drifts around `base`
    born_day: np.ndarray  # (I,)
    texts: list[str]
    season_peak: np.ndarray  # (categories,) day of the year
    follows: np.ndarray  # (categories,) which category is wanted after this one

    @classmethod
    def open(cls, num_items: int, rng: np.random.Generator) -> Catalogue:
        """The catalogue of the first day."""
        empty, circle = np.zeros(0), rng.permutation(len(CATEGORIES))
        catalogue = cls(
            words=Words.draw(rng),
            vectors=np.zeros((0, NUM_TASTES)),
            category=empty.astype(np.int64),
            consumed=empty.astype(bool),
            price_micros=empty.astype(np.int64),
            base=empty,
            popularity=empty,
            born_day=empty.astype(np.int64),
            texts=[],
            season_peak=rng.uniform(0, YEAR_DAYS, len(CATEGORIES)),
            follows=np.roll(circle, -1)[np.argsort(circle)],
        )
        catalogue.add(num_items, -365, rng)
        return catalogue

    def __len__(self) -> int:
        return len(self.texts)

    def item_id(self, index: int) -> str:
        """The name of an item in events."""
        return f"item-{index:05d}"

    def add(self, count: int, day: int, rng: np.random.Generator) -> None:
        """Let `count` new items arrive on `day`."""
        nouns = [(c, noun) for c, name in enumerate(CATEGORIES) for noun in NOUNS[name]]
        noun = rng.integers(len(nouns), size=count)
        colour, material, style = (
            rng.integers(len(words), size=count) for words in (COLOURS, MATERIALS, STYLES)
        )
        base = rng.normal(0.0, 0.6, count)
        price = _PRICE_MEDIAN * np.exp(rng.normal(0.0, _PRICE_SIGMA, count))
        self.vectors = np.vstack([self.vectors, self._places(noun, colour, material, style)])
        self.category = np.append(self.category, [nouns[n][0] for n in noun]).astype(np.int64)
        self.consumed = np.append(self.consumed, [nouns[n][1] in CONSUMED for n in noun]) > 0
        self.price_micros = np.append(self.price_micros, _pennies(price))
        self.base = np.append(self.base, base)
        self.popularity = np.append(self.popularity, base)
        self.born_day = np.append(self.born_day, np.full(count, day))
        self.texts += [
            f"{STYLES[s]} {COLOURS[c]} {MATERIALS[m]} {nouns[n][1]}"
            for s, c, m, n in zip(style, colour, material, noun, strict=True)
        ]

    def _places(
        self, noun: np.ndarray, colour: np.ndarray, material: np.ndarray, style: np.ndarray
    ) -> np.ndarray:
        """Unit vectors (count, K) of items made of these words."""
        return unit(
            _WORD_WEIGHTS["noun"] * self.words.noun[noun]
            + _WORD_WEIGHTS["colour"] * self.words.colour[colour]
            + _WORD_WEIGHTS["material"] * self.words.material[material]
            + _WORD_WEIGHTS["style"] * self.words.style[style]
        )

    def pass_day(self, rng: np.random.Generator) -> None:
        """Overnight popularity drifts around its base and a few items change their price."""
        pull = _RETURN_TO_BASE * (self.base - self.popularity)
        self.popularity = self.popularity + pull + _DRIFT * rng.normal(size=len(self))
        repriced = rng.random(len(self)) < _REPRICING_PROBABILITY
        factor = np.exp(rng.normal(0.0, 0.08, len(self)))
        price = _pennies(self.price_micros / MICROS * factor)
        self.price_micros = np.where(repriced, price, self.price_micros)

    def appeal(self, day: int, day_of_year: float) -> np.ndarray:
        """How wanted each item is by everyone on `day`, in logits (I,)."""
        phase = 2 * np.pi * (day_of_year - self.season_peak[self.category]) / YEAR_DAYS
        novelty = _NOVELTY * np.exp(-(day - self.born_day) / _NOVELTY_DAYS)
        return self.popularity + _SEASON_SWING * np.cos(phase) + novelty


def unit(rows: np.ndarray) -> np.ndarray:
    """`rows` scaled to length one."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def _pennies(price: np.ndarray) -> np.ndarray:
    """Prices in micros, rounded to whole pennies of at least 0.50."""
    return np.maximum(np.round(price * 100), 50).astype(np.int64) * (MICROS // 100)
