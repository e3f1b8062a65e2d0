"""``POST /events``: what happened, kept once, and known to the next answer. Next: ``users.py``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any, TypeGuard

import polars as pl
from fastapi import APIRouter
from pydantic import Discriminator, Field, Tag

from feature_repo.events import EVENT_SCHEMA, REJECT_REASONS
from feature_repo.ingest import Report
from feature_repo.settings import microseconds
from serving.fields import MAX_ID
from serving.routes.asked import seen
from serving.routes.parts import Parts, Running, StoreFailed
from serving.routes.strict import StrictRoute
from serving.schemas import MAX_EVENTS, EventIn, Receipt, Rejected
from serving.upkeep import LEDGER, ROWS

UNREADABLE = -1
"""A time or price that no check accepts: it becomes a reject with its reason."""
MICROS = 1_000_000
LARGEST_PRICE = 1_000_000_000
SENT_SCHEMA = pl.Schema({**EVENT_SCHEMA, "raw": pl.String()})
"""An event, and as what it came: a dead letter loses nothing."""
LAG = "the events are kept; the online rows cannot be written now and follow by themselves"

router = APIRouter(route_class=StrictRoute)
Many = Annotated[list[EventIn], Field(min_length=1, max_length=MAX_EVENTS)]
Sent = Annotated[
    Annotated[EventIn, Tag("one")] | Annotated[Many, Tag("list")],
    Discriminator(lambda sent: "list" if isinstance(sent, list) else "one"),
]


@router.post("/events")
def events(sent: Sent, parts: Running) -> Receipt:
    """Take one event or a list of them."""
    lines = sent if isinstance(sent, list) else [sent]
    now = parts.clock.now()
    with parts.store("events"):
        frame = _frame(lines, _kept_times(lines, parts), now)
        report = parts.record(frame)
    lag = _refresh(frame, parts)
    for result in ("accepted", "duplicates", "rejected"):
        parts.meters.events.labels(result).inc(getattr(report, result))
    return Receipt(
        read=report.read,
        accepted=report.accepted,
        duplicates=report.duplicates,
        rejected=list(_rejected(report)),
        notices=[*lag, *_notices(lines, parts)],
        **seen(parts, now),
    )


def _refresh(frame: pl.DataFrame, parts: Parts) -> list[str]:
    """Write the shoppers' online rows, or have it done later and say so: the events are kept."""
    user_ids = [user for user in frame["user_id"].unique().to_list() if _may_be_kept(user)]
    try:
        with parts.store(ROWS):
            parts.refresh(user_ids)
    except StoreFailed:
        parts.upkeep.lag(user_ids)
        parts.meters.flags.labels(ROWS).inc()
        return [LAG]
    return []


def _frame(lines: list[EventIn], kept: dict[str, int], now: int) -> pl.DataFrame:
    rows = [
        {
            **dict.fromkeys(EVENT_SCHEMA),
            **line.model_dump(exclude={"price", "event_at"}),
            "event_at": _time(line, kept, now),
            "received_at": kept.get(line.event_id or "", now),
            "price_micros": _price(line.price),
            "raw": line.model_dump_json(exclude_unset=True),
        }
        for line in lines
    ]
    return pl.DataFrame(rows, schema=SENT_SCHEMA)


def _kept_times(lines: list[EventIn], parts: Parts) -> dict[str, int]:
    """When events sent without a time were received before, so that a repeat stays a repeat."""
    timeless = [line.event_id for line in lines if line.event_at is None]
    asked = sorted({event_id for event_id in timeless if _may_be_kept(event_id)})
    return parts.known_times(asked) if asked else {}


def _time(line: EventIn, kept: dict[str, int], now: int) -> int:
    if line.event_at is None:
        return kept.get(line.event_id or "", now)
    try:
        return microseconds(line.event_at)
    except (ValueError, OverflowError):
        return UNREADABLE


def _price(price: float | str | None) -> int | None:
    """Micros of a price in the base currency, rounded half to even."""
    if price is None:
        return None
    try:
        exact = Decimal(str(price))
        return round(exact * MICROS) if 0 <= exact <= LARGEST_PRICE else UNREADABLE
    except InvalidOperation:
        return UNREADABLE


def _rejected(report: Report) -> Iterator[Rejected]:
    """Each reject; without ids when the report has only counts."""
    listed: list[tuple[Any, str]] = list(report.rejects)
    unlisted = Counter(report.reasons) - Counter(reason for _, reason in listed)
    for event_id, reason in [*listed, *((None, reason) for reason in unlisted.elements())]:
        message = REJECT_REASONS[reason]
        yield Rejected(event_id=event_id or None, reason=reason, message=message)


def _may_be_kept(name: str | None) -> TypeGuard[str]:
    """Whether a store may be asked for an id: one that no event can have is not looked up."""
    return name is not None and 0 < len(name) <= MAX_ID and "\0" not in name


def _notices(lines: list[EventIn], parts: Parts) -> list[str]:
    """Cited decisions that nobody made, or made for another: those events are no outcomes."""
    cited = {(line.decision_id, line.user_id): None for line in lines if line.decision_id}
    waiting = {name for name, _ in cited if name and parts.spool.holds(name)}
    notices: dict[str, None] = {}
    with parts.store(LEDGER):
        made = {name: _asked_about(name, parts) for name, _ in cited if name not in waiting}
    for name, user in cited:
        if name in waiting or made[name] == user:
            continue
        why = "was made" if made[name] is None else f"was made for {user!r}"
        notices[f"no decision {name!r} {why}: its events are no outcomes"] = None
    return list(notices)


def _asked_about(decision_id: str | None, parts: Parts) -> str | None:
    """The shopper of a decision, None when the ledger does not hold it."""
    if not _may_be_kept(decision_id):
        return None
    found = parts.ledger.get(decision_id)
    return None if found is None else found.user_id
