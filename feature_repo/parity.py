"""Proof that the two reads agree: for equal moments, offline rows equal online rows.

Run ``python -m feature_repo parity``; 0 differences is the only good answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from feature_repo.retrieval import online, point_in_time
from feature_repo.settings import Settings


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared, and where the reads differed: feature to number of rows."""

    num_rows: int
    num_features: int
    differences: dict[str, int] = field(default_factory=dict)
    examples: tuple[str, ...] = ()

    @property
    def num_differences(self) -> int:
        """Cells that differ."""
        return sum(self.differences.values())


def compare(
    keys: Sequence[str], service: str, asked_at: int, settings: Settings | None = None
) -> Parity:
    """Read `keys` both ways at `asked_at` and compare every feature, bit for bit."""
    key = "item_id" if service == "item" else "user_id"
    live = online(keys, service, asked_at, settings)
    moment = pl.lit(asked_at).cast(pl.Datetime("us", "UTC")).alias("event_timestamp")
    spine = live.select(key).with_columns(moment)
    past = point_in_time(spine, service, settings).drop("event_timestamp")
    names = [name for name in live.columns if name != key]
    unequal = {name: past[name].ne_missing(live[name]) for name in names}
    differences = {name: int(mask.sum()) for name, mask in unequal.items() if mask.any()}
    examples = tuple(
        f"{live[key].filter(unequal[name])[0]}.{name}: "
        f"offline {past[name].filter(unequal[name]).to_list()[0]!r}, "
        f"online {live[name].filter(unequal[name]).to_list()[0]!r}"
        for name in list(differences)[:5]
    )
    return Parity(len(live), len(names), differences, examples)
