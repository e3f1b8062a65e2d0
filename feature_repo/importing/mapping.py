"""What a mapping can say: which of a shop's columns make which field of an event, user or item.

``mapping_file.py`` reads one from TOML; ``docs/importing.md`` describes the format. Next:
``convert.py``.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from fnmatch import fnmatch
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from feature_repo.events import EVENT_SCHEMA, KINDS, REJECT_REASONS
from feature_repo.importing.attributes import ItemColumns, UserColumns
from feature_repo.importing.text_files import Layout

FIELDS = (*(name for name in EVENT_SCHEMA if "price" not in name), "price", "amount")
CONSTANTS = ("item_id", "order_id", "currency", "text", "decision_id")
KEY_FIELDS = ("event_id", "user_id", "event_at", "item_id", "order_id")
HOLDS = {"events": ("user_id", "event_at"), "users": ("user_id",), "items": ("item_id",)}
"""What the rows of a source are, and the fields they cannot do without."""
Sources = str | tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Holds where the text of `column` matches a regular expression or is one of `values`."""

    column: str
    matches: str | None = None
    values: tuple[str, ...] | None = None
    kind: str | None = None
    """The kind it gives (kind rules)."""
    reason: str | None = None
    """The reason it rejects for (reject rules)."""
    unless_kind: str | None = None
    """A reject rule leaves rows of this kind alone."""

    def __post_init__(self) -> None:
        if (self.matches is None) == (self.values is None):
            raise ValueError(
                f"a rule on {self.column!r} needs one of `matches` or `values`; give that"
            )
        if (self.kind is None) == (self.reason is None):
            raise ValueError(
                f"a rule on {self.column!r} needs one of a `kind` or a `reason`; give that"
            )
        for kind in (self.kind, self.unless_kind):
            if kind is not None and kind not in KINDS:
                raise ValueError(f"kind {kind!r} is unknown; write one of {KINDS}")
        if self.reason is not None and self.reason not in REJECT_REASONS:
            raise ValueError(
                f"reason {self.reason!r} is unknown; write one of {tuple(REJECT_REASONS)}"
            )
        try:
            pl.Series([""]).to_frame("x").select(pl.col("x").str.contains(self.matches or ""))
        except pl.exceptions.ComputeError as error:
            raise ValueError(
                f"matches = {self.matches!r} is no regular expression; mend it or use `values`"
            ) from error

    def holds(self) -> pl.Expr:
        """The rule as an expression over the source's columns, never null."""
        text = pl.col(self.column).cast(pl.String)
        if self.values is not None:
            return text.is_in(self.values).fill_null(False)
        assert self.matches is not None, "a rule has one of the two"
        return text.str.contains(self.matches).fill_null(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """How the columns of one source become events, users or items."""

    name: str
    columns: dict[str, Sources]
    """Event field to source column; `price` is in the row's own currency. Of several columns the
    first that is not empty counts; those of a time are joined."""
    base_currency: str
    files: str = "*"
    """Which files are of this source: a pattern on the name or the end of the path."""
    holds: str = "events"
    layout: Layout = field(default_factory=Layout)
    empty: tuple[str, ...] = ()
    """Texts that stand for no value, beside the empty one."""
    constants: dict[str, str] = field(default_factory=dict)
    """Event field to the one value it has in every row."""
    default_kind: str = "purchase"
    kind_rules: tuple[Rule, ...] = ()
    reject_rules: tuple[Rule, ...] = ()
    zone: str = "UTC"
    time_format: str | None = None
    """strptime format of text times, or a unit of ``columns.UNIX_UNITS``; None: ISO 8601."""
    lag_seconds: int = 0
    """How long after it happened an event was received."""
    decimal: str | None = None
    """The decimal mark of amounts with marks between thousands or currency signs."""
    orders: str = "line"
    """Without order ids: each "line" is an order, or what a shopper buys in a local "day"."""
    event_key: tuple[str, ...] = ()
    """Fields that name an event in every source that tells of it."""
    precedence: int = 0
    """Of what two sources say about the same, the higher one's counts."""
    users: UserColumns = field(default_factory=UserColumns)
    items: ItemColumns = field(default_factory=ItemColumns)
    rates: dict[str, str] = field(default_factory=dict)
    """Currency to what one unit is worth in the base currency, as decimal text; base is 1."""

    def __post_init__(self) -> None:
        try:
            self._check_choices()
            self._check_fields()
            self._check_rates()
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, OSError) as error:
            raise ValueError(
                f"mapping {self.name}: zone {self.zone!r} is unknown; "
                "write an IANA name such as Europe/Berlin"
            ) from error
        except ValueError as error:
            raise ValueError(f"mapping {self.name}: {error}") from error

    def _check_choices(self) -> None:
        choices = {"holds": HOLDS, "orders": ("line", "day"), "decimal": (None, ".", ",")}
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} is {getattr(self, name)!r}; it must be one of {list(known)}"
                )
        if self.default_kind not in KINDS:
            raise ValueError(f"kind {self.default_kind!r} is unknown; write one of {KINDS}")
        if not all(rule.kind for rule in self.kind_rules):
            raise ValueError("a rule of [kind] gives no kind; add `kind = ...`")
        if not all(rule.reason for rule in self.reject_rules):
            raise ValueError("a rule of [[rejects]] names no reason; add `reason = ...`")
        if self.lag_seconds < 0:
            raise ValueError(f"lag_seconds is {self.lag_seconds}; it must be at least 0")
        if unknown := sorted(set(self.event_key) - set(KEY_FIELDS)):
            raise ValueError(f"event_key names {unknown}; known: {KEY_FIELDS}")

    def _check_fields(self) -> None:
        if unknown := sorted(set(self.columns) - set(FIELDS)):
            raise ValueError(f"[columns] names {unknown}; known: {FIELDS}")
        if unknown := sorted(set(self.constants) - set(CONSTANTS)):
            raise ValueError(f"[constants] names {unknown}; known: {CONSTANTS}")
        if twice := sorted(set(self.constants) & set(self.columns)):
            raise ValueError(f"{twice} stand in [columns] and in [constants]; name each once")
        if {"price", "amount"} <= set(self.columns):
            raise ValueError(
                "[columns] gives a price of one piece and an amount of the line; map one of them"
            )
        for needed in HOLDS[self.holds]:
            if needed not in self.columns:
                raise ValueError(f"[columns] has no {needed}; map a column")

    def _check_rates(self) -> None:
        for code, rate in self.rates.items():
            if not isinstance(rate, str) or not re.fullmatch(r"\d+(\.\d+)?", rate):
                raise ValueError(f'[rates] {code} is {rate!r}; write a decimal text such as "0.85"')
            if Decimal(rate) == 0 or (code == self.base_currency and Decimal(rate) != 1):
                raise ValueError(f"[rates] {code} cannot be {rate}; the base currency's rate is 1")
        for code in (self.base_currency, *self.rates):
            if not re.fullmatch("[A-Z]{3}", code):
                raise ValueError(
                    f"currency {code!r} is unknown; write its three capitals (ISO 4217)"
                )

    @property
    def all_rates(self) -> dict[str, str]:
        """The rates, that of the base currency included."""
        return {self.base_currency: "1"} | self.rates

    def sources_of(self, name: str) -> tuple[str, ...]:
        """The columns that give the field `name`, none when it is not mapped."""
        found = self.columns.get(name, ())
        return (found,) if isinstance(found, str) else tuple(found)

    @property
    def event_columns(self) -> list[str]:
        """Every source column that events are made of, sorted: their ids depend on these."""
        rules = (*self.kind_rules, *self.reject_rules)
        fields = (column for name in self.columns for column in self.sources_of(name))
        return sorted({*fields, *(rule.column for rule in rules)})

    @property
    def source_columns(self) -> list[str]:
        """Every source column the mapping reads, sorted."""
        return sorted({*self.event_columns, *self.users.source_columns, *self.items.source_columns})

    @property
    def has_own_ids(self) -> bool:
        """Whether events are named by the source, not by a hash of their columns."""
        return "event_id" in self.columns or bool(self.event_key)

    @property
    def notices(self) -> Iterator[str]:
        """What a person should know of the choices it makes."""
        first, *others = self.sources_of("user_id") or ("",)
        if others:
            yield (
                f"where {first} is empty, {others[0]} stands for the shopper: a visitor who "
                "signs in later is two shoppers"
            )
        told = self.users if self.holds == "users" else self.items
        if self.holds != "events" and told.known_at is None and "event_at" not in self.columns:
            yield f"{self.name} gives no time: it counts as known from the beginning"

    def reads(self, path: Path) -> bool:
        """Whether the file is of this source."""
        return fnmatch(path.name, self.files) or fnmatch(path.as_posix(), f"*/{self.files}")

    def digest(self) -> str:
        """A hash of all it says."""
        said = json.dumps(asdict(self), sort_keys=True, default=list)
        return hashlib.sha256(said.encode()).hexdigest()
