"""Where this shop lives, and what time it is there.

Addresses come from the environment (prefix ``NUDGE_``) and are read once; time is an argument
everywhere, and the clocks that can be that argument are here. Next: ``events.py``.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

MICROSECOND = 1
SECOND = 1_000_000
DAY = 86_400 * SECOND


class Settings(BaseSettings):
    """The environment of one shop. Every field is ``NUDGE_<NAME>``."""

    model_config = SettingsConfigDict(env_prefix="NUDGE_", frozen=True)

    home: Path = Field(Path(".nudge"), description="folder of everything this shop stores")
    data: Path | None = Field(None, description="folder of the public datasets")
    warehouse_url: str | None = Field(
        None, repr=False, description="SQLAlchemy URL; default: SQLite in home"
    )
    registry_url: str | None = Field(
        None, repr=False, description="Feast registry; default: SQLite in home"
    )
    online_url: str | None = Field(
        None, repr=False, description="redis:// or SQLite; default: SQLite in home"
    )
    base_currency: str = Field("GBP", description="ISO 4217 code in which amounts are kept")
    zone: str = Field(
        "UTC", description="IANA time zone of shoppers whose own is unknown, for quiet hours"
    )
    history_length: int = Field(200, gt=0, le=2000, description="behaviours kept per shopper")

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, zone: str) -> str:
        try:
            ZoneInfo(zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"NUDGE_ZONE is {zone!r}; name an IANA zone, as Europe/London"
            ) from error
        return zone

    @property
    def warehouse(self) -> str:
        """URL of the warehouse: SQLite or PostgreSQL."""
        return self.warehouse_url or f"sqlite:///{self.home.resolve() / 'warehouse.db'}"

    @property
    def registry(self) -> str:
        """SQLAlchemy URL of the Feast registry: SQLite or PostgreSQL."""
        url = self.registry_url or f"sqlite:///{self.home.resolve() / 'registry.db'}"
        # Feast wants the driver named, and would rather not guess it.
        return re.sub("^postgres(ql)?://", "postgresql+psycopg://", url)

    @property
    def offline_path(self) -> Path:
        """Folder of the Parquet files behind the feature views."""
        return self.home.resolve() / "offline"

    @property
    def online(self) -> str:
        """URL of the online store: SQLite or Redis."""
        return self.online_url or f"sqlite:///{self.home.resolve() / 'online.db'}"

    @contextmanager
    def exported(self) -> Iterator[None]:
        """The environment that ``feature_store.yaml`` names, for as long as the block runs.

        Feast expands ``${VAR}`` from the environment when it opens a store, and leaves an unset
        one as literal text. Afterwards the environment is as before: another shop may follow.
        """
        self.home.mkdir(parents=True, exist_ok=True)
        names = {
            "NUDGE_HOME": str(self.home.resolve()),
            "NUDGE_REGISTRY_URL": self.registry,
            "NUDGE_ONLINE_URL": self.online,
        }
        before = {name: os.environ.get(name) for name in names}
        os.environ.update(names)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value


class Clock(Protocol):
    """Anything that can say what time it is, in microseconds since 1970 (UTC)."""

    def now(self) -> int:
        """The present moment."""

    def behind(self) -> int:
        """Microseconds that the machine's clock lies behind; above 0 when it was set back."""


def _machine() -> int:
    return time.time_ns() // 1000


def _passing() -> int:
    return time.monotonic_ns() // 1000


class SystemClock:
    """The machine's clock, moved by the offset in ``home/clock`` when that file exists.

    A shop of 2011 is served at its own last minute this way: every worker reads the same file, so
    all agree. It never runs back. When the machine's clock is set back, this one goes on at its own
    pace until the machine's has caught up. ``home/clock.mark`` holds how far it was, to a second:
    a restart does not run back either.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        machine: Callable[[], int] = _machine,
        passing: Callable[[], int] = _passing,
    ) -> None:
        self._path = None if home is None else home / "clock"
        self._machine, self._passing = machine, passing
        self._lock = threading.Lock()
        self._offset_seen: int | None = None
        self._shown, self._shown_when, self._marked = 0, 0, 0

    def now(self) -> int:
        """Microseconds since 1970 (UTC), offset included."""
        with self._lock:
            offset, passing = self._offset(), self._passing()
            machine = self._machine() + offset
            if offset != self._offset_seen:
                marked = self._mark(offset)
                # What was shown after the mark was written is less than a second later.
                self._shown = marked + SECOND if machine < marked else machine
                self._offset_seen, self._shown_when, self._marked = offset, passing, marked
            self._shown = max(machine, self._shown + passing - self._shown_when)
            self._shown_when = passing
            if self._shown - self._marked >= SECOND:
                self._marked = self._shown
                self._keep_mark(offset, self._shown)
            return self._shown

    def behind(self) -> int:
        """Microseconds that the machine's clock lies behind this one; 0 unless it was set back."""
        return max(0, self.now() - self._machine() - self._offset())

    def _mark(self, offset: int) -> int:
        """The moment last marked under this offset, 0 when there is none."""
        if self._path is None:
            return 0
        try:
            of, moment = map(int, self._path.with_suffix(".mark").read_text().split())
        except (OSError, ValueError):
            return 0
        return moment if of == offset else 0

    def _keep_mark(self, offset: int, moment: int) -> None:
        """A mark that cannot be written now, for want of space or rights, is written later."""
        if self._path is None or not self._path.parent.is_dir():
            return
        with suppress(OSError):
            fresh = self._path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
            fresh.write_text(f"{offset} {moment}")
            fresh.replace(self._path.with_suffix(".mark"))

    def _offset(self) -> int:
        if self._path is None:
            return 0
        try:
            return int(self._path.read_text())
        except FileNotFoundError:
            return 0

    def move_to(self, moment: int) -> None:
        """Let this shop's time go on from `moment`.

        Raises
        ------
        ValueError
            When a clock was already set and `moment` lies before its present.
        """
        assert self._path is not None, "a clock without a home cannot be moved"
        if self._path.exists() and moment < self.now():
            raise ValueError(
                f"the shop's clock shows {iso(self.now())} and cannot go back to {iso(moment)}; "
                f"remove {self._path} to start over"
            )
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(".partial")
        offset = moment - self._machine()
        partial.write_text(str(offset))
        partial.replace(self._path)
        self._keep_mark(offset, moment)


class FixedClock:
    """A clock that stands still until it is told otherwise; for replays and tests."""

    def __init__(self, moment: int) -> None:
        self.moment = moment

    def now(self) -> int:
        """The moment it was set to."""
        return self.moment

    def behind(self) -> int:
        """Always 0: nobody sets it back unseen."""
        return 0


def without_password(url: str) -> str:
    """`url`, or a text with it inside, as it may be shown."""
    hidden = re.sub(r"(://[^:/@\s]*):[^/\s]*@", r"\1:***@", url)
    return re.sub(r"(password=)[^&\s]*", r"\1***", hidden)


def iso(moment: int) -> str:
    """`moment` (microseconds since 1970, UTC) as ISO 8601 text."""
    return datetime.fromtimestamp(moment / SECOND, UTC).isoformat().replace("+00:00", "Z")


def microseconds(text: str) -> int:
    """ISO 8601 `text` (UTC when it has no zone) as microseconds since 1970."""
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return int(moment.replace(microsecond=0).timestamp()) * SECOND + moment.microsecond
