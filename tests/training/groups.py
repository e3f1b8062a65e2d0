"""Shoppers who each keep to one group of items, with a rule inside it, and what is told of them."""

from __future__ import annotations

import numpy as np
import polars as pl

NUM_ITEMS, GROUPS = 36, ("cup", "lamp", "bag")


def table(num: int = 160) -> pl.DataFrame:
    """Shoppers of one group each, who go on to the next item of it in four cases of five."""
    rng, rows = np.random.default_rng(2), []
    for user in range(num):
        group, step = user % len(GROUPS), int(rng.integers(12))
        own = []
        for _ in range(int(rng.integers(4, 9))):
            own.append(step * len(GROUPS) + group)
            step = (step + 1) % 12 if rng.random() < 0.8 else int(rng.integers(12))
        rows.append({"user_id": user, "item_ids": own})
    return pl.DataFrame(rows)


def items() -> pl.DataFrame:
    number = np.arange(NUM_ITEMS)
    groups = [GROUPS[i % len(GROUPS)] for i in number]
    return pl.DataFrame(
        {
            "item_id": number,
            "title": [f"{group} number {i}" for group, i in zip(groups, number, strict=True)],
            "kinds": [[group, "thing"] for group in groups],
            "brand": [None if i % 2 else "acme" for i in number],
        }
    )
