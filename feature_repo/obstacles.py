"""What stands in the way of an action: pure, from a campaign and what is left of it, in words.

The ledger reads what is left in the transaction that reserves. Next: ``limits.py``.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from feature_repo.campaigns import Campaign, LimitState, edges, parse
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
