"""API keys: made once, shown once, kept as hashes, and known to running services within a second.

A key is ``nudge_<id>_<secret>``. The id is public and finds the record; the secret has 256 random
bits, so one SHA-256 with a salt is enough: there is nothing to guess, and a slow hash would only
make requests slow. Next: ``guard.py``, which asks for keys.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import os
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

log = logging.getLogger(__name__)

Scope = Literal["read", "write", "admin"]
SCOPES: tuple[str, ...] = get_args(Scope)
"""Each allows what those before it allow."""
MARK = "nudge"
DAY_S = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """What is kept of one key. Times are seconds since 1970 by the machine's clock."""

    key_id: str
    name: str
    scope: str
    salt: str
    digest: str
    """SHA-256 of salt and key, in hex."""
    created_at: float
    expires_at: float | None = None
    revoked_at: float | None = None

    def __post_init__(self) -> None:
        if self.scope not in SCOPES:
            raise ValueError(f"scope is {self.scope!r}; it must be one of {', '.join(SCOPES)}")

    def allows(self, scope: str) -> bool:
        """Whether this key's scope includes `scope`."""
        return SCOPES.index(self.scope) >= SCOPES.index(scope)

    def is_live(self, now: float) -> bool:
        """Neither revoked nor expired."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)

    def status(self, now: float) -> str:
        """In a word, for people."""
        if self.revoked_at is not None:
            return "revoked"
        return "live" if self.is_live(now) else "expired"


NOBODY = Key(key_id="", name="", scope="read", salt="", digest="0" * 64, created_at=0, revoked_at=0)
"""Compared with a key of unknown id, so that it takes as long as one of a known id."""


def make(
    path: Path, name: str, scope: str, expires_days: float | None = None, *, now: float
) -> tuple[Key, str]:
    """Add a key to the file; gives its record and the key itself, which is kept nowhere."""
    if not name.strip() or len(name) > 100 or not name.isprintable():
        raise ValueError(f"name is {name!r}; it must be 1 to 100 printable characters")
    if expires_days is not None and expires_days <= 0:
        raise ValueError(f"expires_days is {expires_days}; it must be above 0")
    kept = read(path)
    if any(key.name == name and key.is_live(now) for key in kept.values()):
        raise ValueError(f"there is a live key of the name {name!r}; revoke it or take another")
    key_id, salt = secrets.token_hex(6), secrets.token_hex(16)
    text = f"{MARK}_{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(
        key_id=key_id,
        name=name,
        scope=scope,
        salt=salt,
        digest=_digest(salt, text),
        created_at=now,
        expires_at=None if expires_days is None else now + expires_days * DAY_S,
    )
    _write(path, {**kept, key_id: key})
    return key, text


def revoke(path: Path, name_or_id: str, *, now: float) -> Key:
    """Refuse the live key of that id or name from now on."""
    kept = read(path)
    found = [k for k in kept.values() if name_or_id in (k.key_id, k.name) and k.is_live(now)]
    if not found:
        names = sorted(key.name for key in kept.values() if key.is_live(now))
        raise ValueError(f"no live key has the id or name {name_or_id!r}; there are {names}")
    revoked = replace(found[0], revoked_at=now)
    _write(path, {**kept, revoked.key_id: revoked})
    return revoked


def read(path: Path) -> dict[str, Key]:
    """Every key of the file by id, revoked ones too; none when there is no file.

    Raises
    ------
    ValueError
        When the file is not what :func:`make` writes.
    """
    try:
        lines = json.loads(path.read_text(encoding="utf-8"))["keys"]
        return {line["key_id"]: Key(**line) for line in lines}
    except FileNotFoundError:
        return {}
    except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a file of API keys ({type(error).__name__}); restore it from a copy, "
            "or remove it and make new keys"
        ) from error


class KeyRing:
    """The keys of a file, read again when it changes; looks at most every `look_every_s`.

    No path, no keys. Once a key was seen, keys stay needed: a file that vanishes or breaks opens
    nothing.
    """

    def __init__(
        self,
        path: Path | None,
        *,
        now: Callable[[], float] = time.time,
        look_every_s: float = 1.0,
    ) -> None:
        self._path, self._now, self._look_every_s = path, now, look_every_s
        self._stamp = self._stat()
        self._keys = {} if path is None else read(path)
        self._looked_at = time.monotonic()
        self.is_set_up = bool(self._keys)
        """Whether a key was ever made, live or not."""

    def find(self, text: str) -> Key | None:
        """The live key that `text` is, None for any other text."""
        self.look()
        key_id = text.split("_", 2)[1] if text.startswith(f"{MARK}_") else ""
        key = self._keys.get(key_id, NOBODY)
        is_it = hmac.compare_digest(_digest(key.salt, text), key.digest)
        return key if is_it and key.is_live(self._now()) else None

    def look(self) -> None:
        """Read the file again if it changed."""
        moment = time.monotonic()
        if self._path is None or moment - self._looked_at < self._look_every_s:
            return
        self._looked_at = moment
        stamp = self._stat()
        if stamp == self._stamp:
            return
        try:
            self._keys = read(self._path)
        except (OSError, ValueError):
            self._keys = {}
            log.error("the file of API keys cannot be read; every key is refused until it can")
        self._stamp = stamp
        self.is_set_up = self.is_set_up or bool(self._keys) or stamp is not None

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat() if self._path is not None else None
        except OSError:
            return None
        if found is None:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size


def _digest(salt: str, text: str) -> str:
    return hashlib.sha256(f"{salt}{text}".encode("utf-8", "surrogatepass")).hexdigest()


def _write(path: Path, keys: dict[str, Key]) -> None:
    """Replace the file in one step; it is its owner's alone from the first byte on."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        json.dump({"keys": [asdict(key) for key in keys.values()]}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
