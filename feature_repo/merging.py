"""Two sources tell of the same event, user or item: the word of the higher precedence counts.

It counts whichever comes first, and what the other said of an event is kept beside it. Between
equals the first word of an event stays, and the latest of a user or item. Next: ``ingest.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl
import sqlalchemy as sa

from feature_repo.engine import slices
from feature_repo.events import EVENT_SCHEMA
from feature_repo.tables import event_sources, events, items, protected_attributes, users
from feature_repo.warehouse import Warehouse

KEYS = {"user_id": users, "item_id": items}


def settle(
    connection: sa.Connection, good: pl.DataFrame, source: str, precedence: int, now: int
) -> tuple[pl.DataFrame, int, int]:
    """Make room for events that outrank kept ones, and drop those that are outranked.

    Returns
    -------
    The events that remain to be sorted out, the number outranked, the number of kept events that
    were taken out so that the new word can take their place.
    """
    ranks = _ranks(connection, good["event_id"].unique().to_list(), source)
    judged = good.join(ranks, on="event_id", how="left", maintain_order="left")
    outranked = judged.filter(pl.col("rank") > precedence)
    _tell(connection, outranked.drop("rank", "teller"), source, precedence, now)
    beaten = judged.filter(pl.col("rank") < precedence).unique("event_id")
    _take_out(connection, dict(beaten.select("event_id", "teller").iter_rows()))
    rest = judged.filter(pl.col("rank").is_null() | (pl.col("rank") <= precedence))
    return rest.drop("rank", "teller"), outranked.height, beaten.height


def sign(
    connection: sa.Connection, event_ids: Sequence[str], source: str, precedence: int, now: int
) -> None:
    """Note that these events are kept as `source` told them."""
    theirs = event_sources.c.source == source
    for part in slices(event_ids):
        same = event_sources.c.event_id.in_(part)
        connection.execute(sa.delete(event_sources).where(theirs, same))
    word = {"source": source, "precedence": precedence, "told_at": now}
    if event_ids:
        rows = [{"event_id": event_id} | word for event_id in event_ids]
        connection.execute(sa.insert(event_sources), rows)


def _ranks(connection: sa.Connection, event_ids: list[str], source: str) -> pl.DataFrame:
    """Precedence and name of the source whose word counts, of events that another one told of."""
    table = event_sources.c
    query = sa.select(table.event_id, table.precedence, table.source).where(
        table.source != source, table.content.is_(None)
    )
    rows = [
        tuple(row)
        for part in slices(event_ids)
        for row in connection.execute(query.where(table.event_id.in_(part)))
    ]
    schema = {"event_id": pl.String, "rank": pl.Int64, "teller": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _tell(
    connection: sa.Connection, told: pl.DataFrame, source: str, precedence: int, now: int
) -> None:
    """Keep what `source` says of events of which another one's word counts."""
    rows = told.unique("event_id", keep="first", maintain_order=True).select(*EVENT_SCHEMA)
    words = {row["event_id"]: row for row in rows.iter_rows(named=True)}
    theirs = event_sources.c.source == source
    for part in slices(list(words)):
        same = event_sources.c.event_id.in_(part)
        for (event_id,) in connection.execute(
            sa.select(event_sources.c.event_id).where(theirs, same)
        ):
            del words[event_id]
    if words:
        word = {"source": source, "precedence": precedence, "told_at": now}
        connection.execute(
            sa.insert(event_sources),
            [{"event_id": name, "content": row} | word for name, row in words.items()],
        )


def _take_out(connection: sa.Connection, tellers: dict[str, str]) -> None:
    """Move kept events into what their sources said of them."""
    kept = sa.select(*(events.c[name] for name in EVENT_SCHEMA))
    for part in slices(list(tellers)):
        rows = connection.execute(kept.where(events.c.event_id.in_(part))).mappings().all()
        word = sa.update(event_sources).where(
            event_sources.c.event_id == sa.bindparam("told_id"),
            event_sources.c.source == sa.bindparam("teller"),
        )
        connection.execute(
            word.values(content=sa.bindparam("told")),
            [
                {"told_id": row["event_id"], "teller": tellers[row["event_id"]], "told": dict(row)}
                for row in rows
            ],
        )
        connection.execute(sa.delete(events).where(events.c.event_id.in_(part)))


def merge(warehouse: Warehouse, key: str, told: pl.DataFrame, precedence: int) -> None:
    """Keep what is told of users or items, field by field.

    Parameters
    ----------
    key
        ``user_id`` or ``item_id``.
    told
        `key`, `known_at` and a column for each field; an empty value says nothing. Columns
        ``protected.NAME`` go into the table of protected attributes, the latest word counts.
    """
    table = KEYS[key]
    _protect(warehouse, told)
    told = told.select(pl.exclude("^protected\\..*$")).sort("known_at", maintain_order=True)
    if len(told.columns) <= 2:
        return
    with warehouse.begin(lock=table.name) as connection:
        kept = _kept(connection, table, key, told[key].unique().to_list())
        changed: dict[str, dict[str, Any]] = {}
        for row in _latest(told, key).iter_rows(named=True):
            name, known_at = row.pop(key), row.pop("known_at")
            before = changed.get(name) or kept.get(name) or {key: name}
            if after := _folded(before, row, [precedence, known_at]):
                changed[name] = _dated(after) if "known_at" in table.c else after
        new = [row for name, row in changed.items() if name not in kept]
        _write(connection, table, key, new, [changed[name] for name in changed if name in kept])


def _latest(told: pl.DataFrame, key: str) -> pl.DataFrame:
    """One row for each key: the last value of each field, known from the last row on."""
    fields = [name for name in told.columns if name != key]
    last = [pl.col(name).drop_nulls().last() for name in fields]
    return told.group_by(key, maintain_order=True).agg(last)


def _folded(before: dict[str, Any], told: dict[str, Any], rank: list[int]) -> dict[str, Any] | None:
    """The row with what is told and not outranked; None when nothing changes."""
    after = {**before, "origins": dict(before.get("origins") or {})}
    for name, value in told.items():
        if value is None or after["origins"].get(name, rank) > rank:
            continue
        column, _, inner = name.partition(".")
        after[column] = {**(after.get(column) or {}), inner: value} if inner else value
        after["origins"][name] = rank
    return None if after["origins"] == before.get("origins") and after == before else after


def _dated(row: dict[str, Any]) -> dict[str, Any]:
    """The row is known from the last of what it is made of."""
    return row | {"known_at": max((at for _, at in row["origins"].values()), default=0)}


def _kept(
    connection: sa.Connection, table: sa.Table, key: str, keys: list[str]
) -> dict[str, dict[str, Any]]:
    return {
        row[key]: dict(row)
        for part in slices(keys)
        for row in connection.execute(sa.select(table).where(table.c[key].in_(part))).mappings()
    }


def _write(
    connection: sa.Connection,
    table: sa.Table,
    key: str,
    new: list[dict[str, Any]],
    changed: list[dict[str, Any]],
) -> None:
    whole = [dict(_whole(row, table)) for row in new]
    if whole:
        connection.execute(sa.insert(table), whole)
    if changed:
        names = [column.name for column in table.columns if column.name != key]
        statement = sa.update(table).where(table.c[key] == sa.bindparam("its_key"))
        values: dict[Any, Any] = {name: sa.bindparam(f"new_{name}") for name in names}
        rows = [{f"new_{name}": row.get(name) for name in names} for row in changed]
        for row, old in zip(rows, changed, strict=True):
            row["its_key"] = old[key]
        connection.execute(statement.values(values), rows)


def _whole(row: dict[str, Any], table: sa.Table) -> Iterator[tuple[str, Any]]:
    return ((column.name, row.get(column.name)) for column in table.columns)


def _protect(warehouse: Warehouse, told: pl.DataFrame) -> None:
    """Keep protected attributes apart from all that features are made of."""
    named = [name for name in told.columns if name.startswith("protected.")]
    if not named:
        return
    words = (
        told.select("user_id", *named)
        .unpivot(index="user_id", variable_name="name")
        .filter(pl.col("value").is_not_null())
        .with_columns(pl.col("name").str.strip_prefix("protected."))
        .unique(["user_id", "name"], keep="last", maintain_order=True)
    )
    table = protected_attributes
    same = [table.c[name] == sa.bindparam(f"its_{name}") for name in ("user_id", "name")]
    with warehouse.begin(lock=table.name) as connection:
        if words.height:
            keys = words.select(its_user_id="user_id", its_name="name").to_dicts()
            connection.execute(sa.delete(table).where(*same), keys)
            connection.execute(sa.insert(table), words.to_dicts())
