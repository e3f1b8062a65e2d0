"""What a campaign allows, and what is left of that for one shopper: plain values.

Next: ``obstacles.py``, which says of an action what stands in its way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import time
from typing import Any

_CONDITION = re.compile(r"^\s*([\w.@]+)\s*(>=|<=|!=|==|>|<)\s*(.+?)\s*$")
_QUIET = re.compile(r"^([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)$")


@dataclass(frozen=True, kw_only=True, slots=True)
class Campaign:
    """What may be spent on whom, and when."""

    campaign_id: str
    daily_budget_micros: int
    cap_num: int
    """Actions other than "nothing", of all campaigns, that one shopper may get in `cap_days`."""
    cap_days: float
    cost_micros: Mapping[str, int]
    """What an action reserves from the budget; 0 where not named."""
    total_budget_micros: int | None = None
    """For all days together; None: the daily budget alone counts."""
    channels: Mapping[str, str] = field(default_factory=dict)
    """Action to the channel that carries it, as ``coupon`` by ``email``."""
    needs_consent: bool = False
    """Whether a shopper must have said yes; otherwise it is enough not to have said no."""
    conditions: tuple[str, ...] = ()
    """Who is eligible: ``NAME COMPARISON VALUE`` on features, scores and ``attributes.NAME``."""
    quiet_hours: str | None = None
    """``21:00-08:00`` in the shopper's zone: no action begins then."""
    exclusion_group: str | None = None
    """Campaigns of one group leave each other's shoppers alone."""
    exclusion_days: float = 0.0
    """For how long after an action of this campaign, and before one of it."""
    hold_hours: float | None = None
    """What is neither sent nor used by then is released; None: never."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", tuple(self.conditions))
        named = ("daily_budget_micros", "cap_num", "cap_days", "total_budget_micros")
        for name in (*named, "exclusion_days", "hold_hours"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(
                    f"campaign {self.campaign_id!r}: {name} is {getattr(self, name)}; "
                    "it must be at least 0"
                )
        for action, cost in self.cost_micros.items():
            if cost < 0:
                raise ValueError(
                    f"campaign {self.campaign_id!r}: {action} costs {cost}; it must be at least 0"
                )
        for condition in self.conditions:
            parse(condition)
        if self.quiet_hours is not None:
            edges(self.quiet_hours)

    def to_row(self) -> dict[str, Any]:
        """As a row of the table of campaigns."""
        values = asdict(self)
        rules = {name: values.pop(name) for name in RULES}
        return values | {"rules": rules | {"conditions": list(self.conditions)}}

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> Campaign:
        """What :meth:`to_row` gave; rules that an older version did not keep have their default."""
        values = dict(row)
        return cls(**(values.pop("rules") or {}), **values)


RULES = tuple(one.name for one in fields(Campaign))[5:]
"""The fields that one column holds together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChannelCap:
    """What one shopper may get by one channel, of all campaigns together."""

    channel: str
    num: int
    days: float

    def __post_init__(self) -> None:
        if self.num < 0 or self.days < 0:
            raise ValueError(
                f"the cap of channel {self.channel!r} is {self.num} within {self.days:g} days; "
                "both must be at least 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class LimitState:
    """What a campaign has left, and what one shopper got, at the moment of deciding."""

    spent_micros: int
    """On the UTC day of deciding."""
    daily_budget_micros: int
    actions_by_user: int
    """Actions other than "nothing" within the campaign's cap window."""
    last_action_at: int | None
    total_spent_micros: int = 0
    by_channel: Mapping[str, tuple[int, ChannelCap]] = field(default_factory=dict)
    """Channel with a cap: what the shopper got by it within the cap's days."""
    consent: Mapping[str, bool] = field(default_factory=dict)
    """Channel to what the shopper said."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    suppressed: str | None = None
    """Why the shopper is never acted on, where that is so."""
    excluded_by: str | None = None
    """A campaign of the same group that acted on the shopper within its window."""
    now: int = 0
    zone: str = "UTC"
    """The shopper's own, else the shop's."""


def parse(condition: str) -> tuple[str, str, str]:
    """The name, the comparison and the value of `condition`."""
    found = _CONDITION.match(condition)
    if found is None:
        raise ValueError(
            f"condition {condition!r} is not NAME COMPARISON VALUE; write it as "
            "'num_purchases >= 1' or 'attributes.country == GB'"
        )
    return found[1], found[2], found[3]


def edges(hours: str) -> tuple[time, time]:
    """When quiet hours begin and end."""
    found = _QUIET.match(hours)
    if found is None:
        raise ValueError(f"quiet_hours is {hours!r}; write it as 21:00-08:00")
    begin, end = time(int(found[1]), int(found[2])), time(int(found[3]), int(found[4]))
    return begin, end
