"""Which columns tell of a shopper or an item, beside the events. Next: ``mapping.py``."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True, slots=True)
class UserColumns:
    """Columns that tell of a shopper, beside the events."""

    locale: str | None = None
    zone: str | None = None
    known_at: str | None = None
    """When the row was true; default: the event's time, or always."""
    consent: dict[str, str] = field(default_factory=dict)
    """Purpose to a column that says yes or no."""
    attributes: dict[str, str] = field(default_factory=dict)
    protected: dict[str, str] = field(default_factory=dict)
    """Attributes that no feature may read; they are kept apart, to measure fairness."""

    @property
    def plain(self) -> dict[str, str]:
        """Field of the users table, in dots, to column."""
        named = {"locale": self.locale, "zone": self.zone}
        found = {name: column for name, column in named.items() if column is not None}
        found |= {f"consent.{name}": column for name, column in self.consent.items()}
        return found | {f"attributes.{name}": column for name, column in self.attributes.items()}

    @property
    def source_columns(self) -> set[str]:
        """Every column that is read for this."""
        known = {self.known_at} if self.known_at else set()
        return {*self.plain.values(), *self.protected.values(), *known}


@dataclass(frozen=True, kw_only=True, slots=True)
class ItemColumns:
    """Columns that tell of an item, beside the events."""

    text: str | None = None
    category: str | None = None
    price: str | None = None
    """Of one piece, in the base currency."""
    known_at: str | None = None
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def plain(self) -> dict[str, str]:
        """Field of the items table, in dots, to column."""
        named = {"text": self.text, "category": self.category, "price_micros": self.price}
        found = {name: column for name, column in named.items() if column is not None}
        return found | {f"attributes.{name}": column for name, column in self.attributes.items()}

    @property
    def source_columns(self) -> set[str]:
        """Every column that is read for this."""
        return {*self.plain.values(), *({self.known_at} if self.known_at else set())}
