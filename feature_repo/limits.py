"""The limits of one shop, read and reserved within one write transaction.

A reservation is *held* when the decision is made. It is *confirmed* when its message begins to be
sent or an event cites the decision, *cancelled* by the caller, and *expired* when neither came in
time; what is held or confirmed counts, on the day it was reserved. Every function works on the
caller's transaction, which queues on the lock ``limits``. Next: ``ledger.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import sqlalchemy as sa

from feature_repo.answers import Decision, begins_at, deed_of
from feature_repo.campaigns import Campaign, ChannelCap, LimitState
from feature_repo.obstacles import obstacle
from feature_repo.settings import DAY
from feature_repo.tables import campaigns, channel_caps, reservations, suppressions, users

HELD, CONFIRMED, CANCELLED, EXPIRED = "held", "confirmed", "cancelled", "expired"
HOUR = DAY // 24


def find_campaign(connection: sa.Connection, campaign_id: str) -> Campaign:
    """The campaign of that id; ``ValueError`` when there is none."""
    query = sa.select(campaigns).where(campaigns.c.campaign_id == campaign_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        names = connection.execute(sa.select(campaigns.c.campaign_id)).scalars().all()
        raise ValueError(f"there is no campaign {campaign_id!r}; there are {sorted(names)}")
    return Campaign.from_row(row)


def read(
    connection: sa.Connection, campaign: Campaign, user_id: str, now: int, zone: str
) -> LimitState:
    """What is left for one shopper at `now`; what was not used in time is released before.

    Parameters
    ----------
    zone
        The shop's, for a shopper whose own is unknown.
    """
    release(connection, now)
    return peek(connection, campaign, user_id, now, zone)


def peek(
    connection: sa.Connection, campaign: Campaign, user_id: str, now: int, zone: str
) -> LimitState:
    """The same without writing anything: what was not used in time counts no more."""
    person = _person(connection, user_id)
    today, total = spent(connection, campaign.campaign_id, now)
    caps = [ChannelCap(**row) for row in connection.execute(sa.select(channel_caps)).mappings()]
    days = max(campaign.cap_days, campaign.exclusion_days, *(cap.days for cap in caps), 0)
    done = _done(connection, user_id, now - round(days * DAY), now)
    recent = [at for at in (row["reserved_at"] for row in done) if _within(at, now, campaign)]
    return LimitState(
        spent_micros=today,
        daily_budget_micros=campaign.daily_budget_micros,
        actions_by_user=len(recent),
        last_action_at=max(recent, default=None),
        total_spent_micros=total,
        by_channel={cap.channel: (_carried(done, cap, now), cap) for cap in caps},
        consent=person.get("consent") or {},
        attributes=person.get("attributes") or {},
        suppressed=person.get("reason"),
        excluded_by=_excluded_by(done, campaign, now),
        now=now,
        zone=_known_zone(person.get("zone"), zone),
    )


def reserve(
    connection: sa.Connection, campaign: Campaign, limits: LimitState, decision: Decision, now: int
) -> None:
    """Hold the action's cost; what was chosen must lie within the limits it was shown."""
    assert decision.campaign_id in (None, campaign.campaign_id), "the campaign that was asked"
    assert decision.action is not None, "only an action is reserved"
    deed, begins = deed_of(decision.action), begins_at(decision)
    why = obstacle(deed, replace(limits, now=begins), campaign)
    assert not why, f"{decision.action} was chosen against the limits: {why}"
    left = limits.daily_budget_micros - limits.spent_micros
    assert decision.cost_micros <= left, f"{decision.cost_micros} over the {left} left"
    hold = campaign.hold_hours
    row = {
        "decision_id": decision.decision_id,
        "campaign_id": campaign.campaign_id,
        "user_id": decision.user_id,
        "action": deed,
        "day": now // DAY,
        "reserved_at": now,
        "cost_micros": decision.cost_micros,
        "channel": campaign.channels.get(deed),
        "state": HELD,
        "expires_at": None if hold is None else begins + round(hold * HOUR),
        "exclusion_group": campaign.exclusion_group,
        "excludes_until": now + round(campaign.exclusion_days * DAY),
    }
    connection.execute(sa.insert(reservations), row)


def release(connection: sa.Connection, now: int) -> None:
    """Mark what was neither sent nor used in time.

    It is written down, not only left out: another process whose clock is a little behind must not
    confirm what was given to somebody else meanwhile.
    """
    late = sa.and_(reservations.c.state == HELD, reservations.c.expires_at <= now)
    if connection.execute(sa.select(reservations.c.decision_id).where(late).limit(1)).first():
        connection.execute(sa.update(reservations).where(late).values(state=EXPIRED))


def confirm(connection: sa.Connection, decision_ids: Sequence[str], now: int) -> None:
    """What was held for these decisions is used for good, unless it is too late."""
    release(connection, now)
    _turn(connection, decision_ids, HELD, CONFIRMED)


def held_for_a_while(connection: sa.Connection, decision_ids: Sequence[str]) -> bool:
    """Whether something is held for one of these decisions that would be released in time."""
    waiting = sa.and_(reservations.c.state == HELD, reservations.c.expires_at.is_not(None))
    query = sa.select(reservations.c.decision_id).where(waiting)
    found = connection.execute(query.where(reservations.c.decision_id.in_(decision_ids)).limit(1))
    return found.first() is not None


def cancel(connection: sa.Connection, decision_id: str) -> bool:
    """Release what is held for a decision; False when it is used, released or was never held."""
    return _turn(connection, [decision_id], HELD, CANCELLED) == 1


def state_of(connection: sa.Connection, decision_id: str) -> str | None:
    """The state of a decision's reservation; None when nothing was reserved."""
    query = sa.select(reservations.c.state).where(reservations.c.decision_id == decision_id)
    return connection.execute(query).scalar()


def spent(connection: sa.Connection, campaign_id: str, now: int) -> tuple[int, int]:
    """What counts of a campaign at `now`: on its UTC day, and on all days."""
    cost = reservations.c.cost_micros
    on_day = sa.case((reservations.c.day == now // DAY, cost), else_=0)
    query = sa.select(*(sa.func.coalesce(sa.func.sum(one), 0) for one in (on_day, cost)))
    mine = reservations.c.campaign_id == campaign_id
    today, total = connection.execute(query.where(mine, _counts(now))).one()
    return int(today), int(total)


def _counts(now: int) -> sa.ColumnElement[bool]:
    """Whether a reservation is used, or may be yet."""
    state, until = reservations.c.state, reservations.c.expires_at
    is_in_time = sa.or_(until.is_(None), until > now)
    return sa.or_(state == CONFIRMED, sa.and_(state == HELD, is_in_time))


def _turn(connection: sa.Connection, decision_ids: Sequence[str], old: str, new: str) -> int:
    which = sa.and_(reservations.c.decision_id.in_(decision_ids), reservations.c.state == old)
    return connection.execute(sa.update(reservations).where(which).values(state=new)).rowcount


def _person(connection: sa.Connection, user_id: str) -> dict[str, Any]:
    """What is known of the shopper, and why nobody may act on them."""
    asked = sa.select(sa.literal(user_id).label("user_id")).subquery()
    query = (
        sa.select(users.c.zone, users.c.consent, users.c.attributes, suppressions.c.reason)
        .select_from(asked)
        .outerjoin(users, users.c.user_id == asked.c.user_id)
        .outerjoin(suppressions, suppressions.c.user_id == asked.c.user_id)
    )
    return dict(connection.execute(query).mappings().one())


def _done(connection: sa.Connection, user_id: str, since: int, now: int) -> Sequence[Any]:
    """What was done to the shopper after `since`, or excludes others yet, and counts."""
    names = ("campaign_id", "channel", "reserved_at", "exclusion_group", "excludes_until")
    query = sa.select(*(reservations.c[name] for name in names)).where(
        reservations.c.user_id == user_id,
        sa.or_(reservations.c.reserved_at > since, reservations.c.excludes_until > now),
        _counts(now),
    )
    return connection.execute(query).mappings().all()


def _within(at: int, now: int, campaign: Campaign) -> bool:
    return at > now - round(campaign.cap_days * DAY)


def _carried(done: Sequence[Any], cap: ChannelCap, now: int) -> int:
    since = now - round(cap.days * DAY)
    return sum(row["channel"] == cap.channel and row["reserved_at"] > since for row in done)


def _excluded_by(done: Sequence[Any], campaign: Campaign, now: int) -> str | None:
    """A campaign of the same group in whose window, or in this one's, the shopper is."""
    since = now - round(campaign.exclusion_days * DAY)
    for row in done:
        is_other = row["campaign_id"] != campaign.campaign_id
        is_same_group = row["exclusion_group"] == campaign.exclusion_group is not None
        is_recent = row["reserved_at"] > since or (row["excludes_until"] or 0) > now
        if is_other and is_same_group and is_recent:
            return str(row["campaign_id"])
    return None


def _known_zone(own: str | None, shops: str) -> str:
    """The shopper's zone where it is one, else the shop's."""
    try:
        ZoneInfo(own or shops)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return shops
    return own or shops
