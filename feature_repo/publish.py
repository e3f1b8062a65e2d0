"""From the warehouse to the feature store: in bulk, and live for one shopper.

:func:`record` is the one way in for outcomes and tests; HTTP does its two halves, :func:`keep` and
:func:`refresh`, so that an event is taken while the online store is down. File imports ingest in
bulk and then :func:`rollup`. Next: ``heal.py``, and ``parity.py`` for the proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from feature_repo.disk import replacing
from feature_repo.events import known_at
from feature_repo.ingest import Report, ingest
from feature_repo.ledger import Ledger
from feature_repo.live import Event, Shopper, order_of
from feature_repo.retrieval import open_store, packed_store
from feature_repo.rollups import BEHAVIOURS, DAYS_KEPT, STAMPS, item_rows, user_rows
from feature_repo.settings import DAY, Clock, Settings
from feature_repo.treatments import TREATMENT, TREATMENTS_KEPT, treatment_rows
from feature_repo.warehouse import Warehouse
from feature_repo.words import MESSAGE, MESSAGES_KEPT, message_rows

USER_VIEWS = ("user_state", "user_days", "user_history")
VIEWS = (*USER_VIEWS, "user_treatments", "user_messages", "item_state", "item_days")
"""Every view with a file of rows behind it."""


def rollup(warehouse: Warehouse, settings: Settings) -> dict[str, int]:
    """Build the Parquet files behind all views from the warehouse; view name to rows.

    Each file is replaced in one step, so a reader sees the old or the new one.
    """
    warehouse.check()
    events = warehouse.events()
    users, items = user_rows(events), item_rows(events, warehouse.items())
    frames = {
        "user_state": users.state,
        "user_days": users.days,
        "user_history": users.history,
        "user_treatments": treatment_rows(events),
        "user_messages": message_rows(events),
        "item_state": items.state,
        "item_days": items.days,
    }
    for name, frame in frames.items():
        _replace(frame, settings.offline_path / f"{name}.parquet")
    return {name: frame.height for name, frame in frames.items()}


def materialize(
    warehouse: Warehouse, settings: Settings, clock: Clock
) -> tuple[datetime, datetime] | None:
    """Load the newest rows of every view into the online store; gives the span, None if empty.

    The same as ``feast materialize START END``, from the first event to now. Not later: items are
    stamped at the midnight after their last event, and tomorrow's row is not known yet.
    """
    warehouse.check()
    span = warehouse.span()
    if span is None:
        return None
    start, end = _moment(span[0] - 1), _moment(clock.now())
    open_store(settings).materialize(start, end)
    return start, end


def refresh_items(warehouse: Warehouse, settings: Settings, clock: Clock) -> list[str]:
    """Write the online rows of all items as of the last midnight; gives their ids."""
    midnight = clock.now() // DAY * DAY
    rows = item_rows(warehouse.events(known_before=midnight), warehouse.items())
    state = rows.state.unique("item_id", keep="last", maintain_order=True)
    days = _last(rows.days, "item_id", DAYS_KEPT)
    _write(
        settings, {"item_state": _packed(state, "item_id"), "item_days": _packed(days, "item_id")}
    )
    return state["item_id"].to_list()


def record(
    warehouse: Warehouse, frame: pl.DataFrame, settings: Settings, clock: Clock, *, source: str
) -> Report:
    """Keep `frame` (``EVENT_SCHEMA``) and bring its shoppers' online rows up to date.

    When the process dies between the two, ``heal.py`` finds the rows that are behind.
    """
    report = keep(warehouse, frame, clock, source=source)
    refresh(warehouse, frame["user_id"].drop_nulls().unique().to_list(), settings)
    return report


def keep(warehouse: Warehouse, frame: pl.DataFrame, clock: Clock, *, source: str) -> Report:
    """Keep `frame` idempotently; events that cite a decision become its outcomes."""
    report = ingest(warehouse, frame, source=source, now=clock.now(), detail=True)
    refused = {event_id for event_id, _ in report.rejects} - set(report.accepted_ids)
    Ledger(warehouse).attach_outcomes(frame.filter(~pl.col("event_id").is_in(refused)))
    return report


def refresh(
    warehouse: Warehouse,
    user_ids: list[str],
    settings: Settings,
    *,
    known_before: int | None = None,
) -> None:
    """Write the online rows of `user_ids` as the warehouse knows them, now or before a moment.

    Rows that are whole are moved on by the events since; others are made anew from all events. All
    rows of a shopper bear the stamp of the newest event. An increment's own stamp would not do:
    when requests overtake each other an event may become known between two others, the newest
    increment then moves back in time, and the online store, where the newer row wins, keeps the
    row without that event.
    """
    _write_treatments(warehouse, user_ids, settings, known_before)
    counted = {} if known_before is not None else _move_on(warehouse, user_ids, settings)
    while True:
        # Whoever writes last may have read before another's event was kept: it looks again, at
        # those shoppers alone, or among busy ones it would never be done.
        kept = warehouse.count_events(user_ids, BEHAVIOURS, known_before)
        user_ids = [user for user, num in kept.items() if num != counted.get(user)]
        if not user_ids:
            return
        events = warehouse.events(user_ids=user_ids, kinds=BEHAVIOURS, known_before=known_before)
        _write_users(events, settings)
        counted = dict(events["user_id"].value_counts().iter_rows())


def _move_on(warehouse: Warehouse, user_ids: list[str], settings: Settings) -> dict[str, int]:
    """Move online rows on by the events since; how many behaviours each then counts."""
    store = open_store(settings)
    views = packed_store(store).read(store.config, USER_VIEWS, user_ids)
    rows = zip(user_ids, *(views[view] for view in USER_VIEWS), strict=True)
    shoppers = {user: shopper for user, *kept in rows if (shopper := Shopper.of(*kept))}
    moved, wrote = {}, []
    for user, events in _newer(warehouse, shoppers).items():
        shopper = shoppers[user]
        orders = [order_of(event) for event in events if event["kind"] == "purchase"]
        known = warehouse.known_orders(user, orders, shopper.stamp) if orders else ()
        if (after := shopper.advance(events, known, settings.history_length)) is not None:
            moved[user] = after
            wrote += [user] if any(event["kind"] == MESSAGE for event in events) else []
    if wrote:
        _write_messages(warehouse.events(user_ids=wrote, kinds=[MESSAGE]), settings)
    written: dict[str, Packed] = {}
    for view, name in zip(USER_VIEWS, ("state", "days", "history"), strict=True):
        values = [(user, one.stamp, getattr(one, name)) for user, one in moved.items()]
        written[view] = ((user, at, at, row) for user, at, row in values if row)
    _write(settings, written)
    return {user: one.num_behaviours for user, one in (shoppers | moved).items()}


def _newer(warehouse: Warehouse, shoppers: Mapping[str, Shopper]) -> dict[str, list[Event]]:
    """The behaviours of each shopper that became known after what the rows count."""
    newer: dict[str, list[Event]] = {}
    if shoppers:
        since = min(shopper.stamp for shopper in shoppers.values())
        events = warehouse.events(user_ids=list(shoppers), kinds=BEHAVIOURS, known_from=since)
        for event in events.with_columns(known_at=known_at()).iter_rows(named=True):
            if event["known_at"] >= shoppers[event["user_id"]].stamp:
                newer.setdefault(event["user_id"], []).append(event)
    return newer


def _write_users(events: pl.DataFrame, settings: Settings) -> None:
    """Write the online rows that `events`, all of some shoppers, make."""
    _write_messages(events, settings)
    rows = user_rows(events)
    state = rows.state.unique("user_id", keep="last", maintain_order=True)
    newest = state.select("user_id", *STAMPS)
    days = _last(rows.days, "user_id", DAYS_KEPT)
    history = _last(rows.history, "user_id", settings.history_length).drop("event_id")
    frames = {"user_state": state, "user_days": days, "user_history": history}
    stamped = {v: frame.drop(STAMPS).join(newest, on="user_id") for v, frame in frames.items()}
    _write(settings, {view: _packed(frame, "user_id") for view, frame in stamped.items()})


def _write_treatments(
    warehouse: Warehouse, user_ids: list[str], settings: Settings, known_before: int | None
) -> None:
    """Write what the shop did to `user_ids`, as far as it did anything."""
    done = warehouse.events(user_ids=user_ids, kinds=[TREATMENT], known_before=known_before)
    if not done.is_empty():  # as for most shoppers: an event waits for this
        _write_collected(settings, "user_treatments", treatment_rows(done), TREATMENTS_KEPT)


def _write_messages(events: pl.DataFrame, settings: Settings) -> None:
    """Write what shoppers wrote, by `events` with all their messages.

    It comes before the other rows, which tell `heal.py` and the next update that all is there.
    """
    _write_collected(settings, "user_messages", message_rows(events), MESSAGES_KEPT)


def _write_collected(settings: Settings, view: str, rows: pl.DataFrame, kept: int) -> None:
    if not rows.is_empty():
        last = _last(rows, "user_id", kept).drop("event_id")
        _write(settings, {view: _packed(last, "user_id")})


Packed = Iterator[tuple[str, int, int, dict[str, Any]]]


def _write(settings: Settings, rows_by_view: Mapping[str, Packed]) -> None:
    """Write rows of one or several views, a shopper's together or not at all."""
    store = open_store(settings)
    packed_store(store).write(store.config, rows_by_view)


def _last(rows: pl.DataFrame, key: str, num: int) -> pl.DataFrame:
    """Collect each key's last `num` rows as lists, with the newest row's stamps."""
    tail = rows.group_by(key, maintain_order=True).tail(num)
    return tail.group_by(key, maintain_order=True).agg(
        pl.col(STAMPS).last(), pl.exclude(key, *STAMPS)
    )


def _packed(frame: pl.DataFrame, key: str) -> Packed:
    """(key, event time, created time, values) for each row, as ``feast materialize`` writes."""
    for row in frame.with_columns(pl.col(STAMPS).cast(pl.Int64)).iter_rows(named=True):
        stamps = [row.pop(name) for name in STAMPS]
        yield row.pop(key), stamps[0], stamps[1], row


def _moment(microseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def _replace(frame: pl.DataFrame, path: Path) -> None:
    with replacing(path) as partial:
        frame.write_parquet(partial)
