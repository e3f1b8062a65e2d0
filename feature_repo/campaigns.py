"""What a campaign allows, what is left of it for one shopper, and why an action is not allowed.

Pure: the ledger reads the :class:`LimitState` in the transaction that reserves (``limits.py``), and
:func:`obstacle` says of each action what stands in its way. Next: ``limits.py``.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from feature_repo.settings import SECOND, iso

MICROS = 1_000_000
COMPARISONS = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "==": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
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


def obstacle(
    action: str, limits: LimitState, campaign: Campaign, features: Mapping[str, Any] | None = None
) -> str:
    """Why `action` is not allowed now; empty when it is.

    Parameters
    ----------
    features
        Features and scores by name, for the campaign's conditions; None: they were met already.
    """
    return (
        _person(action, limits, campaign)
        or ("" if features is None else _ineligible(campaign, limits, features))
        or _hours(limits, campaign)
        or _caps(action, limits, campaign)
        or _budgets(campaign.cost_micros.get(action, 0), limits, campaign)
    )


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


def quiet_until(now: int, zone: str, hours: str) -> int | None:
    """When the quiet hours that hold at `now` in `zone` end; None when none hold.

    An end that the clock leaps over, or shows twice, is the first moment at which it is past.
    """
    begin, end = edges(hours)
    local = datetime.fromtimestamp(now // SECOND, ZoneInfo(zone))
    at = local.time()
    is_quiet = begin <= at < end if begin <= end else at >= begin or at < end
    if not is_quiet:
        return None
    day = local.date() + timedelta(days=int(begin > end and at >= begin))
    return int(datetime.combine(day, end, ZoneInfo(zone)).timestamp()) * SECOND


def _person(action: str, limits: LimitState, campaign: Campaign) -> str:
    """What the shopper said, or what was said of the shopper."""
    if limits.suppressed is not None:
        return f"suppressed: {limits.suppressed}"
    channel = campaign.channels.get(action)
    said = limits.consent.get(channel) if channel else None
    if said is False or (channel is None and False in limits.consent.values()):
        return f"no consent: the shopper said no to {channel or 'a channel, and this has none'}"
    if campaign.needs_consent and said is not True:
        return f"no consent: the shopper never said yes to {channel or 'anything'}"
    return ""


def _ineligible(campaign: Campaign, limits: LimitState, features: Mapping[str, Any]) -> str:
    told = {f"attributes.{name}": value for name, value in limits.attributes.items()}
    for condition in campaign.conditions:
        name, comparison, wanted = parse(condition)
        value = told.get(name) if name.startswith("attributes.") else features.get(name)
        if not _holds(value, comparison, wanted):
            return f"not eligible: {name} is {'unknown' if value is None else value}, {condition}"
    return ""


def _holds(value: Any, comparison: str, wanted: str) -> bool:
    """Whether a known value meets the condition; numbers compare as numbers, else as text."""
    if value is None:
        return False
    try:
        return bool(COMPARISONS[comparison](float(value), float(wanted)))
    except ValueError:
        return bool(COMPARISONS[comparison](str(value), wanted))


def _hours(limits: LimitState, campaign: Campaign) -> str:
    if campaign.quiet_hours is None:
        return ""
    until = quiet_until(limits.now, limits.zone, campaign.quiet_hours)
    if until is None:
        return ""
    return f"quiet hours: {campaign.quiet_hours} in {limits.zone}, until {iso(until)}"


def _caps(action: str, limits: LimitState, campaign: Campaign) -> str:
    if limits.actions_by_user >= campaign.cap_num:
        last = f", the last on {iso(limits.last_action_at)[:10]}" if limits.last_action_at else ""
        return (
            f"frequency cap: {limits.actions_by_user} of {campaign.cap_num} actions within "
            f"{campaign.cap_days:g} days{last}"
        )
    channel = campaign.channels.get(action)
    if channel is not None and channel in limits.by_channel:
        num, cap = limits.by_channel[channel]
        if num >= cap.num:
            return f"channel cap: {num} of {cap.num} by {channel} within {cap.days:g} days"
    if limits.excluded_by is not None:
        return (
            f"exclusion: campaign {limits.excluded_by} of the group {campaign.exclusion_group} "
            "acted on this shopper"
        )
    return ""


def _budgets(cost: int, limits: LimitState, campaign: Campaign) -> str:
    total = campaign.total_budget_micros
    budgets = [("daily", limits.spent_micros, limits.daily_budget_micros)]
    if total is not None:
        budgets.append(("total", limits.total_spent_micros, total))
    for name, spent, budget in budgets:
        if cost and spent + cost > budget:
            return (
                f"{name} budget: {spent / MICROS:.2f} of {budget / MICROS:.2f} spent, "
                f"it costs {cost / MICROS:.2f}"
            )
    return ""
