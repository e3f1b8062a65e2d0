"""Which category each item belongs to, as numbers: what an event was about, more coarsely.

Numbers go by how often shoppers turned to a category before the training cut, 0 the most; rare ones
beyond the limit, and items of no known category, have none. Next: ``rows.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from training.datasets.spine import known_before
from training.models.config import MAX_CATEGORIES


@dataclass(frozen=True, slots=True)
class Categories:
    """Names of the categories, and the number of each item that has one."""

    names: tuple[str, ...]
    of_item: dict[str, int]

    @classmethod
    def fit(cls, items: pl.DataFrame, events: pl.DataFrame, before: int) -> Categories:
        """Number the categories of `items` (``item_id``, ``category``) by `events` known before."""
        told = _told(items)
        turned_to = known_before(events, before).join(told, on="item_id").group_by("category").len()
        names = turned_to.sort(["len", "category"], descending=[True, False])["category"]
        number = {name: place for place, name in enumerate(names.head(MAX_CATEGORIES))}
        rows = told.filter(pl.col("category").is_in(list(number))).iter_rows()
        return cls(tuple(number), {item: number[category] for item, category in rows})

    def told(self, events: pl.DataFrame) -> pl.DataFrame:
        """`events` with the column ``category``, the number of each one's item or null."""
        category = pl.col("item_id").replace_strict(
            list(self.of_item), list(self.of_item.values()), default=None, return_dtype=pl.Int64
        )
        return events.with_columns(category=category)

    def to_dict(self, ids: Sequence[str]) -> dict[str, list[str] | list[int]]:
        """Names, and the number of each of `ids`, -1 for none; for JSON."""
        return {
            "names": list(self.names),
            "of_item": [self.of_item.get(item, -1) for item in ids],
        }


def fingerprint(items: pl.DataFrame) -> str:
    """Another one for items of other categories; empty where none is known."""
    told = _told(items).sort("item_id")
    if told.is_empty():
        return ""
    return hashlib.sha256(told.write_csv().encode()).hexdigest()[:16]


def _told(items: pl.DataFrame) -> pl.DataFrame:
    """The items of known category; an empty table knows no types of its own."""
    return items.select("item_id", "category").cast(pl.String).drop_nulls()
