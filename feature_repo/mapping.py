"""A mapping says, in TOML, which of a shop's columns make which field of an event.

The shipped mappings lie in ``mappings/``; ``docs/events.md`` describes the format. Next:
``importers.py``.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from feature_repo.events import EVENT_SCHEMA, KINDS, REJECT_REASONS

SHIPPED = Path(__file__).parent / "mappings"
_FIELDS = (*(name for name in EVENT_SCHEMA if "price" not in name), "price")
_CONSTANTS = ("item_id", "order_id", "currency", "text", "decision_id")
_KEYS = (
    *("name", "base_currency", "zone", "time_format", "lag_seconds"),
    *("columns", "constants", "kind", "rejects", "users", "rates"),
)


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
            raise ValueError(f"a rule on {self.column!r} needs either `matches` or `values`")
        if (self.kind is None) == (self.reason is None):
            raise ValueError(f"a rule on {self.column!r} needs either a `kind` or a `reason`")
        for kind in (self.kind, self.unless_kind):
            if kind is not None and kind not in KINDS:
                raise ValueError(f"kind {kind!r} is none of {KINDS}")
        if self.reason is not None and self.reason not in REJECT_REASONS:
            raise ValueError(f"reason {self.reason!r} is none of {tuple(REJECT_REASONS)}")
        try:
            pl.Series([""]).to_frame("x").select(pl.col("x").str.contains(self.matches or ""))
        except pl.exceptions.ComputeError as error:
            raise ValueError(f"matches = {self.matches!r} is no regular expression") from error

    def holds(self) -> pl.Expr:
        """The rule as an expression over the source's columns, never null."""
        text = pl.col(self.column).cast(pl.String)
        if self.values is not None:
            return text.is_in(self.values).fill_null(False)
        assert self.matches is not None, "a rule has one of the two"
        return text.str.contains(self.matches).fill_null(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """How a shop's columns become events."""

    name: str
    columns: dict[str, str]
    """Event field to source column; `price` is in the row's own currency."""
    base_currency: str
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
    locale_column: str | None = None
    rates: dict[str, str] = field(default_factory=dict)
    """Currency to what one unit is worth in the base currency, as decimal text; base is 1."""

    def __post_init__(self) -> None:
        try:
            self._check_fields()
            self._check_rates()
            if self.default_kind not in KINDS:
                raise ValueError(f"kind {self.default_kind!r} is none of {KINDS}")
            if not all(rule.kind for rule in self.kind_rules):
                raise ValueError("a rule of [kind] gives no kind")
            if not all(rule.reason for rule in self.reject_rules):
                raise ValueError("a rule of [[rejects]] names no reason")
            if self.lag_seconds < 0:
                raise ValueError(f"lag_seconds is {self.lag_seconds}, must be at least 0")
            ZoneInfo(self.zone)
        except ZoneInfoNotFoundError as error:
            raise ValueError(f"mapping {self.name}: zone {self.zone!r} is unknown") from error
        except ValueError as error:
            raise ValueError(f"mapping {self.name}: {error}") from error

    def _check_fields(self) -> None:
        if unknown := sorted(set(self.columns) - set(_FIELDS)):
            raise ValueError(f"[columns] names {unknown}; known: {_FIELDS}")
        if unknown := sorted(set(self.constants) - set(_CONSTANTS)):
            raise ValueError(f"[constants] names {unknown}; known: {_CONSTANTS}")
        if twice := sorted(set(self.constants) & set(self.columns)):
            raise ValueError(f"{twice} stand in [columns] and in [constants]")
        for needed in ("user_id", "event_at"):
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
                raise ValueError(f"currency {code!r} is not written in three capitals (ISO 4217)")

    @property
    def all_rates(self) -> dict[str, str]:
        """The rates, that of the base currency included."""
        return {self.base_currency: "1"} | self.rates

    @property
    def source_columns(self) -> list[str]:
        """Every source column the mapping reads, sorted."""
        rules = (*self.kind_rules, *self.reject_rules)
        named = {*self.columns.values(), *(rule.column for rule in rules)}
        return sorted(named | ({self.locale_column} if self.locale_column else set()))


def read_mapping(name: str | Path) -> Mapping:
    """The mapping in a TOML file, or the shipped one of that name.

    Raises
    ------
    ValueError
        When neither exists or the file is not a valid mapping.
    """
    path = Path(name) if Path(name).suffix == ".toml" else SHIPPED / f"{name}.toml"
    if not path.exists():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise ValueError(f"no mapping {str(name)!r}; give a .toml file or one of: {shipped}")
    try:
        return _mapping(tomllib.loads(path.read_text()), path.stem)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}; docs/events.md describes the format") from error


def _mapping(table: dict[str, Any], stem: str) -> Mapping:
    """The mapping that a TOML table describes."""
    _refuse_unknown(table, _KEYS)
    for needed in ("base_currency", "columns"):
        if needed not in table:
            raise ValueError(f"{needed} is missing")
    kind, users = table.get("kind", {}), table.get("users", {})
    _refuse_unknown(kind, ("default", "rules"))
    _refuse_unknown(users, ("locale",))
    return Mapping(
        name=table.get("name", stem),
        columns=table["columns"],
        base_currency=table["base_currency"],
        constants=table.get("constants", {}),
        default_kind=kind.get("default", "purchase"),
        kind_rules=_rules(kind.get("rules", ())),
        reject_rules=_rules(table.get("rejects", ())),
        zone=table.get("zone", "UTC"),
        time_format=table.get("time_format"),
        lag_seconds=table.get("lag_seconds", 0),
        locale_column=users.get("locale"),
        rates=table.get("rates", {}),
    )


def _rules(tables: Sequence[dict[str, Any]]) -> tuple[Rule, ...]:
    return tuple(
        Rule(**table | ({"values": tuple(table["values"])} if "values" in table else {}))
        for table in tables
    )


def _refuse_unknown(table: dict[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"unknown keys {unknown}; known: {tuple(known)}")
