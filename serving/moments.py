"""When a shopper is around: the own rhythm of the day, and the best hour that is left of it.

Next: ``decide.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from feature_repo.campaigns import Campaign, LimitState
from feature_repo.obstacles import quiet_until
from feature_repo.settings import SECOND
from serving.catalogue import Floats

HOURS, WITHIN = 24, 3
PRIOR = 8.0
"""Behaviours spread evenly over the day that count beside the shopper's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What the hours of one shopper say at the moment of deciding."""

    reach_now: float
    """Share of behaviours that fall within ``WITHIN`` hours from now on, 0..1."""
    reach_later: float
    """The same from the best whole hour left today, outside quiet hours; 0 where none is left."""
    reach_next: float
    """The same tomorrow: the mean, over the hours at which one may be asked, of the best left."""
    later_at: int | None
    """When that hour begins, microseconds; None where none is left."""

    @property
    def told(self) -> dict[str, float]:
        """For the policy and the ledger."""
        names = ("reach_now", "reach_later", "reach_next")
        return {name: getattr(self, name) for name in names}


def moment_of(features: Mapping[str, Any], limits: LimitState, campaign: Campaign) -> Moment:
    """The moments of a shopper whose behaviours are in ``features["history_at"]``."""
    reach = reaches(features.get("history_at") or [], limits.zone)
    local = datetime.fromtimestamp(limits.now // SECOND, ZoneInfo(limits.zone))
    begins = [_begin(local, hour) for hour in range(HOURS)]
    is_open = np.array([_is_open(at, limits.zone, campaign.quiet_hours) for at in begins])
    left = [hour for hour in range(local.hour + 1, HOURS) if is_open[hour]]
    best = max(left, key=lambda hour: reach[hour], default=None)
    ahead = np.maximum.accumulate(np.where(is_open, reach, 0.0)[::-1])[::-1]
    return Moment(
        reach_now=float(reach[local.hour]),
        reach_later=0.0 if best is None else float(reach[best]),
        reach_next=float(ahead[is_open].mean()) if is_open.any() else 0.0,
        later_at=None if best is None else begins[best],
    )


def reaches(history_at: Sequence[int], zone: str) -> Floats:
    """For each hour of the day (24,) the share of behaviours from it on, within ``WITHIN`` hours.

    In the shopper's own zone; with few behaviours near the share of the hours themselves.
    """
    there = ZoneInfo(zone)
    hours = [datetime.fromtimestamp(at // SECOND, there).hour for at in history_at if at]
    counts = np.bincount(np.array(hours, dtype=np.int64), minlength=HOURS) + PRIOR / HOURS
    share = counts / counts.sum()
    return np.asarray(sum(np.roll(share, -ahead) for ahead in range(WITHIN)), dtype=np.float32)


def _is_open(at: int, zone: str, quiet_hours: str | None) -> bool:
    return quiet_hours is None or quiet_until(at, zone, quiet_hours) is None


def _begin(local: datetime, hour: int) -> int:
    return int(local.replace(hour=hour, minute=0, second=0, microsecond=0).timestamp()) * SECOND
