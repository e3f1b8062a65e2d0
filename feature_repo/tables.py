"""The tables of a shop's warehouse, with the seats that later work needs.

Times are microseconds since 1970 (UTC), money is micros of the base currency. A change here needs a
migration in ``infra/migrations``. Next: ``warehouse.py``.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

metadata = sa.MetaData()


def _id(name: str, **options: Any) -> sa.Column:
    return sa.Column(name, sa.String(128), **options)


def _at(name: str, **options: Any) -> sa.Column:
    """Microseconds since 1970, UTC; micros of money are of the same type."""
    return sa.Column(name, sa.BigInteger, **options)


events = sa.Table(
    "events",
    metadata,
    _id("event_id", primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    _id("user_id", nullable=False),
    _at("event_at", nullable=False),
    _at("received_at", nullable=False),
    _id("item_id"),
    _id("order_id"),
    sa.Column("quantity", sa.BigInteger),
    _at("price_micros"),
    sa.Column("currency", sa.String(3)),
    _at("original_price_micros"),
    sa.Column("text", sa.Text),
    _id("decision_id"),
    _at("known_at", nullable=False),
    sa.Index("events_by_user", "user_id", "known_at"),
    sa.Index("events_by_decision", "decision_id"),
    sa.Index(
        "treatments_by_user",
        "user_id",
        sqlite_where=sa.text("kind = 'treatment'"),
        postgresql_where=sa.text("kind = 'treatment'"),
    ),
)
# Who told of an event, where several may: the one without content is the one that counts.
event_sources = sa.Table(
    "event_sources",
    metadata,
    _id("event_id", primary_key=True),
    sa.Column("source", sa.String(256), primary_key=True),
    sa.Column("precedence", sa.Integer, nullable=False),
    sa.Column("content", sa.JSON(none_as_null=True)),
    _at("told_at", nullable=False),
)
# How far each file was imported by which mapping, so that a repeat goes on where it ended.
imported_files = sa.Table(
    "imported_files",
    metadata,
    sa.Column("file_id", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(256), nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("content", sa.String(64), nullable=False, index=True),
    sa.Column("id_columns", sa.JSON, nullable=False),
    sa.Column("num_chunks", sa.Integer, nullable=False),
    sa.Column("finished", sa.Boolean, nullable=False),
    sa.Column("counts", sa.JSON, nullable=False),
    _at("imported_at", nullable=False),
)
# `origins` says for each field by which precedence and as of when it was told.
items = sa.Table(
    "items",
    metadata,
    _id("item_id", primary_key=True),
    _at("known_at", nullable=False),
    sa.Column("text", sa.Text),
    sa.Column("category", sa.String(256)),
    _at("price_micros"),
    sa.Column("attributes", sa.JSON(none_as_null=True)),
    sa.Column("origins", sa.JSON(none_as_null=True)),
)
users = sa.Table(
    "users",
    metadata,
    _id("user_id", primary_key=True),
    sa.Column("locale", sa.String(64)),
    sa.Column("zone", sa.String(64)),
    sa.Column("consent", sa.JSON(none_as_null=True)),
    sa.Column("attributes", sa.JSON(none_as_null=True)),
    sa.Column("origins", sa.JSON(none_as_null=True)),
)
# No feature may read these: they exist to measure fairness alone.
protected_attributes = sa.Table(
    "protected_attributes",
    metadata,
    _id("user_id", primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
stock = sa.Table(
    "stock",
    metadata,
    _id("item_id", primary_key=True),
    _at("known_at", primary_key=True),
    sa.Column("quantity", sa.BigInteger, nullable=False),
)
campaigns = sa.Table(
    "campaigns",
    metadata,
    _id("campaign_id", primary_key=True),
    _at("daily_budget_micros", nullable=False),
    sa.Column("cap_num", sa.Integer, nullable=False),
    sa.Column("cap_days", sa.Float, nullable=False),
    sa.Column("cost_micros", sa.JSON, nullable=False),
    sa.Column("rules", sa.JSON(none_as_null=True)),
)
channel_caps = sa.Table(
    "channel_caps",
    metadata,
    sa.Column("channel", sa.String(32), primary_key=True),
    sa.Column("num", sa.Integer, nullable=False),
    sa.Column("days", sa.Float, nullable=False),
)
suppressions = sa.Table(
    "suppressions",
    metadata,
    _id("user_id", primary_key=True),
    sa.Column("reason", sa.Text, nullable=False),
    _at("suppressed_at", nullable=False),
)
decisions = sa.Table(
    "decisions",
    metadata,
    _id("decision_id", primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    _id("user_id", nullable=False),
    _at("decided_at", nullable=False),
    sa.Column("model_version", sa.String(64), nullable=False),
    sa.Column("feature_version", sa.String(64), nullable=False),
    sa.Column("policy", sa.String(128)),
    sa.Column("action", sa.String(32)),
    sa.Column("probabilities", sa.JSON, nullable=False),
    sa.Column("scores", sa.JSON, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("notices", sa.JSON, nullable=False),
    _id("campaign_id"),
    _at("cost_micros", nullable=False),
    sa.Column("request", sa.JSON, nullable=False),
    sa.Column("arms", sa.JSON(none_as_null=True)),
    sa.Column("previous_seal", sa.String(64)),
    sa.Column("seal", sa.String(64)),
    sa.Index("decisions_by_user", "user_id", "decided_at"),
)
# `position` is the room in the layer that an experiment holds until it is stopped.
experiments = sa.Table(
    "experiments",
    metadata,
    _id("name", primary_key=True),
    sa.Column("layer", sa.String(128), nullable=False),
    sa.Column("position", sa.Float, nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),
    _at("started_at", nullable=False),
    _at("stopped_at"),
    sa.Column("stop_reason", sa.Text),
)
# The first time that a shopper of an experiment was decided about, and the arm.
exposures = sa.Table(
    "exposures",
    metadata,
    _id("experiment", primary_key=True),
    _id("user_id", primary_key=True),
    sa.Column("arm", sa.String(64), nullable=False),
    _at("exposed_at", nullable=False),
)
reservations = sa.Table(
    "reservations",
    metadata,
    _id("decision_id", primary_key=True),
    _id("campaign_id", nullable=False),
    _id("user_id", nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("day", sa.BigInteger, nullable=False),
    _at("reserved_at", nullable=False),
    _at("cost_micros", nullable=False),
    sa.Column("channel", sa.String(32)),
    sa.Column("state", sa.String(16), nullable=False, server_default="held"),
    _at("expires_at"),
    _id("exclusion_group"),
    _at("excludes_until"),
    sa.Index("reservations_by_day", "campaign_id", "day"),
    sa.Index("reservations_by_expiry", "state", "expires_at"),
    sa.Index("reservations_by_user", "user_id", "reserved_at"),
)
outcomes = sa.Table(
    "outcomes",
    metadata,
    _id("event_id", primary_key=True),
    _id("decision_id", nullable=False, index=True),
    sa.Column("kind", sa.String(16), nullable=False),
    _at("event_at", nullable=False),
    _at("value_micros", nullable=False),
)
outbox = sa.Table(
    "outbox",
    metadata,
    _id("message_id", primary_key=True),
    _id("decision_id", nullable=False, index=True),
    _at("created_at", nullable=False),
    _at("sent_at"),
    sa.Column("payload", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False, server_default="waiting"),
    sa.Column("num_tries", sa.Integer, nullable=False, server_default="0"),
    _at("next_at", nullable=False, server_default="0"),
    sa.Column("reason", sa.Text),
    sa.Index("outbox_by_state", "state", "next_at"),
)
labels = sa.Table(
    "labels",
    metadata,
    _id("subject_id", primary_key=True),
    sa.Column("name", sa.String(64), primary_key=True),
    _at("labelled_at", primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
dead_letters = sa.Table(
    "dead_letters",
    metadata,
    sa.Column("letter_id", sa.String(64), primary_key=True),
    sa.Column("source", sa.String(256), nullable=False),
    sa.Column("reason", sa.String(64), nullable=False, index=True),
    sa.Column("raw", sa.Text, nullable=False),
    _at("received_at", nullable=False),
)
meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.String(64), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
