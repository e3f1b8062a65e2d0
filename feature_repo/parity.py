"""Proof that the two reads agree: for equal moments, offline rows equal online rows.

Run ``python -m feature_repo parity``; 0 differences is the only good answer. ``replay.py`` asks at
every step of a shop's life.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from feature_repo.retrieval import online, point_in_time, resolve
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse

SERVICES = {"shopper_with_messages": "user_id", "item": "item_id"}
"""Feature services that are compared, and their key: the widest of shoppers tells all features."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared, and where the reads differed: feature to number of rows."""

    num_rows: int
    features: tuple[str, ...]
    differences: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def num_differences(self) -> int:
        """Cells that differ."""
        return sum(self.differences.values())


def compare_all(settings: Settings, asked_at: int, limit: int | None) -> dict[str, Parity]:
    """Compare all shoppers and items of the shop, or `limit` of each; by service."""
    events = Warehouse(settings.warehouse).events()
    keys = {
        service: events[column].drop_nulls().unique().sort().to_list()[:limit]
        for service, column in SERVICES.items()
    }
    return {service: compare(found, service, asked_at, settings) for service, found in keys.items()}


def compare(
    keys: Sequence[str], service: str, asked_at: int, settings: Settings | None = None
) -> Parity:
    """Read `keys` both ways at `asked_at` and compare every feature, bit for bit."""
    settings = settings or Settings()
    key = resolve(service, settings).key
    live = online(keys, service, asked_at, settings)
    moment = pl.lit(asked_at).cast(pl.Datetime("us", "UTC")).alias("event_timestamp")
    spine = live.select(key).with_columns(moment)
    return compare_rows(live, point_in_time(spine, service, settings), key)


def compare_rows(live: pl.DataFrame, past: pl.DataFrame, key: str) -> Parity:
    """Compare online rows with point-in-time rows of the same keys and moments, in one order."""
    names = tuple(name for name in live.columns if name not in (key, "event_timestamp"))
    unequal = {name: past[name].ne_missing(live[name]) for name in names}
    differences = {name: int(mask.sum()) for name, mask in unequal.items() if mask.any()}
    examples = tuple(
        f"{live[key].filter(unequal[name])[0]}.{name}: "
        f"offline {past[name].filter(unequal[name]).to_list()[0]!r}, "
        f"online {live[name].filter(unequal[name]).to_list()[0]!r}"
        for name in list(differences)[:5]
    )
    return Parity(len(live), names, differences, examples)
