"""Processes that decide, confirm, cancel and send without end; and whether any limit was broken."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import sqlalchemy as sa

from feature_repo.campaigns import Campaign, ChannelCap, edges
from feature_repo.events import EVENT_SCHEMA
from feature_repo.ingest import ingest
from feature_repo.ledger import Ledger
from feature_repo.messages import Outbox
from feature_repo.rules import Rules
from feature_repo.settings import DAY, FixedClock
from feature_repo.warehouse import Warehouse
from serving.outbox import JsonLines, deliver
from serving.settings import ServingSettings
from tests.feature_repo.limits import NOW, decide, keep_users

SPEED = DAY // 2
"""A second of ours is half a day of the shop's: days, windows and nights pass within a test."""
USERS = [f"u{number}" for number in range(24)]
ZONES = ("Europe/London", "Asia/Tokyo", "America/New_York", None)
CONSENT = ({"email": False}, {"email": True}, {"email": True, "push": False}, None)
CAMPAIGNS = (
    Campaign(
        campaign_id="night",
        daily_budget_micros=9_000_000,
        total_budget_micros=60_000_000,
        cap_num=3,
        cap_days=2,
        cost_micros={"coupon": 2_000_000},
        channels={"coupon": "email", "reminder": "push"},
        needs_consent=True,
        quiet_hours="21:00-08:00",
        exclusion_group="offers",
        exclusion_days=1.5,
        hold_hours=4,
    ),
    Campaign(
        campaign_id="day",
        daily_budget_micros=7_000_000,
        cap_num=4,
        cap_days=1,
        cost_micros={"coupon": 3_000_000},
        channels={"coupon": "email", "reminder": "push"},
        exclusion_group="offers",
        exclusion_days=0.5,
    ),
    Campaign(
        campaign_id="free",
        daily_budget_micros=11_000_000,
        total_budget_micros=90_000_000,
        cap_num=9,
        cap_days=1,
        cost_micros={"coupon": 2_500_000},
        channels={"coupon": "email"},
        hold_hours=8,
    ),
)
CAPS = (ChannelCap(channel="email", num=2, days=1), ChannelCap(channel="push", num=3, days=2))


def lay_down(url: str) -> None:
    """Campaigns, caps, and shoppers of several zones who said yes, no or nothing."""
    warehouse = Warehouse(url)
    rules, ledger = Rules(warehouse), Ledger(warehouse)
    for campaign in CAMPAIGNS:
        ledger.upsert_campaign(campaign)
    for cap in CAPS:
        rules.cap(cap)
    for number, user in enumerate(USERS):
        row = {"zone": ZONES[number // 4 % 4], "consent": CONSENT[number % 4]}
        keep_users(warehouse, **{user: {k: v for k, v in row.items() if v is not None}})
    for user in USERS[-2:]:
        rules.suppress(user, "a test", NOW)


def act(url: str, seed: int, began: float, sent: str) -> None:
    """Do what a shop's processes do, all at once and without end."""
    warehouse, rng = Warehouse(url), random.Random(seed)
    ledger, outbox = Ledger(warehouse, sends=True), Outbox(warehouse)
    while True:
        now = NOW + round((time.time() - began) * SPEED)
        campaign = rng.choice(CAMPAIGNS).campaign_id
        action = rng.choice(["coupon", "reminder"])
        made, why = decide(ledger, rng.choice(USERS), campaign=campaign, action=action, at=now)
        if not why and rng.random() < 0.2:
            ledger.confirm(made.decision_id, now)
        elif not why and rng.random() < 0.2:
            ledger.cancel(made.decision_id)
        elif rng.random() < 0.02:
            send(warehouse, outbox, Path(sent), now)


def send(warehouse: Warehouse, outbox: Outbox, path: Path, now: int) -> None:
    """Send what is due at `now` to the file at `path`."""

    def record(frame: pl.DataFrame) -> None:
        ingest(warehouse, frame, source="outbox", now=now)

    serving = ServingSettings(outbox_timeout_s=1)
    deliver(outbox, JsonLines(path), record, FixedClock(now), serving)


def reservations(warehouse: Warehouse) -> list[dict]:
    """All of them, as they are at one moment."""
    with warehouse.read() as connection:
        found = connection.execute(sa.text("SELECT * FROM reservations ORDER BY reserved_at"))
        return [dict(row) for row in found.mappings()]


def violations(warehouse: Warehouse) -> list[str]:
    """Every limit that what counts now breaks, by a plain reading of what it means."""
    rows = [row for row in reservations(warehouse) if row["state"] in ("held", "confirmed")]
    plans = {one.campaign_id: one for one in CAMPAIGNS}
    return [*_budgets(rows, plans), *_shoppers(rows, plans), *_windows(rows, plans)]


def _budgets(rows: list[dict], plans: dict[str, Campaign]) -> list[str]:
    days, totals = Counter(), Counter()
    for row in rows:
        days[row["campaign_id"], row["reserved_at"] // DAY] += row["cost_micros"]
        totals[row["campaign_id"]] += row["cost_micros"]
    over = [f"{k}: {s} a day" for k, s in days.items() if s > plans[k[0]].daily_budget_micros]
    for name, spent in totals.items():
        budget = plans[name].total_budget_micros
        over += [f"{name}: {spent} in all"] if budget is not None and spent > budget else []
    return over


def _shoppers(rows: list[dict], plans: dict[str, Campaign]) -> list[str]:
    found = []
    for row in rows:
        number, plan = USERS.index(row["user_id"]), plans[row["campaign_id"]]
        said = (CONSENT[number % 4] or {}).get(plan.channels.get(row["action"], ""))
        if said is False or (plan.needs_consent and said is not True):
            found.append(f"consent: {row}")
        if number >= len(USERS) - 2:
            found.append(f"suppressed: {row}")
        if plan.quiet_hours is not None:
            begin, end = edges(plan.quiet_hours)
            zone = ZoneInfo(ZONES[number // 4 % 4] or "UTC")
            at = datetime.fromtimestamp(row["reserved_at"] // 1_000_000, zone).time()
            found += [f"quiet hours: {row}"] if at >= begin or at < end else []
    return found


def _windows(rows: list[dict], plans: dict[str, Campaign]) -> list[str]:
    """Caps in every window that ends with an action, and pairs within an exclusion's window."""
    found = []
    for row in rows:
        mine = [one for one in rows if one["user_id"] == row["user_id"]]
        plan, at = plans[row["campaign_id"]], row["reserved_at"]
        before = [one for one in mine if one["reserved_at"] <= at]
        for cap in CAPS:
            since = at - round(cap.days * DAY)
            num = sum(o["channel"] == cap.channel and o["reserved_at"] > since for o in before)
            found += [f"{cap.channel}: {num} for {row}"] if num > cap.num else []
        for other in before:
            pair = {plan.exclusion_group, plans[other["campaign_id"]].exclusion_group}
            window = max(plan.exclusion_days, plans[other["campaign_id"]].exclusion_days) * DAY
            is_near = at - other["reserved_at"] < window
            if other["campaign_id"] != plan.campaign_id and pair == {"offers"} and is_near:
                found.append(f"exclusion: {other} and {row}")
    return found


def unsent(warehouse: Warehouse, path: Path) -> list[str]:
    """What the outbox and the file disagree on, after everything was sent."""
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    whole = [line for line in lines if line.endswith(b"}")]
    keys = {json.loads(line)["message_id"] for line in whole}
    events = warehouse.events(kinds=["treatment"]).select(EVENT_SCHEMA.names())
    with warehouse.read() as connection:
        found = connection.execute(sa.text("SELECT message_id, state FROM outbox")).all()
        taken = sa.text("SELECT decision_id FROM decisions WHERE action != 'nothing'")
        acted = set(connection.execute(taken).scalars())
    states = {row[0]: row[1] for row in found}
    done = {name for name, state in states.items() if state == "done"}
    wrong = [f"no message of {name}" for name in acted ^ states.keys()]
    wrong += [
        f"{name} is {state}" for name, state in states.items() if state in ("waiting", "sent")
    ]
    wrong += [f"{name} is done and not in the file" for name in done - keys]
    wrong += [f"{name} has no treatment" for name in done - set(events["decision_id"])]
    return wrong + [f"{name} twice" for name, n in Counter(events["decision_id"]).items() if n > 1]
