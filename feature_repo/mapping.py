"""A mapping says, in TOML, which of a shop's columns make which field of an event.

The shipped mappings lie in ``mappings/``; ``docs/events.md`` describes the format. Next:
``importers.py``.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import polars as pl

from feature_repo.events import EVENT_SCHEMA, KINDS

SHIPPED = Path(__file__).parent / "mappings"
_FIELDS = (*(name for name in EVENT_SCHEMA if "price" not in name), "price")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """Holds where the text of `column` matches the regular expression `matches`."""

    column: str
    matches: str
    kind: str | None = None
    """The kind it gives (kind rules)."""
    reason: str | None = None
    """The reason it rejects for (reject rules)."""
    unless_kind: str | None = None

    def holds(self) -> pl.Expr:
        """The rule as an expression over the source's columns, never null."""
        return pl.col(self.column).cast(pl.String).str.contains(self.matches).fill_null(False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Mapping:
    """How a shop's columns become events."""

    name: str
    columns: dict[str, str]
    """Event field to source column; `price` is in the row's own currency."""
    base_currency: str
    default_kind: str = "purchase"
    kind_rules: tuple[Rule, ...] = ()
    reject_rules: tuple[Rule, ...] = ()
    zone: str = "UTC"
    time_format: str | None = None
    """strptime format of text times; None: ISO 8601."""
    lag_seconds: int = 0
    """How long after it happened an event was received."""
    locale_column: str | None = None
    rates: dict[str, str] = field(default_factory=dict)
    """Currency to what one unit is worth in the base currency, as decimal text."""

    def __post_init__(self) -> None:
        unknown = sorted(set(self.columns) - set(_FIELDS))
        if unknown:
            raise ValueError(f"mapping {self.name}: [columns] names {unknown}; known: {_FIELDS}")
        for needed in ("user_id", "event_at"):
            if needed not in self.columns:
                raise ValueError(f"mapping {self.name}: [columns] has no {needed}; map a column")
        for kind in [self.default_kind, *(rule.kind for rule in self.kind_rules)]:
            if kind not in KINDS:
                raise ValueError(f"mapping {self.name}: kind {kind!r} is none of {KINDS}")
        try:
            ZoneInfo(self.zone)
        except (ZoneInfoNotFoundError, ValueError) as error:
            raise ValueError(f"mapping {self.name}: zone {self.zone!r} is unknown") from error

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
        table = tomllib.loads(path.read_text())
        kind = table.get("kind", {})
        return Mapping(
            name=table.get("name", path.stem),
            columns=table["columns"],
            base_currency=table["base_currency"],
            default_kind=kind.get("default", "purchase"),
            kind_rules=tuple(Rule(**rule) for rule in kind.get("rules", ())),
            reject_rules=tuple(Rule(**rule) for rule in table.get("rejects", ())),
            zone=table.get("zone", "UTC"),
            time_format=table.get("time_format"),
            lag_seconds=table.get("lag_seconds", 0),
            locale_column=table.get("users", {}).get("locale"),
            rates=table.get("rates", {table["base_currency"]: "1"}),
        )
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"mapping {path}: {error}; see docs/events.md for the format") from error
